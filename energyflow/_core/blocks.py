"""Passes over arrays that are too large for a copy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from operator import add

from energyflow_backends import (
    Array,
    count_of_all,
    detached,
    largest,
    namespace,
    summed,
    widest_dtypes,
)

NUMBERS = 2**20  # that are worked on at once


def blocks(array: Array) -> Iterator[Array]:
    """Parts of an array along its first axis, in order; a 0-d array is one part."""
    if array.ndim == 0:
        yield array
        return
    rows = max(1, NUMBERS // max(1, math.prod(array.shape[1:])))
    for start in range(0, array.shape[0], rows):
        yield array[start : min(start + rows, array.shape[0]), ...]


def rms_radius(points: Array) -> float:
    """Root mean squared distance of points (N, d) to their mean, 0 where it is not finite.

    Processes that hold a part each get that of all points.
    """
    xp, count = namespace(points), count_of_all(points.shape[0])
    wide = widest_dtypes(points)[0]

    def parts() -> Iterator[Array]:
        return (xp.astype(block, wide, copy=False) for block in blocks(detached(points)))

    sums, lows, highs = zip(
        *((xp.sum(p, axis=0), xp.min(p, axis=0), xp.max(p, axis=0)) for p in parts()), strict=True
    )
    total, low, high = reduce(add, sums), reduce(xp.minimum, lows), reduce(xp.maximum, highs)
    mean = summed(total) / count  # (d,)
    size = float(largest(xp.max(xp.maximum(high - mean, mean - low))))
    if not 0 < size < math.inf:
        return 0.0
    squares = xp.zeros_like(mean[0])  # of numbers up to one, neither infinite nor all zero
    for part in parts():
        squares = squares + xp.sum(((part - mean) / size) ** 2)
    return size * math.sqrt(float(summed(squares)) / count)
