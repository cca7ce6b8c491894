"""The slice along which a distance of rows is largest, by an ascent on the sphere."""

from __future__ import annotations

from collections.abc import Callable

import array_api_compat as compat

from .._arrays import Array, known_values, namespace, widest_dtypes
from .._point_sets import PointSets, Result

_LONGEST, _SHORTEST = 1e3, 1e-6  # steps of directions, in units of the unit sphere's radius
_AT_ONCE = 64  # directions that are looked at first

Rows = Callable[[PointSets, tuple[str, ...]], Result]


def largest_slice(
    sets: PointSets,
    starts: Array,
    rows: Rows,
    *,
    n_starts: int,
    n_steps: int,
    wrt: tuple[str, ...],
) -> Result:
    """The largest distance (B,) of points projected on a line that an ascent finds, and gradients.

    The ascent starts from the best of the directions (P, d), and turns each towards the gradient;
    a step that does not climb is not taken, and the next one is shorter. `rows` gives the distances
    (B, P) of rows (B, P, N) and (B, P, M), and their gradients, which both or neither are asked
    for.
    """
    x, y, a, b = sets
    xp, dtype = namespace(x), x.dtype
    wide = widest_dtypes(x)[0]
    turned_x, turned_y = xp.matrix_transpose(x), xp.matrix_transpose(y)

    def slopes(theta: Array, both: bool = True) -> Result:
        projected = xp.matmul(theta, turned_x), xp.matmul(theta, turned_y)
        return rows(PointSets(*projected, a, b), ("x", "y") if both else ())

    first = xp.concat(
        [
            slopes(starts[None, k : min(k + _AT_ONCE, starts.shape[0]), :], both=False)[0]
            for k in range(0, starts.shape[0], _AT_ONCE)
        ],
        axis=1,
    )  # (B, P)
    best = xp.argsort(first, axis=1, descending=True)[:, :n_starts]  # (B, K)
    picked = xp.reshape(best, (-1,))
    theta = xp.reshape(xp.take(starts, picked, axis=0), (*best.shape, starts.shape[1]))

    def uphill(gx: Array | None, gy: Array | None) -> Array:
        gradient = xp.matmul(gx, x) + xp.matmul(gy, y)  # (B, K, d)
        return gradient / _lengths(gradient)

    value, gx, gy = slopes(theta)
    up = uphill(gx, gy)
    step = xp.full(best.shape, 4.0, dtype=dtype, device=compat.device(x))[:, :, None]
    for _ in range(n_steps):
        other = theta + step * up
        other = other / _lengths(other)
        climbed, gx, gy = slopes(other)
        better = (climbed > value)[:, :, None] & (step > _SHORTEST)
        value = xp.where(better[:, :, 0], climbed, value)
        theta, up = xp.where(better, other, theta), xp.where(better, uphill(gx, gy), up)
        step = xp.where(better, xp.clip(2 * step, max=_LONGEST), step / 4)
        if known_values(step) and not bool(xp.any(step > _SHORTEST)):
            break
    top = xp.argmax(value, axis=1)[:, None]  # (B, 1)
    where = xp.broadcast_to(top[:, :, None], (*top.shape, theta.shape[2]))
    theta = xp.take_along_axis(theta, where, axis=1)  # (B, 1, d)
    value, gx, gy = slopes(theta)

    def along(g: Array | None, name: str) -> Array | None:
        return None if g is None or name not in wrt else xp.matrix_transpose(g) * theta

    value = xp.astype(xp.astype(value[:, 0], wide), dtype, copy=False)
    return value, along(gx, "x"), along(gy, "y")


def _lengths(theta: Array) -> Array:
    """Lengths of the last axis, kept; 1 for nothing."""
    xp = namespace(theta)
    lengths = xp.sqrt(xp.sum(theta * theta, axis=-1, keepdims=True))
    return xp.where(lengths > 0, lengths, xp.ones_like(lengths))
