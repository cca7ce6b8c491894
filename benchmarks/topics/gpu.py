"""Check every GPU path against the reference, then time all methods on the GPU.

Writes gpu-<device>.csv and .md, into $OUT where that is set. Needs no more than torch.
"""

import math
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..measure import measured
from ..memory import cuda_peak_bytes
from ..methods import METHODS, Call, Method
from ..runner import Line, Run, Topic
from ..shapes import CPU, GPU, Shape
from ..timing import cuda_clock

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "backends" / "test_gpu.py"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the GPU is shared with torch


def _device() -> str:
    """The name of the GPU, after switching TF32 off."""
    if find_spec("torch") is None:
        raise SystemExit("benchmarks gpu: torch is not installed")
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("benchmarks gpu: torch sees no GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return re.sub(r"[^A-Za-z0-9.]+", "-", torch.cuda.get_device_name()).strip("-").lower()


class _GPU(Topic):
    def main(self, words: Any, module: str = "") -> None:
        self.file = f"gpu-{_device()}"
        super().main(words, module)


OPTIONS = {"seconds": "time a method and shape"}
TOPIC = _GPU("gpu", "GPU", __doc__, device="cuda", threads=0, options=OPTIONS)


class _Checks:
    """A pytest plugin that keeps what each check said."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.failed = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        why = report.outcome
        if report.skipped:
            why += f": {report.longrepr[2]}"
        elif report.failed:
            self.failed += 1
            text = str(getattr(report.longrepr, "reprcrash", None) or report.longrepr)
            why += f": {' '.join(text.split())[:200]}"
        name = report.nodeid.partition("::")[2]
        error = dict(report.user_properties).get("error", math.nan)
        note = "" if report.passed else f"{name}: {why}"
        self.lines.append(Line("checks", name, {"relative error": error}, note))


@TOPIC("checks")
def checks(run: Run) -> Iterator[Line]:
    """Every GPU path against the reference."""
    import pytest

    plugin = _Checks()
    options = ["-q", "--no-header", "--no-summary", "--noconftest", "-W", "default"]
    quick = ["-k", "equal_sets or steady"] if run.quick else []
    places = ["-p", "no:cacheprovider", f"--rootdir={ROOT}", str(TESTS), *quick]
    status = pytest.main([*options, *places], plugins=[plugin])
    if status != 0:
        run.failures.append(f"{plugin.failed} checks")
    yield from plugin.lines


def _memory(method: Method, shape: Shape, call: Call) -> int | None:
    return None if "jax" in method.needs else cuda_peak_bytes(call)


def shape(run: Run, shape: Shape, *, seconds: float = 1.0) -> Iterator[Line]:
    """All methods at one shape."""
    if run.quick:
        shape, seconds = Shape(max(2, shape.n // 50), shape.d, shape.p), 0.05
    return measured(
        shape, "cuda", cuda_clock, _memory, run=run, seconds=seconds, names=METHODS["cuda"]
    )


for _shape in (*GPU, *(Shape(shape.n, shape.d, shape.p) for shape in CPU)):
    TOPIC(_shape.name, shape=_shape)(shape)
