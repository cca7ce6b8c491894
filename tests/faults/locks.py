"""Two to eight processes that want to train in one folder at once: one does."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.rows import Line

from .disturbed import Case
from .signals import Forked, contents
from .works import WORKS

EXPERIMENT = "processes that want to train in one folder at once"
FAULTS = ("other winners", "other messages", "other ends")
_IN_USE = re.compile(r"energyflow: run: the folder is in use by process (\d+) on \S+\n")
_WORK = WORKS["train flow-matching"]


def _train() -> int:
    """Train, but wait with the folder held until the others are done."""
    from energyflow.models import RunFolder

    start = RunFolder.start

    def started(self: RunFolder, settings: dict) -> None:
        while not Path("others are done").exists():
            time.sleep(0.01)
        start(self, settings)

    RunFolder.start = started
    return _WORK.do()


def line(n_groups: int, folder: Path, seed: int = 0) -> Line:
    """So many groups, beside a process that is alone."""
    rng = np.random.default_rng(seed)
    case = Case(_WORK, folder / "alone", folder / "alone.log")
    tally: Counter[str] = Counter({"groups": n_groups})
    for _ in range(n_groups):
        case.fresh()
        n = int(rng.integers(2, 9))
        tally["processes"] += n
        logs = [folder / f"{k}.log" for k in range(n)]
        for log in logs:
            log.write_bytes(b"")
        processes = [Forked(_train, case.folder, log) for log in logs]
        while sum(process.poll() is None for process in processes) > 1:
            time.sleep(0.01)
        (case.folder / "others are done").touch()
        statuses = [process.wait() for process in processes]
        if sorted(statuses) != [0] + [1] * (n - 1):
            print(f"statuses {statuses}", flush=True)
            tally["other winners"] += 1
            continue
        winner = processes[statuses.index(0)].pid
        for status, log in zip(statuses, logs, strict=True):
            told = _IN_USE.fullmatch(log.read_text()) if status else None
            if status and (told is None or int(told[1]) != winner):
                print(f"message {log.read_text()!r}, the winner is {winner}", flush=True)
                tally["other messages"] += 1
        tally["ends equal to alone" if contents(case.run) == case.end else "other ends"] += 1
    measures = ("groups", "processes", *FAULTS, "ends equal to alone")
    return Line(EXPERIMENT, "train flow-matching", {name: tally[name] for name in measures})
