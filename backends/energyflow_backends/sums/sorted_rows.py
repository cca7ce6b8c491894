"""One-dimensional energy distances of rows for r = 1, from one sort of each pooled row.

With the distribution functions A and B of the points of x and y, the value is 2 times the integral
of (A - B)^2, a sum of non-negative terms, and gradients are made of left and right limits of A
and B at each point: ties get mid-ranks.
"""

from __future__ import annotations

from collections.abc import Callable

import array_api_compat as compat

from .._arrays import Array, namespace, widest_dtypes
from .._point_sets import PointSets, Request, Result

Limits = Callable[[Array, Array, Array, int], Callable[[Array], Array]]


def sorted_rows(
    sets: PointSets,
    request: Request,
    *,
    pooled_order: Callable[[Array], tuple[Array, Array]],
    limits: Limits,
) -> Result:
    """Values (R,) and gradients of rows x (R, N) and y (R, M).

    Counts or weights are summed along the sorted row. Left and right limits of the distribution
    functions are looked up at each point's own place, so no permutation is inverted and nothing
    depends on the order of the points. `pooled_order` and `limits` are as in `Backend`.
    """
    xs, ys, a, b = sets
    xp, (n, m) = namespace(xs), sets.counts
    wide, _ = widest_dtypes(xs)
    order, pooled = pooled_order(xp.concat([xs, ys], axis=1))  # (R, L)
    above_a, above_b = _cumulated(order, n, m, a, b)  # (R, L)
    pooled_wide = xp.astype(pooled, wide)
    gaps = pooled_wide[:, 1:] - pooled_wide[:, :-1]
    s_x, s_y = self_scales(a, b, n, m, request.unbiased)
    difference = cdf_difference(above_a, above_b, n, m, a, b)
    value = 2 * xp.sum(gaps * difference[:, :-1] ** 2, axis=1)
    if request.unbiased:
        cdf_a, cdf_b = _cdf(above_a, n, a), _cdf(above_b, m, b)
        for cdf, s in ((cdf_a, s_x), (cdf_b, s_y)):
            mean_distance = 2 * xp.sum(gaps * (cdf * (1 - cdf))[:, :-1], axis=1, keepdims=True)
            value = value - ((s - 1) * mean_distance)[:, 0]

    def gradient(points: Array, weights: Array | None, side: str) -> Array:
        at_points = limits(pooled, order, points, 0 if side == "x" else n)
        pull = -at_points(difference) if side == "x" else at_points(difference)
        if request.unbiased:
            own, s = (cdf_a, s_x) if side == "x" else (cdf_b, s_y)
            pull = pull - (s - 1) * (at_points(own) - 1)
        share = 1 / points.shape[1] if weights is None else xp.astype(weights, wide)
        return xp.astype(2 * share * pull, points.dtype)

    gx = gradient(xs, a, "x") if "x" in request.wrt else None
    gy = gradient(ys, b, "y") if "y" in request.wrt else None
    return value, gx, gy


def _cumulated(
    order: Array, n: int, m: int, a: Array | None, b: Array | None
) -> tuple[Array, Array]:
    """Points of x and of y (or their weights) up to and with each place of the sorted row."""
    xp = namespace(order)
    wide, whole = widest_dtypes(order)
    is_x = order < n

    def cumulated(weights: Array, mine: Array, offset: int) -> Array:
        own = xp.clip(order - offset, 0, weights.shape[1] - 1)
        taken = xp.take_along_axis(xp.astype(weights, wide), own, axis=1)
        sums = xp.cumulative_sum(xp.where(mine, taken, xp.zeros_like(taken)), axis=1)
        # however they round, so that points that are all equal have no gradient
        return xp.concat([sums[:, :-1], xp.ones_like(sums[:, -1:])], axis=1)

    counts = xp.cumulative_sum(xp.astype(is_x, whole), axis=1)
    place = xp.arange(1, n + m + 1, dtype=whole, device=compat.device(order))
    return (
        counts if a is None else cumulated(a, is_x, 0),
        place - counts if b is None else cumulated(b, ~is_x, n),
    )


def self_scales(
    a: Array | None, b: Array | None, n: int, m: int, unbiased: bool
) -> tuple[Array | float, Array | float]:
    """The factors s_x and s_y of the self-terms: 1 for V, 1 / (1 - sum a^2) for U."""

    def factor(weights: Array | None, count: int) -> Array | float:
        if not unbiased:
            return 1.0
        if weights is None:
            return count / (count - 1)
        xp = namespace(weights)
        wide = widest_dtypes(weights)[0]
        squares: Array = xp.sum(xp.astype(weights, wide) ** 2, axis=1, keepdims=True)
        return 1 / (1 - squares)  # (R, 1)

    return factor(a, n), factor(b, m)


def cdf_difference(
    above_a: Array, above_b: Array, n: int, m: int, a: Array | None, b: Array | None
) -> Array:
    """A - B along the sorted row, in whole numbers where both weights are uniform and it fits."""
    xp = namespace(above_a)
    wide = widest_dtypes(above_a)[0]
    if a is None and b is None and n * m <= xp.iinfo(above_a.dtype).max:
        whole: Array = xp.astype(above_a * m - above_b * n, wide)
        return whole / (n * m)
    return _cdf(above_a, n, a) - _cdf(above_b, m, b)


def _cdf(above: Array, count: int, weights: Array | None) -> Array:
    wide: Array = namespace(above).astype(above, widest_dtypes(above)[0])
    return wide / (count if weights is None else 1)
