"""One shape at a time: who can run, who is right, and then time and memory of those."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import energyflow as ef

from .methods import METHODS, Call, Method, Oracle, to_numpy
from .shapes import Problem, Shape, problem
from .timing import Clock, medians

_FAILURES = (
    ArithmeticError, AttributeError, ImportError, MemoryError, RuntimeError, TypeError, ValueError,
    ef.EnergyflowError,
)  # fmt: skip
_FULL = ("MemoryError", "OutOfMemoryError")  # the latter of torch and of CuPy
Memory = Callable[[Method, Shape, Call], int | None]


@dataclass(frozen=True)
class Row:
    """What one method did at one shape; a note says why numbers are missing."""

    shape: Shape
    method: str
    seconds: float | None = None
    speedup: float | None = None  # over the papers' algorithm
    floors: float | None = None  # times the floor
    extra_bytes: int | None = None
    memory_ratio: float | None = None  # to the papers' algorithm
    error: float | None = None  # of the gradient, relative, in norm
    wrong: bool = False  # or failed, but for want of memory
    note: str = ""


def verified(
    task: Problem, device: str, names: Iterable[str] | None = None
) -> tuple[dict[str, Row], dict[str, Call]]:
    """Build each method, call it once and compare; rows of all, calls of those to be timed."""
    oracle = Oracle(task, device)
    rows: dict[str, Row] = {}
    calls: dict[str, Call] = {}
    for name, method in METHODS[device].items():
        if names is not None and name not in names:
            continue
        row = Row(task.shape, name)
        reason = method.unusable(task, device)
        if reason is None:
            try:
                call = method.build(task, device)
                gradient = to_numpy(call())
            except _FAILURES as failure:  # the other methods go on; the run fails in the end
                kind = type(failure).__name__
                reason = f"{kind}: {' '.join(str(failure).split())[:120]}"
                row = replace(row, wrong=kind not in _FULL)
        if reason is not None:
            rows[name] = replace(row, note=reason)
            continue
        error = oracle.error(method, gradient)
        if error > method.tolerance:
            rows[name] = replace(row, error=error, wrong=True, note="wrong, so not timed")
            continue
        checked = method.gives in ("sliced", "exact", "half")
        rows[name] = replace(row, error=error if checked else None)
        calls[name] = call
    return rows, calls


def measure(
    shape: Shape,
    device: str,
    clock: Clock,
    memory: Memory,
    *,
    seed: int,
    seconds: float,
    names: Iterable[str] | None = None,
) -> list[Row]:
    """Rows of all methods (or those named) at one shape."""
    rows, calls = verified(problem(shape, seed), device, names)
    taken = medians(calls, clock, seconds=seconds)
    extra = {name: memory(METHODS[device][name], shape, call) for name, call in calls.items()}
    for name in calls:
        rows[name] = replace(
            rows[name],
            seconds=taken[name],
            speedup=_ratio(taken.get("papers"), taken[name]),
            floors=_ratio(taken[name], taken.get("floor")),
            extra_bytes=extra[name],
            memory_ratio=_ratio(extra[name], extra.get("papers")),
        )
    return list(rows.values())


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or not denominator else numerator / denominator


def met(row: Row) -> list[tuple[str, bool]]:
    """The targets of the row's shape, as text, and whether the row meets them."""
    shape, targets = row.shape, []
    if shape.min_speedup is not None and row.speedup is not None:
        text = f"{row.speedup:.1f} times faster than papers (wanted: {shape.min_speedup:g})"
        targets.append((text, row.speedup >= shape.min_speedup))
    if shape.max_floors is not None and row.floors is not None:
        text = f"{row.floors:.2f} times the floor (wanted: at most {shape.max_floors:g})"
        targets.append((text, row.floors <= shape.max_floors))
    if shape.max_memory is not None and row.memory_ratio is not None:
        text = f"{row.memory_ratio:.2f} of papers' memory (wanted: at most {shape.max_memory:.2f})"
        targets.append((text, row.memory_ratio <= shape.max_memory))
    return targets


def fitted_exponent(rows: Iterable[Row]) -> float:
    """The slope of log time over log N, by least squares."""
    points = [(math.log(r.shape.n), math.log(r.seconds)) for r in rows if r.seconds]
    mean_n, mean_t = (sum(v) / len(points) for v in zip(*points, strict=True))
    spread = sum((n - mean_n) ** 2 for n, _ in points)
    return sum((n - mean_n) * (t - mean_t) for n, t in points) / spread
