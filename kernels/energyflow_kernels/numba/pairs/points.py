"""Two point sets as one array, of a size and at a place where sums over pairs lose no digits."""

import math
from typing import Any, NamedTuple

import numpy as np

from ...typing import Doubles, Floats
from ..rows import locked
from ..sliced import extent
from .blocks import sum_of_squares

_DIFFERENCES = 8  # coordinates up to which gradients are sums of differences in float32, too
_SAFE = 1e-200, 1e200  # squares of numbers in between neither vanish nor overflow
_FARTHEST = 2.0**-900  # so that differences do not overflow
NOTHING = np.empty(0)
_NONE = locked(NOTHING), locked(np.empty(0, np.float32))


class PooledSets(NamedTuple):
    """B pairs of sets, each as the points of x and then those of y, over a power of two."""

    doubles: Doubles  # all points, flat; empty where they are in `singles`
    singles: Floats
    sizes: Doubles | None  # what the points were divided by, (B,); None for ones
    exact: bool  # whether gradients are sums of differences, not differences of sums


def pooled(x: Floats, y: Floats, exponent: float, length: float = math.inf) -> PooledSets:
    """Both sets (B, N, d) and (B, M, d) of one dtype in one copy.

    Products in float64 do for gradients of float32 points that do not lie far out; those that do
    are moved first, to a midrange. What is beyond many lengths of a kernel may overflow, so that
    what is within a length is seen.
    """
    z = np.concatenate([x, y], axis=1)
    if z.dtype == np.float32:
        if z.shape[2] <= _DIFFERENCES:
            return PooledSets(_NONE[0], locked(z.reshape(-1)), None, exact=True)
        middles = _middles(z)
        if middles is None:
            return PooledSets(_NONE[0], locked(z.reshape(-1)), None, exact=False)
        return PooledSets(locked((z - middles).reshape(-1)), _NONE[1], None, exact=False)
    sizes = _sizes(z, exponent, length)
    if sizes is not None:
        z /= sizes[:, None, None]
    return PooledSets(locked(z.reshape(-1)), _NONE[1], sizes, exact=True)


def _sizes(z: Doubles, exponent: float, length: float) -> Doubles | None:
    """Powers of two near the size of each set's numbers, None where their squares are safe.

    Powers other than |z|^1 are computed near 1, whatever the unit of the points.
    """
    low, high = _SAFE
    squares = [sum_of_squares(locked(points.reshape(-1))) for points in z]
    if exponent == 1 and all(low < s < high for s in squares):
        return None
    sizes = np.ones(len(z))
    for k, (points, s) in enumerate(zip(z, squares, strict=True)):
        if exponent == 1 and low < s < high:
            continue
        size = math.sqrt(s / z[k].size) if low < s < high else float(np.max(np.abs(points)))
        size = max(min(size, length), size * _FARTHEST)
        if 0 < size < math.inf:
            sizes[k] = math.ldexp(1.0, min(max(math.frexp(size)[1], -1022), 1023))
    return sizes


def _middles(z: Floats) -> Any:
    """What to take off the points before inner products, None where no set lies far out."""
    few = z[:, :: max(1, z.shape[1] // 8)]
    reach = np.max(np.max(few, axis=1) - np.min(few, axis=1), axis=1)
    if np.all(np.max(np.abs(few[:, 0]), axis=1) <= 1.5 * reach):  # the others reach no less
        return None
    middles = np.zeros((len(z), 1, z.shape[2]))
    for middle, points in zip(middles, z, strict=True):
        low, high = (v.astype(np.float64) for v in extent(points))
        centre = low / 2 + high / 2
        if np.max(np.abs(centre)) > 2 * np.max(high - low):
            middle[:] = centre
    return middles if middles.any() else None
