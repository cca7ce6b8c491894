"""Every loader fed with damaged files by atheris, guided by coverage.

    python -m benchmarks.fuzz [TARGET ...] [--seconds 60] [--more]

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
from dataclasses import replace
from pathlib import Path

import numpy as np

from .rows import Row, command, read, shown, write

ROOT = Path(__file__).parent.parent
FOUND = ROOT / ".fuzz"
sys.path.insert(0, str(ROOT / "tests"))
from fuzz.targets import TARGETS  # noqa: E402

_ENTRIES = [f"{name}/entries" for name, target in TARGETS.items() if target.name.endswith("json")]
_MOST_CRASHES = 5  # of one target


def fuzzed(name: str, seconds: float) -> Iterator[Row]:
    """Executions, files read and refused, crashes, and by how much memory grew."""
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    began, cpu = time.monotonic(), _cpu()
    executions = accepted = refused = crashes = new = 0
    grown = 0.0
    while crashes < _MOST_CRASHES and (left := int(seconds - time.monotonic() + began)) > 0:
        (folder / "counts").unlink(missing_ok=True)
        done, told = _run(name, folder, left)
        if not (folder / "counts").exists():
            raise RuntimeError(f"{name} did not start: {told[-4000:]}")
        stats = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s+(\d+)", told)}
        executions += stats.get("number_of_executed_units", 0)
        new += stats.get("new_units_added", 0)
        first = re.search(r"INITED .* rss: (\d+)Mb", told)
        grown = max(grown, stats.get("peak_rss_mb", 0) - int(first[1] if first else 0))
        counts = np.fromfile(folder / "counts", np.int64)
        accepted, refused = accepted + counts[0], refused + counts[1]
        if done:
            crashes += 1
            print(told[-4000:], file=sys.stderr)
    for measure, value in (
        ("executions", executions), ("read", accepted), ("refused", refused), ("crashes", crashes),
        ("new inputs", new), ("growth in MiB", grown), ("CPU seconds", _cpu() - cpu),
    ):  # fmt: skip
        yield Row("files", name, 0, measure, float(value))


def _run(name: str, folder: Path, seconds: int) -> tuple[int, str]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as top:
        path = os.pathsep.join(["tests", *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"PYTHONPATH": path, "TMPDIR": top, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "fuzz", name, str(folder), f"-max_total_time={seconds}"],
            cwd=ROOT, env={**os.environ, **own, "ENERGYFLOW_NUM_THREADS": "1"},
            stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
    return done.returncode, done.stdout


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def replaced(before: list[Row], rows: list[Row]) -> list[Row]:
    """All rows, the new ones in place of those of the same targets."""
    names = {row.method for row in rows}
    return [*(row for row in before if row.method not in names), *rows]


def added(rows: list[Row]) -> list[Row]:
    """One row for each target and measure: their sums, and the largest growth."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.method, row.measure
        join = max if row.measure.startswith("growth") else float.__add__
        old = found.get(key)
        found[key] = row if old is None else replace(row, value=join(old.value, row.value))
    return list(found.values())


def main() -> None:
    """Fuzz, and exit with 1 where something broke."""
    parser = command("fuzz", __doc__, [*TARGETS, *_ENTRIES])
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--more", action="store_true", help="add to what earlier runs have counted")
    asked = parser.parse_args()
    names = asked.names or [*TARGETS, *_ENTRIES]
    seconds = 2 if asked.quick else asked.seconds
    broken = []
    for name in names:
        rows = shown(fuzzed(name, seconds))
        before = read(asked.out / "fuzz.csv")
        kept = added([*before, *rows]) if asked.more else replaced(before, rows)
        write(asked.out / "fuzz.csv", "Damaged files", kept)
        broken += [name for row in rows if row.measure == "crashes" and row.value]
    if broken:
        raise SystemExit(f"broken: {', '.join(broken)}, see {FOUND}")


if __name__ == "__main__":
    main()
