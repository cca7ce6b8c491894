"""Kernels on the line, and the sums of one of them by sorting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._arrays import Array, namespace
from .waves import Waves


@dataclass(frozen=True, eq=False)
class LineKernel:
    """The function f(u) = constant + coefficient |u|^exponent + sum_k weight_k cos(2 pi k u)."""

    constant: float = 0.0
    coefficient: float = 0.0
    exponent: float = 1.0
    waves: Waves | None = None


def sorted_sums(
    xs: Array,
    ys: Array,
    w: Array,
    derivative: bool,
    *,
    pooled_order: Callable[[Array], tuple[Array, Array]],
    searchsorted: Callable[[Array, Array, str], Array],
) -> Array:
    """Sums of w_j |x_i - y_j|, or of w_j sign(x_i - y_j) with sign(0) = 0, by sorting y: (R, N)."""
    xp = namespace(xs)
    order, ys = pooled_order(ys)
    w = xp.take_along_axis(w, order, axis=1)

    def up_to(terms: Array) -> Array:
        sums = xp.cumulative_sum(terms, axis=1)
        return xp.concat([xp.zeros_like(sums[:, :1]), sums], axis=1)  # (R, M + 1)

    def twice_less_total(sums: Array, *places: Array) -> Array:
        left, right = (xp.take_along_axis(sums, place, axis=1) for place in places)
        return left + right - sums[:, -1:]

    right = searchsorted(ys, xs, "right")
    if derivative:
        return twice_less_total(up_to(w), searchsorted(ys, xs, "left"), right)
    mass, moment = (twice_less_total(up_to(v), right, right) for v in (w, w * ys))
    return xs * mass - moment
