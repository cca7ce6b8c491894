"""All methods on the CPU at all shapes, and how time and memory grow with N.

Draws cpu.svg and scaling.svg; see docs/benchmarks/index.md.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ..measure import fitted_exponent, measured, verdict
from ..memory import MIB, host_peak_bytes
from ..methods import METHODS, Call, Method
from ..pictures import plot_methods, plot_scaling
from ..rows import Line, Row
from ..runner import Run, Topic
from ..shapes import CPU, MAX_EXPONENT, SCALING, Shape, max_scaling_bytes
from ..timing import host_clock

SCALED = ("energyflow", "papers", "floor")
GROWTH = "Growth with N at d = 2, P = 32"


def _pictures(rows: list[Row], out: Path) -> None:
    growth = [row for row in rows if row.experiment == GROWTH]
    plot_methods(out / "cpu.svg", [row for row in rows if row.experiment != GROWTH])
    if growth:
        plot_scaling(out / "scaling.svg", growth)


TOPIC = Topic(
    "cpu", "CPU", __doc__, pictures=_pictures,
    options={
        "seconds": "time a method and shape",
        "methods": "names, separated by commas (default: all)",
        "shrink": "divide all N by this, for a trial",
    },
)  # fmt: skip


def _compared(
    run: Run, shapes: Iterable[Shape], known: Collection[str], methods: str, seconds: float,
    shrink: int, **table: str,
) -> Iterator[Line]:  # fmt: skip
    """Lines of all known methods, or of those that are named; `shrink` divides N for a trial."""
    names = [name for name in known if not methods or name in methods.split(",")]
    seconds, shrink = (0.05, 50) if run.quick else (seconds, shrink)

    def memory(method: Method, shape: Shape, call: Call) -> int | None:
        return host_peak_bytes(method.name, shape, run.seed)

    for shape in shapes:
        if shrink > 1:  # targets are for the shapes as they stand
            shape = Shape(max(2, shape.n // shrink), shape.d, shape.p)
        yield from measured(
            shape, "cpu", host_clock, memory, run=run, seconds=seconds, names=names, **table
        )


def shape(
    run: Run, shape: Shape, *, seconds: float = 1.0, methods: str = "", shrink: int = 1
) -> Iterator[Line]:
    """All methods at one shape."""
    return _compared(run, [shape], METHODS["cpu"], methods, seconds, shrink)


for _shape in CPU:
    TOPIC(_shape.name, shape=_shape)(shape)


@TOPIC("growth")
def growth(run: Run, *, seconds: float = 1.0, methods: str = "", shrink: int = 1) -> Iterator[Line]:
    """Time and memory over N, and the exponent of N in our time."""
    table = {"title": GROWTH, "label": "{method}, N = M = {n}"}
    ours: dict[int, tuple[float, float]] = {}
    for line in _compared(run, SCALING, SCALED, methods, seconds, shrink, **table):
        kept = {name: line.numbers.get(name, math.nan) for name in ("ms", "peak extra MiB")}
        yield replace(line, numbers=kept)
        if line.method.startswith("energyflow") and kept["ms"] > 0:
            ours[int(line.method.split()[-1])] = tuple(kept.values())
    if len(ours) > 1:
        exponent = fitted_exponent(ours, [ms for ms, _ in ours.values()])
        share = max(mib * MIB / max_scaling_bytes(n) for n, (_, mib) in ours.items())
        note = "; ".join(
            (
                verdict(f"time grows like N^{exponent:.3f}", exponent, MAX_EXPONENT),
                verdict(f"{share:.2f} of 64 MiB plus twice the output", share, 1),
            )
        )
        yield Line(GROWTH, "energyflow, exponent of N", {"ms": exponent}, note)
