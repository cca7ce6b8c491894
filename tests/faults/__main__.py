"""Faults: runs are killed and interrupted at their writes and at random, and go on as if never.

What a kind of work writes is learned from a run that nobody disturbs: which writes there are, and
what each file holds at any time. Then the work is killed (SIGKILL) before some of its writes, half
of the bytes that it was about to make last being lost, and again before another while it goes on;
and at random times. Each file must be one that the undisturbed run had, and the end must be its
end, bit for bit but for seconds. Interrupts (SIGINT) must end the work with the status 130, and
leave it to go on as well.

Processes are forked from one that has imported everything already and has one thread; some are
real command lines, which are killed at random times. `processes` are those of torchrun, of which
one is lost; `cuts` are trainings in many calls, each with `stop_after`; `locks` are two to eight
processes that train in one folder at once. Writes faults.csv and faults.md; a fault ends the run
with a non-zero status.
"""

from __future__ import annotations

import os
import sys

# one thread: for forks, and for the same bits
os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "ENERGYFLOW")})

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Line, read
from benchmarks.runner import Run, Topic

from . import cuts, locks, processes
from .disturbed import FAULTS, disturbed, warm
from .works import WORKS

TOPIC = Topic("faults", "Faults", __doc__, threads=0)


def work(run: Run, kind: str) -> Iterator[Line]:
    """All that is done to a kind of work."""
    warm()
    with tempfile.TemporaryDirectory() as folder:
        for line in disturbed(kind, run.quick, Path(folder)):
            if any(line.numbers[fault] for fault in FAULTS):
                run.failures.append(f"{kind}, {line.method}")
            yield line


for _kind in WORKS:
    TOPIC(_kind, kind=_kind)(work)


@TOPIC("processes")
def lost(run: Run) -> Iterator[Line]:
    """One of two processes is lost."""
    with tempfile.TemporaryDirectory() as folder:
        yield from processes.lines(Path(folder))


@TOPIC("cuts")
def cut(run: Run) -> Iterator[Line]:
    """Trainings that are cut at random steps."""
    with tempfile.TemporaryDirectory() as folder:
        for line in cuts.lines(2 if run.quick else 40, Path(folder), run.seed):
            if any(line.numbers[fault] for fault in cuts.FAULTS):
                run.failures.append(f"cuts, {line.method}")
            yield line


@TOPIC("locks")
def locked(run: Run) -> Iterator[Line]:
    """Processes that want to train in one folder at once."""
    warm()
    with tempfile.TemporaryDirectory() as folder:
        line = locks.line(4 if run.quick else 40, Path(folder), run.seed)
        if any(line.numbers[fault] for fault in locks.FAULTS):
            run.failures.append("locks")
        yield line


@TOPIC("totals")
def totals(run: Run) -> Iterator[Line]:
    """Sums over the kinds of work."""
    sums: dict[str, Counter[str]] = {}
    for row in read(run.out / "faults.csv"):
        if row.experiment in WORKS and not row.measure.startswith(("at ", "before ")):
            sums.setdefault(row.method, Counter())[row.measure] += int(row.value)
    yield from (Line("All kinds of work", method, tally) for method, tally in sums.items())


if __name__ == "__main__":
    TOPIC.main(sys.argv[1:], "tests.faults")
