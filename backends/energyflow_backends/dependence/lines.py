"""Distance covariances of pairs of rows for the exponent 1, by sorting, in array-API code.

What is summed are discordant pairs, those that x and y order differently. From the highest bit of
the ranks in y on, nodes of points that agree in the bits above, in the order of x, are parted into
those with a 0 and those with a 1: a pair is discordant where a 1 comes before a 0, and it is met
once. Rows are filled up to a power of two, so that all nodes of a level have one size.
"""

from __future__ import annotations

from typing import Any

import array_api_compat as compat

from .._arrays import Array, namespace, widest_dtypes
from .weights import Weights


def line_covariance(
    xs: Array, ys: Array, weights: Weights, *, wrt: tuple[str, ...]
) -> tuple[Array, Array | None, Array | None]:
    """Values (R,) and gradients (R, N) for pairs of rows xs and ys (R, N), O(N log^2 N) a row."""
    xp = namespace(xs)
    n = xs.shape[1]
    # ties of one are in the order of the other, so that they are concordant
    by_y = xp.argsort(ys, axis=1)
    order = _take(by_y, xp.argsort(_take(xs, by_y), axis=1))  # of the points by x
    x, along = _take(xs, order), _take(ys, order)
    back = xp.argsort(along, axis=1)  # places in the order of x of the points by y
    ranks = xp.argsort(back, axis=1)
    y = _take(along, back)
    count, sum_x, sum_y = (_take(v, ranks) for v in _discordant(x, along, ranks))
    sums_x, sums_y = _distance_sums(x), _distance_sums(y)

    def slopes(own: Array, other: Array, number: Array, total: Array, sums: Array) -> Any:
        """Of the row that is sorted: sum_j |other_i - other_j| sign(own_i - own_j), and all."""
        low, high = _tied(own)
        whole = xp.sum(other, axis=1, keepdims=True)
        pull = n * other - whole - 2 * (number * other - total)
        pull = pull - (xp.astype(high - low, other.dtype) * other - _between(other, low, high))
        signs = xp.astype(low + high - n, other.dtype)
        below = _upto(sums)
        signed = xp.take_along_axis(below, low, axis=1) + xp.take_along_axis(below, high, axis=1)
        signed = signed - below[:, -1:]
        everything = xp.sum(sums, axis=1, keepdims=True)
        slope = 2 * (
            weights[0] * pull
            + weights[1] / 2 * (sums * signs + signed)
            + weights[2] * everything * signs
        )
        return pull, slope

    pull, slope = slopes(x, along, count, sum_y, _take(sums_y, ranks))
    moments = (
        2 * xp.sum(x * pull, axis=1),
        xp.sum(sums_x * _take(sums_y, ranks), axis=1),
        xp.sum(sums_x, axis=1) * xp.sum(sums_y, axis=1),
    )
    value = sum((w * m for w, m in zip(weights, moments, strict=True)), start=0.0 * moments[0])
    gx = _take(slope, xp.argsort(order, axis=1)) if "x" in wrt else None
    gy = None
    if "y" in wrt:
        across = [_take(v, back) for v in (x, count, sum_x, sums_x)]
        places = xp.argsort(_take(order, back), axis=1)
        gy = _take(slopes(y, *across)[1], places)
    return value, gx, gy


def _discordant(x: Array, y: Array, ranks: Array) -> tuple[Array, Array, Array]:
    """Number of the discordant points of each, and sums of their x and y, in the order of ranks.

    x (R, N) is sorted; y and ranks are in its order.
    """
    xp = namespace(x)
    rows, n = x.shape
    size = 1 << (n - 1).bit_length()
    more = xp.arange(n, size, dtype=ranks.dtype, device=compat.device(ranks))
    ranks = xp.concat([ranks, xp.broadcast_to(more, (rows, size - n))], axis=1)
    nothing = xp.zeros((rows, size - n), dtype=x.dtype, device=compat.device(x))
    x, y = (xp.concat([v, nothing], axis=1) for v in (x, y))
    sums = [xp.zeros_like(x) for _ in range(3)]
    half = size // 2
    while half:
        shape = (rows, size // (2 * half), 2 * half)
        node = [xp.reshape(v, shape) for v in (x, y, ranks, *sums)]
        one = node[2] % (2 * half) >= half
        mask = xp.astype(one, x.dtype)
        for place, values in enumerate((xp.ones_like(mask), node[0], node[1])):
            ones = xp.cumulative_sum(mask * values, axis=2)
            zeros = xp.cumulative_sum((1 - mask) * values, axis=2)
            later = zeros[:, :, -1:] - zeros
            node[3 + place] = node[3 + place] + xp.where(one, later, ones)
        parted = xp.argsort(xp.astype(one, ranks.dtype), axis=2)
        x, y, ranks, *sums = (
            xp.reshape(xp.take_along_axis(v, parted, axis=2), (rows, size)) for v in node
        )
        half //= 2
    return sums[0][:, :n], sums[1][:, :n], sums[2][:, :n]


def _take(rows: Array, places: Array) -> Array:
    return namespace(rows).take_along_axis(rows, places, axis=1)


def _upto(rows: Array) -> Array:
    """Sums of what comes before each place, and of all, (R, N + 1)."""
    xp = namespace(rows)
    return xp.concat([xp.zeros_like(rows[:, :1]), xp.cumulative_sum(rows, axis=1)], axis=1)


def _between(rows: Array, low: Array, high: Array) -> Array:
    xp = namespace(rows)
    upto = _upto(rows)
    return xp.take_along_axis(upto, high, axis=1) - xp.take_along_axis(upto, low, axis=1)


def _distance_sums(row: Array) -> Array:
    """Sums over j of |x_i - x_j|, of sorted rows (R, N)."""
    xp = namespace(row)
    n = row.shape[1]
    upto = xp.cumulative_sum(row, axis=1)
    place = xp.arange(1, n + 1, dtype=row.dtype, device=compat.device(row))
    return row * (2 * place - n) + (upto[:, -1:] - 2 * upto)


def _tied(row: Array) -> tuple[Array, Array]:
    """Places where the numbers equal to each begin and end in sorted rows (R, N)."""
    xp = namespace(row)
    n = row.shape[1]
    whole = widest_dtypes(row)[1]
    place = xp.arange(n, dtype=whole, device=compat.device(row))
    place = xp.broadcast_to(place, row.shape)
    edge = xp.ones_like(row[:, :1], dtype=xp.bool)
    new = xp.concat([edge, row[:, 1:] != row[:, :-1]], axis=1)
    last = xp.concat([row[:, 1:] != row[:, :-1], edge], axis=1)
    low = _running_max(xp.where(new, place, xp.zeros_like(place)))
    high = n - _running_max(xp.flip(xp.where(last, n - 1 - place, xp.zeros_like(place)), axis=1))
    return low, xp.flip(high, axis=1)


def _running_max(rows: Array) -> Array:
    """The largest so far, in log N steps: the standard has no cumulative maximum."""
    xp = namespace(rows)
    step = 1
    while step < rows.shape[1]:
        moved = xp.concat([rows[:, :step], rows[:, :-step]], axis=1)
        rows = xp.maximum(rows, moved)
        step *= 2
    return rows
