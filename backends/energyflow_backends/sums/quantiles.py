"""Wasserstein distances between the rows of two arrays, in array-API code."""

from __future__ import annotations

from collections.abc import Callable

import array_api_compat as compat

from .._arrays import Array, namespace, widest_dtypes
from .._point_sets import PointSets, Result


def transport_rows(
    sets: PointSets,
    p: float,
    wrt: tuple[str, ...],
    *,
    pooled_order: Callable[[Array], tuple[Array, Array]],
    searchsorted: Callable[[Array, Array, str], Array],
) -> Result:
    """W_p^p (R,) of rows (R, N) and (R, M), and the gradients (R, N) and (R, M) of those in `wrt`.

    The quantile functions of both are step functions: between two neighbours among the levels
    where one of them jumps, a point of x goes to a point of y. Equal points of a row share the
    slopes that they have together, by their weights.
    """
    xs, ys, a, b = sets
    xp, wide = namespace(xs), widest_dtypes(xs)[0]
    n, m = sets.counts
    order_x, sorted_x = pooled_order(xs)
    order_y, sorted_y = pooled_order(ys)
    zx, zy = xp.astype(sorted_x, wide, copy=False), xp.astype(sorted_y, wide, copy=False)
    if a is None and b is None and n == m:
        cost, slope = _cost(zx - zy, p)
        value = xp.sum(cost, axis=1) / n
        slopes = {"x": slope / n, "y": -slope / n}
    else:
        ends = {"x": _ends(order_x, a, n, zx), "y": _ends(order_y, b, m, zy)}
        levels = xp.sort(xp.concat([ends["x"], ends["y"]], axis=1), axis=1)  # (R, N + M)
        before = xp.concat([xp.zeros_like(levels[:, :1]), levels[:, :-1]], axis=1)
        mass = levels - before
        places = (
            xp.clip(searchsorted(e, levels, "left"), max=e.shape[1] - 1)
            for e in (ends["x"], ends["y"])
        )
        of_x, of_y = (
            xp.take_along_axis(z, place, axis=1) for z, place in zip((zx, zy), places, strict=True)
        )
        cost, slope = _cost(of_x - of_y, p)
        value = xp.sum(mass * cost, axis=1)
        sums = _padded_sums(mass * slope)  # (R, N + M + 1)
        slopes = {}
        for name, sign in (("x", 1.0), ("y", -1.0)):
            upto = xp.take_along_axis(sums, searchsorted(levels, ends[name], "right"), axis=1)
            first = xp.concat([xp.zeros_like(upto[:, :1]), upto[:, :-1]], axis=1)
            slopes[name] = sign * (upto - first)

    def at_points(name: str, points: Array, z: Array, weights: Array | None) -> Array | None:
        if name not in wrt:
            return None
        left, right = (searchsorted(z, points, side) for side in ("left", "right"))
        left = xp.clip(left, max=points.shape[1] - 1)
        sums = _padded_sums(slopes[name])
        count = xp.astype(right - left, wide)
        own = xp.take_along_axis(sums, right, axis=1) - xp.take_along_axis(sums, left, axis=1)
        if weights is None:
            shared = own / count
        else:
            group = _padded_sums(_by_order(order_x if name == "x" else order_y, weights, wide))
            total = xp.take_along_axis(group, right, axis=1) - xp.take_along_axis(
                group, left, axis=1
            )
            safe = xp.where(total > 0, total, xp.ones_like(total))
            shared = own * xp.astype(weights, wide) / safe
        alone = xp.take_along_axis(slopes[name], left, axis=1)
        return xp.astype(xp.where(count > 1, shared, alone), points.dtype, copy=False)

    return value, at_points("x", xs, sorted_x, a), at_points("y", ys, sorted_y, b)


def _cost(away: Array, p: float) -> tuple[Array, Array]:
    """|u|^p and its derivative, which is nothing at u = 0."""
    xp = namespace(away)
    if p == 2:
        return away * away, 2 * away
    if p == 1:
        return xp.abs(away), xp.sign(away)
    power = xp.abs(away) ** (p - 1)
    return power * xp.abs(away), p * xp.sign(away) * power


def _ends(order: Array, weights: Array | None, count: int, z: Array) -> Array:
    """Levels up to which each point of a sorted row reaches; the last is 1."""
    xp = namespace(z)
    if weights is None:
        levels = xp.arange(1, count + 1, dtype=z.dtype, device=compat.device(z)) / count
        return xp.broadcast_to(levels[None, :], (z.shape[0], count))
    sums = xp.cumulative_sum(_by_order(order, weights, z.dtype), axis=1)
    sums = xp.clip(sums, max=1.0)
    return xp.concat([sums[:, :-1], xp.ones_like(sums[:, -1:])], axis=1)


def _by_order(order: Array, weights: Array, dtype: object) -> Array:
    xp = namespace(weights)
    return xp.take_along_axis(xp.astype(weights, dtype, copy=False), order, axis=1)


def _padded_sums(terms: Array) -> Array:
    """Sums of the first k terms of each row, for k = 0 to all."""
    xp = namespace(terms)
    sums = xp.cumulative_sum(terms, axis=1)
    return xp.concat([xp.zeros_like(sums[:, :1]), sums], axis=1)
