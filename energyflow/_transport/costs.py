"""Costs of transport: powers of distances, in a unit in which none overflows."""

from __future__ import annotations

import math

from energyflow_backends import Array, namespace

from .sets import Sets

_OUTWEIGH = 2.0**43  # conditions by so much at most: points keep ten of the 53 bits of a sum


def costs(sets: Sets[Array], *, p: float, beta: float) -> tuple[Array, Array, float]:
    """|x_i - z_j|^p + |beta (y_i - y'_j)|^p (N, M), its first term, and the unit of length.

    A beta beyond which the plan depends on it by less than rounding counts as that one.
    """
    points, far = _powers(sets.x, sets.z, p)
    if sets.y_x is None or sets.y_z is None or beta == 0:
        return points, points, far
    conditions, apart = _powers(sets.y_x, sets.y_z, p)
    if far == 0:
        return conditions, points, beta * apart
    outweigh = min(beta * (apart / far), _OUTWEIGH ** (1 / p))
    return points + outweigh**p * conditions, points, far


def _powers(x: Array, z: Array, p: float) -> tuple[Array, float]:
    """|x_i - z_j|^p (N, M) in units of the largest distance, and that distance."""
    squares, largest = _squares(x, z)
    return squares if p == 2 else squares ** (p / 2), largest


def _squares(x: Array, z: Array) -> tuple[Array, float]:
    """|x_i - z_j|^2 (N, M) in units of the largest distance, and that distance.

    By one matrix product of points around the middle of both sets.
    """
    xp = namespace(x)
    low, high = (
        at(xp.stack([at(x, axis=0), at(z, axis=0)]), axis=0) for at in (xp.min, xp.max)
    )  # (d,)
    middle = low / 2 + high / 2
    x, z = x - middle, z - middle
    size = max(float(xp.max(xp.abs(x))), float(xp.max(xp.abs(z))))
    if size < float(xp.finfo(x.dtype).smallest_normal):
        return xp.zeros_like(x[:, :1] + z[:, 0]), 0.0
    unit = 2.0 ** (math.frexp(size)[1] - 1)
    x, z = x / unit, z / unit
    squares = xp.sum(x * x, axis=1)[:, None] + xp.sum(z * z, axis=1)[None, :]
    squares = squares - 2 * xp.matmul(x, xp.matrix_transpose(z))
    squares = xp.where(squares > 0, squares, xp.zeros_like(squares))
    largest = float(xp.max(squares))
    if largest == 0:
        return squares, 0.0
    return squares / largest, unit * math.sqrt(largest)
