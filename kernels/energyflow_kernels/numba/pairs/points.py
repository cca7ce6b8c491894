"""What is found out about points before their pairs are summed: their size and their place."""

import math
from typing import Any

import numpy as np

from ..rows import Doubles, Floats, locked
from ..sliced import extent
from .blocks import sum_of_squares

_DIFFERENCES = 8  # coordinates up to which gradients are sums of differences in float32, too


def by_differences(x: Floats) -> bool:
    """Whether gradients are sums of differences: products in float64 do for float32 points."""
    return x.dtype == np.float64 or x.shape[2] <= _DIFFERENCES


def sizes_of(x: Floats, y: Floats, exponent: float) -> Doubles:
    """Powers of two near the size of each set's numbers, 1 where their squares are safe."""
    sizes = np.ones(len(x))
    for k, points in enumerate(zip(x, y, strict=True)):
        squares = max(sum_of_squares(locked(p.reshape(-1))) for p in points)
        if exponent == 1 and 1e-200 < squares < 1e200:
            continue
        size = math.sqrt(squares) if 1e-200 < squares < 1e200 else _largest(points)
        if 0 < size < math.inf:
            sizes[k] = math.ldexp(1.0, min(max(math.frexp(size)[1], -1022), 1023))
    return sizes


def _largest(points: Any) -> float:
    return max(float(np.max(np.abs(p))) for p in points)


def middles_of(x: Floats, y: Floats) -> Doubles:
    """What to take off the points before inner products: nothing, but where they lie far out."""
    middles = np.zeros((len(x), x.shape[2]))
    for middle, points in zip(middles, zip(x, y, strict=True), strict=True):
        lows, highs = zip(*(extent(p) for p in points), strict=True)
        low, high = np.minimum(*lows).astype(np.float64), np.maximum(*highs).astype(np.float64)
        centre = low / 2 + high / 2
        if np.max(np.abs(centre)) > 2 * np.max(high - low):
            middle[:] = centre
    return middles
