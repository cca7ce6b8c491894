"""Point sets moved to where, and in the unit in which, they lose no precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._arrays import Array, known_values, namespace

_FEW = 8  # points that are looked at first


def extremes(x: Array) -> tuple[Array, Array]:
    """Least and greatest number of each coordinate, (B, 1, d) both."""
    xp = namespace(x)
    return xp.min(x, axis=1, keepdims=True), xp.max(x, axis=1, keepdims=True)


def centred(
    x: Array, y: Array, extremes: Callable[[Array], tuple[Array, Array]] = extremes
) -> tuple[Array, Array]:
    """Both sets (B, ., d) moved by the midrange of the pooled points.

    Far offsets then cost no precision. Where the data lie near the origin already, nothing is
    gained and nothing is moved: one outlier must not round all the others. The choice does not
    depend on the order of the points; traced sets are always moved.
    """
    xp = namespace(x)
    lows, highs = zip(extremes(x), extremes(y), strict=True)
    low, high = xp.minimum(*lows), xp.maximum(*highs)
    middle = low / 2 + high / 2  # (B, 1, d)
    if known_values(middle):
        reach, extent = xp.max(xp.abs(middle), axis=2), xp.max(high - low, axis=2)
        if not bool(xp.any(reach > 2 * extent)):
            return x, y
    return x - middle, y - middle


def seen_around_origin(x: Array) -> bool:
    """Whether a few points show already that the pooled midrange cannot be far from the origin.

    Where each coordinate has numbers of both signs, the midrange lies within the points.
    """
    if type(x) is not np.ndarray or x.shape[1] < _FEW:
        return False
    signs = np.packbits(np.signbit(x[:, :_FEW, :]), axis=1).tobytes()  # a byte a coordinate
    return b"\0" not in signs and b"\xff" not in signs


def largest_size(x: Array, y: Array) -> Array:
    """The largest absolute number of both sets, (B, 1, 1), or 1 where all are zero."""
    xp = namespace(x)
    size = xp.maximum(*(xp.max(xp.abs(v), axis=(1, 2), keepdims=True) for v in (x, y)))
    return xp.where(size > 0, size, xp.ones_like(size))
