"""Directions that lie as far apart from each other, and from each other's mirror images, as can be.

Averages over such sets converge faster than over random ones: their errors are bounded by the
energy distance between the symmetric set and the uniform distribution on the sphere, which is what
spreading makes small.
"""

from __future__ import annotations

import numpy as np
from energyflow_backends import Doubles

_STEPS = 150


def well_spread(n: int, d: int) -> Doubles:
    r"""Maximise the sum of distances between n lines through the unit sphere of R^d.

    .. math:: S(t) = \sum_{p, q} |t_p - t_q| + |t_p + t_q|

    Gradient ascent on the sphere from normal random directions, with the step sizes of Barzilai
    and Borwein. The sum may fall on the way, so the best set met is kept.

    Returns
    -------
    array (n, d)
        Unit rows; a function of n and d up to rounding.

    Notes
    -----
    Cost O(n^2 d) for each of 150 steps, with n^2 numbers held.

    References
    ----------
    Barzilai, Borwein, "Two-point step size gradient methods", IMA J. Numer. Anal. 1988.
    Gräf, Potts, Steidl, "Quadrature errors, discrepancies and their relations to halftoning on
    the torus and the sphere", SIAM J. Sci. Comput. 2012.
    """
    best = points = _on_sphere(np.random.default_rng([n, d]).standard_normal((n, d)))
    highest, ascent = sum_and_ascent(points)
    length = 1 / n
    for _ in range(_STEPS):
        moved = _on_sphere(points + length * ascent)
        total, turned = sum_and_ascent(moved)
        step, change = moved - points, ascent - turned
        curvature = float(np.sum(step * change))
        length = float(np.sum(step * step)) / curvature if curvature > 0 else 2 * length
        points, ascent = moved, turned
        if total > highest:
            best, highest = points, total
    return best


def sum_and_ascent(points: Doubles) -> tuple[float, Doubles]:
    """S without the pairs p = q, and half its gradient along the sphere.

    With g = <t_p, t_q> and h = sqrt(1 - g^2), a pair adds sqrt(2 - 2 g) + sqrt(2 + 2 g), which is
    2 sqrt(1 + h).
    """
    g = points @ points.T
    np.fill_diagonal(g, 0)  # each adds the same as two orthogonal lines, and pulls nowhere
    h = np.sqrt(np.maximum(1 - g * g, 1e-12))
    half = np.sqrt(1 + h)
    total = 2 * (float(np.sum(half)) - 2**0.5 * len(points))
    pull = -(g / (h * half)) @ points
    return total, pull - np.sum(pull * points, axis=1, keepdims=True) * points


def _on_sphere(vectors: Doubles) -> Doubles:
    lengths: Doubles = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
