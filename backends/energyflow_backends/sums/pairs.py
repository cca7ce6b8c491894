"""Sums over all pairs, tiled: the exact distance in d dimensions, and one dimension with r != 1.

With the pooled points z = (x, y) and the signed weights of the pairs (s_x a, -b) seen from x and
(-a, s_y b) seen from y, the energy distance is ``-sum_k u_k sum_l w_kl |z_k - z_l|^r`` with u = a
on x and u = b on y, and its gradient ``-2 u_k sum_l w_kl r |z_k - z_l|^(r-2) (z_k - z_l)``; a pair
of coincident points adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

import array_api_compat as compat

from .._arrays import Array, namespace
from .._point_sets import PointSets, Request, Result

COORDINATES = 8  # up to this dimension, differences are formed one coordinate at a time


def pair_energies(
    sets: PointSets,
    request: Request,
    *,
    self_scales: tuple[Array | float, Array | float],
    distances: Callable[[Array, Array], Array],
    tile_numbers: int,
) -> Result:
    """Energy distances of a batch of weighted point sets, and their gradients.

    `self_scales` are s_x and s_y, numbers or arrays (B, 1); `distances` maps (B, T, d) and
    (B, L, d) to Euclidean distances (B, T, L); a tile holds at most `tile_numbers` pairs. Returns
    the values (B,), and the gradients of the sets in `wrt`, else None.
    """
    x, y = sets.x, sets.y
    a, b = _full(sets.a, x), _full(sets.b, y)
    exponent, wrt = request.exponent, request.wrt
    xp = namespace(x)
    z = xp.concat([x, y], axis=1)  # (B, L, d)
    s_x, s_y = self_scales
    sides = (
        ("x", x, a, xp.concat([s_x * a, -b], axis=1)),
        ("y", y, b, xp.concat([-a, s_y * b], axis=1)),
    )
    value = xp.zeros_like(z[:, 0, 0])
    gradients: dict[str, Array | None] = {"x": None, "y": None}
    rows = max(1, tile_numbers // (z.shape[0] * z.shape[1]))
    for name, points, weights, others in sides:
        parts = []
        for start in range(0, points.shape[1], rows):
            stop = min(start + rows, points.shape[1])
            tile = points[:, start:stop, :]  # (B, T, d)
            u = weights[:, start:stop]  # (B, T)
            distance = distances(tile, z)  # (B, T, L)
            apart = distance > 0
            safe = xp.where(apart, distance, xp.ones_like(distance))
            # |z|^(r-2), weighted: the value and the gradient share this power
            force = xp.where(
                apart, others[:, None, :] * safe ** (exponent - 2), xp.zeros_like(safe)
            )
            value = value - xp.sum(u * xp.sum(force * distance**2, axis=2), axis=1)
            if name in wrt:
                pull = weighted_differences(force, tile, z)
                parts.append(-2 * exponent * u[:, :, None] * pull)
        if name in wrt:
            gradients[name] = xp.concat(parts, axis=1)
    return value, gradients["x"], gradients["y"]


def _full(weights: Array | None, points: Array) -> Array:
    """Weights (B, N) of points (B, N, d) in their dtype, uniform where None."""
    xp, (batch, n, _) = namespace(points), points.shape
    if weights is not None:
        return xp.astype(weights, points.dtype)
    return xp.full((batch, n), 1 / n, dtype=points.dtype, device=compat.device(points))


def euclidean_distances(tile: Array, z: Array) -> Array:
    """Distances (B, T, L) from differences, never from a Gram matrix, which loses near pairs."""
    xp = namespace(z)
    if z.shape[2] == 1:
        return xp.abs(tile - xp.matrix_transpose(z))

    def squares(start: int) -> Array:
        block = slice(start, min(start + COORDINATES, z.shape[2]))
        difference = tile[:, :, None, block] - z[:, None, :, block]
        return xp.sum(difference * difference, axis=3)

    return xp.sqrt(reduce(add, map(squares, range(0, z.shape[2], COORDINATES))))


def weighted_differences(force: Array, tile: Array, z: Array) -> Array:
    """Sum over l of force_kl (z_k - z_l), (B, T, d)."""
    xp = namespace(z)
    if z.shape[2] <= COORDINATES:
        columns = [
            xp.sum(force * (tile[:, :, k, None] - z[:, None, :, k]), axis=2)
            for k in range(z.shape[2])
        ]
        return xp.stack(columns, axis=2)
    return tile * xp.sum(force, axis=2)[:, :, None] - xp.matmul(force, z)
