"""Values that travel together: two weighted point sets, what is computed of them, the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ._arrays import Array, namespace

Result: TypeAlias = tuple[Array, Array | None, Array | None]  # value, gradients for x and for y


class PointSets(NamedTuple):
    """B pairs of weighted point sets, or R rows of projected ones.

    All arrays belong to one library, device and floating dtype.
    """

    x: Array  # (B, N, d), or (R, N)
    y: Array  # (B, M, d), or (R, M)
    a: Array | None = None  # weights of x, (B, N) or (R, N); None for uniform ones
    b: Array | None = None  # weights of y, (B, M) or (R, M)

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of points N and M."""
        return self.x.shape[1], self.y.shape[1]

    def part(self, which: slice | int) -> PointSets:
        """Some of the pairs or rows, or a single one of them without the first axis."""
        x, y, a, b = self
        return PointSets(
            x[which, ...],
            y[which, ...],
            None if a is None else a[which, ...],
            None if b is None else b[which, ...],
        )


class Request(NamedTuple):
    """Which energy distance is computed, and what else of it.

    The value comes with every call: it costs little beside the sort, and it is not finite exactly
    where the data are not, which is how bad data are noticed.
    """

    exponent: float = 1.0
    estimator: str = "V"  # or "U"
    wrt: tuple[str, ...] = ("x",)  # gradients that are wanted, of "x" and "y"
    chunk_size: int | None = None  # slices, or points of one set, computed at once

    @property
    def unbiased(self) -> bool:
        """Whether the estimator is U."""
        return self.estimator == "U"


def added(left: Result, right: Result) -> Result:
    """Sums of values and of gradients, where there are some; `left` may be overwritten."""
    value, gx, gy = left
    value += right[0]
    if gx is not None:
        gx += right[1]
    if gy is not None:
        gy += right[2]
    return value, gx, gy


def mapped(function: Callable[[Array], Array], result: Result) -> Result:
    """The function of the value, and of the gradients that there are."""
    value, *gradients = result
    gx, gy = (None if g is None else function(g) for g in gradients)
    return function(value), gx, gy


def zeros(sets: PointSets, wrt: tuple[str, ...]) -> Result:
    """Sums over no slices."""
    x, y = sets.x, sets.y
    xp = namespace(x)
    gx, gy = (xp.zeros_like(v) if name in wrt else None for name, v in (("x", x), ("y", y)))
    return xp.zeros_like(x[:, 0, 0]), gx, gy
