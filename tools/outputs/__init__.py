"""Recorded outputs of the public functions, to see whether a change moves a number.

    python -m tools.outputs record FILE.npz     writes what the code gives now
    python -m tools.outputs compare FILE.npz    lists what differs by a bit, and exits with 1

`--only TEXT` takes the sections whose names contain it. Only public names are used, on one thread.
An output is named by the call that made it; a call that raises is recorded by the error's type.

An older checkout is recorded from its own folder, by `python -m outputs` with the folder `tools`
of this one in PYTHONPATH.
"""
