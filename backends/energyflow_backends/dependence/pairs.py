"""Distance covariances by sums over all pairs, tile by tile, without an n x n matrix.

With the centred distances B_ij = w_0 b_ij + w_1 (b_i + b_j) / 2 + w_2 b the value is
``sum a_ij B_ij``, since centring is symmetric; the gradient with respect to x_i is
``2 r sum_j B_ij |x_i - x_j|^(r-2) (x_i - x_j)``, to which coincident points add nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._arrays import Array, namespace
from ..sums.pairs import weighted_differences
from .weights import Weights

Distances = Callable[[Array, Array], Array]


def pair_covariance(
    x: Array,
    y: Array,
    weights: Weights,
    *,
    exponent: float,
    wrt: tuple[str, ...],
    distances: Distances,
    tile_numbers: int,
) -> tuple[Array, Array | None, Array | None]:
    """Values (B,) and gradients for pairs of x (B, N, d) and y (B, N, e).

    `distances` maps (B, T, d) and (B, N, d) to Euclidean distances (B, T, N); a tile holds at most
    `tile_numbers` of them.
    """
    xp = namespace(x)
    rows = max(1, tile_numbers // (x.shape[0] * x.shape[1]))

    def power(tile: Array, points: Array) -> tuple[Array, Array]:
        far = distances(tile, points)
        return far, far if exponent == 1 else far**exponent

    def tiles() -> Iterator[slice]:
        for start in range(0, x.shape[1], rows):
            yield slice(start, min(start + rows, x.shape[1]))

    def row_sums(points: Array) -> Array:
        parts = [xp.sum(power(points[:, part, :], points)[1], axis=2) for part in tiles()]
        return xp.concat(parts, axis=1)  # (B, N)

    sums = row_sums(x), row_sums(y)
    value: Any = 0.0
    gradients: dict[str, list[Array]] = {name: [] for name in wrt}
    for part in tiles():
        far = power(x[:, part, :], x), power(y[:, part, :], y)
        for name, points, own, other in (("x", x, 0, 1), ("y", y, 1, 0)):
            if name == "y" and name not in wrt:
                continue
            centred = _centred(far[other][1], sums[other], part, weights)
            if name == "x":
                value = value + xp.sum(far[own][1] * centred, axis=(1, 2))
            if name in wrt:
                distance = far[own][0]
                apart = distance > 0
                safe = xp.where(apart, distance, xp.ones_like(distance))
                force = xp.where(apart, centred * safe ** (exponent - 2), xp.zeros_like(centred))
                pull = weighted_differences(force, points[:, part, :], points)
                gradients[name].append(2 * exponent * pull)
    joined = {name: xp.concat(parts, axis=1) for name, parts in gradients.items()}
    return value, joined.get("x"), joined.get("y")


def _centred(distance: Array, sums: Array, part: slice, weights: Weights) -> Array:
    xp = namespace(distance)
    near = sums[:, part, None] + sums[:, None, :]
    whole = xp.sum(sums, axis=1)[:, None, None]
    return weights[0] * distance + weights[1] / 2 * near + weights[2] * whole
