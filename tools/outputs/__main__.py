"""Record the outputs, or compare them with an earlier recording; see the package."""

from __future__ import annotations

import os

if __name__ == "__main__":  # before NumPy is imported
    for _library in ("OMP", "OPENBLAS", "MKL", "ENERGYFLOW"):
        os.environ[f"{_library}_NUM_THREADS"] = "1"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import argparse
import sys
import warnings
from pathlib import Path
from time import process_time

import numpy as np

from . import functions, models
from .recording import Recording, compare


def recorded(only: str = "") -> dict[str, np.ndarray]:
    """The outputs of all sections, or of those with a text in their names."""
    import jax
    import torch

    torch.set_num_threads(1)
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    outputs: dict[str, np.ndarray] = {}
    for section in (*functions.SECTIONS, *models.SECTIONS):
        if only not in section.__name__:
            continue
        start, recording = process_time(), Recording()
        section(recording)
        outputs |= {f"{section.__name__}: {k}": v for k, v in recording.arrays.items()}
        seconds = process_time() - start
        print(f"{section.__name__:20} {len(recording.arrays):5} outputs {seconds:6.1f} s of CPU",
              file=sys.stderr)  # fmt: skip
    return outputs


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="", help="text in the names of sections")
    options = parser.parse_args()
    new = recorded(options.only)
    if options.command == "record":
        np.savez_compressed(options.file, **new)
        print(f"{len(new)} outputs in {options.file}")
        return
    with np.load(options.file) as file:
        old = {name: file[name] for name in file.files}
    if options.only:
        old = {k: v for k, v in old.items() if options.only in k.split(":")[0]}
    lines = compare(old, new)
    print("\n".join([*lines, f"{len(lines)} of {len({**old, **new})} outputs differ"]))
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
