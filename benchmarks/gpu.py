"""Check every GPU path against the reference, then time all methods on the GPU.

Writes gpu-<device>.csv, gpu-<device>.md and gpu-<device>-checks.csv into $OUT or the results.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __package__ in (None, ""):
    raise SystemExit("run it from the repository's root: python -m benchmarks.gpu")
for folder in ("kernels", "backends"):
    sys.path.insert(0, str(ROOT / folder))
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the GPU is shared with torch


class Checks:
    """A pytest plugin that keeps what each check said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str, str]] = []  # check, outcome, error, why

    def pytest_runtest_logreport(self, report) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        name = report.nodeid.partition("::")[2]
        error = dict(report.user_properties).get("error")
        why = ""
        if report.skipped:
            why = report.longrepr[2]
        elif report.failed:
            text = str(getattr(report.longrepr, "reprcrash", None) or report.longrepr)
            why = " ".join(text.split())[:200]
        self.lines.append((name, report.outcome, "" if error is None else f"{error:.1e}", why))

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.lines.append((report.nodeid, "failed", "", " ".join(str(report.longrepr).split())))


def main() -> None:
    arguments = _arguments()
    reason = _no_gpu()
    if reason:
        raise SystemExit(f"benchmarks.gpu: {reason}")
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    name = re.sub(r"[^A-Za-z0-9.]+", "-", torch.cuda.get_device_name()).strip("-").lower()
    stem = arguments.out / f"gpu-{name}"
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    if not arguments.skip_checks:
        failed = _check(Path(f"{stem}-checks.csv"))
    wrong = 0 if arguments.checks_only else _time(stem, arguments)
    raise SystemExit(1 if failed or wrong else 0)


def _arguments() -> argparse.Namespace:
    out = Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=out, help="folder for the results")
    parser.add_argument("--seconds", type=float, default=1.0, help="time a method and shape")
    parser.add_argument("--seed", type=int, default=0, help="of data and directions")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--checks-only", action="store_true", help="time nothing")
    only.add_argument("--skip-checks", action="store_true", help="time only")
    return parser.parse_args()


def _no_gpu() -> str | None:
    if find_spec("torch") is None:
        return "torch is not installed"
    import torch

    return None if torch.cuda.is_available() else "torch sees no GPU"


def _check(path: Path) -> int:
    """Run the checks, print and write their table; how many failed."""
    import pytest

    checks = Checks()
    test = Path(__file__).with_name("test_gpu.py")
    options = ["-q", "--no-header", "--no-summary", "-W", "default", "-p", "no:cacheprovider"]
    status = pytest.main([*options, f"--rootdir={ROOT}", str(test)], plugins=[checks])
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("check", "outcome", "relative_error", "why"))
        writer.writerows(checks.lines)
    width = max((len(line[0]) for line in checks.lines), default=0)
    for check, outcome, error, why in checks.lines:
        print(f"{check:{width}}  {outcome:7}  {error:7}  {why}".rstrip())
    counts = Counter(line[1] for line in checks.lines)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()), flush=True)
    return max(counts["failed"], int(status != 0))


def _time(stem: Path, arguments: argparse.Namespace) -> int:
    """Time all methods at all shapes, print and write the tables; how many were wrong."""
    from . import tables
    from .machine import record
    from .measure import Call, Method, Row, measure
    from .memory import cuda_peak_bytes
    from .shapes import CPU, GPU, Shape
    from .timing import cuda_clock

    def memory(method: Method, shape: Shape, call: Call) -> int | None:
        return None if "jax" in method.needs else cuda_peak_bytes(call)

    rows: list[Row] = []
    seed, seconds = arguments.seed, arguments.seconds
    about = record("cuda", seed)
    shapes = (*GPU, *(Shape(shape.n, shape.d, shape.p) for shape in CPU))
    for shape in shapes:
        print(f"(N, d, P) = {shape}", flush=True)
        rows += measure(shape, "cuda", cuda_clock, memory, seed=seed, seconds=seconds)
        # after every shape, so that an interrupted run leaves what it has
        tables.write_csv(Path(f"{stem}.csv"), rows, about)
        text = "\n".join(tables.markdown(f"GPU: {about['machine']}", rows, about))
        Path(f"{stem}.md").write_text(text)
    print(text)
    return sum(row.wrong for row in rows)


if __name__ == "__main__":
    main()
