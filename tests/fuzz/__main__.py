"""Every loader fed with damaged files by atheris, guided by coverage.

    python -m tests.fuzz [TARGET ...] [--seconds 60] [--more]

Each target has so many seconds in a process of its own. What breaks one is kept in `.fuzz/`, and
becomes a test once it is mended; inputs that reach new code are kept there too, for the next time.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.rows import Line, read
from benchmarks.runner import Run, Topic

from .targets import TARGETS

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".fuzz"
OPTIONS = {"seconds": "for each target", "more": "add to what earlier runs have counted"}
TOPIC = Topic("fuzz", "Damaged files", __doc__, options=OPTIONS, by_method=True)
_ENTRIES = [f"{name}/entries" for name, target in TARGETS.items() if target.name.endswith("json")]
_MOST_CRASHES = 5  # of one target


def fuzzed(run: Run, name: str, *, seconds: float = 60.0, more: bool = False) -> Iterator[Line]:
    """Executions, files read and refused, crashes, and by how much memory grew.

    With `more` they are added to what earlier runs have counted.
    """
    folder = KEPT / name
    folder.mkdir(parents=True, exist_ok=True)
    began, cpu = time.monotonic(), _cpu()
    tally = dict.fromkeys(("executions", "read", "refused", "crashes", "new inputs"), 0.0)
    grown = 0.0
    seconds = 2 if run.quick else seconds
    while (
        tally["crashes"] < _MOST_CRASHES and (left := int(seconds - time.monotonic() + began)) > 0
    ):
        (folder / "counts").unlink(missing_ok=True)
        status, printed = _run(name, folder, left)
        if not (folder / "counts").exists():
            raise RuntimeError(f"{name} did not start: {printed[-4000:]}")
        stats = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s+(\d+)", printed)}
        tally["executions"] += stats.get("number_of_executed_units", 0)
        tally["new inputs"] += stats.get("new_units_added", 0)
        first = re.search(r"INITED .* rss: (\d+)Mb", printed)
        grown = max(grown, stats.get("peak_rss_mb", 0) - int(first[1] if first else 0))
        counts = np.fromfile(folder / "counts", np.int64)
        tally["read"] += counts[0]
        tally["refused"] += counts[1]
        if status:
            tally["crashes"] += 1
            print(printed[-4000:], file=sys.stderr)
    tally |= {"growth in MiB": grown, "CPU seconds": _cpu() - cpu}
    if tally["crashes"]:
        run.failures.append(f"{name}, see {KEPT}")
    if more:
        before = {r.measure: r.value for r in read(run.out / "fuzz.csv") if r.method == name}
        tally = {
            key: max(value, before.get(key, 0))
            if key == "growth in MiB"
            else value + before.get(key, 0)
            for key, value in tally.items()
        }
    yield Line("files", name, tally)


def _run(name: str, folder: Path, seconds: int) -> tuple[int, str]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as top:
        path = os.pathsep.join(["tests", *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"PYTHONPATH": path, "TMPDIR": top, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.process", name, str(folder), f"-max_total_time={seconds}"],
            cwd=ROOT, env={**os.environ, **own, "ENERGYFLOW_NUM_THREADS": "1"},
            stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
    return done.returncode, done.stdout


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


for _name in (*TARGETS, *_ENTRIES):
    TOPIC(_name, name=_name)(fuzzed)


if __name__ == "__main__":
    TOPIC.main(sys.argv[1:], "tests.fuzz")
