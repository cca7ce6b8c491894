"""Sums of a radial kernel over all pairs of points, tiled."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays import Array, namespace
from .pairs import weighted_differences


def pair_kernel_sums(
    x: Array,
    y: Array,
    w: Array,
    profile: Callable[[Array], Array],
    *,
    gradient: bool,
    distances: Callable[[Array, Array], Array],
    tile_numbers: int,
) -> Array:
    """Sums over j of w_j F(|x_i - y_j|), (B, N), or their gradients (B, N, d).

    x is (B, N, d), y is (B, M, d), w is (B, M); `profile` is F, or F' for gradients; a pair of
    coincident points adds nothing to a gradient. A tile holds at most `tile_numbers` pairs.
    """
    xp = namespace(x)
    rows = max(1, tile_numbers // (y.shape[0] * y.shape[1]))
    parts = []
    for start in range(0, x.shape[1], rows):
        tile = x[:, start : min(start + rows, x.shape[1]), :]  # (B, T, d)
        distance = distances(tile, y)  # (B, T, M)
        if not gradient:
            parts.append(xp.sum(w[:, None, :] * profile(distance), axis=2))
            continue
        apart = distance > 0
        safe = xp.where(apart, distance, xp.ones_like(distance))
        pull = xp.where(apart, w[:, None, :] * profile(safe) / safe, xp.zeros_like(safe))
        parts.append(weighted_differences(pull, tile, y))
    return xp.concat(parts, axis=1)


def power_sums(
    xs: Array,
    ys: Array,
    w: Array,
    exponent: float,
    derivative: bool,
    *,
    distances: Callable[[Array, Array], Array],
    tile_numbers: int,
) -> Array:
    """Sums over j of w_j |x_i - y_j|^r, or their derivatives: (R, N), of rows."""

    def value(s: Array) -> Array:
        return s**exponent

    def slope(s: Array) -> Array:
        return exponent * s ** (exponent - 1)

    sums = pair_kernel_sums(
        xs[:, :, None], ys[:, :, None], w, slope if derivative else value,
        gradient=derivative, distances=distances, tile_numbers=tile_numbers,
    )  # fmt: skip
    return sums[:, :, 0] if derivative else sums
