"""Precision and recall of samples, by balls around nearest neighbours."""

from __future__ import annotations

import numpy as np
from energyflow_backends import Array, ArrayLike, namespace

from .._core.checks import check_count
from ._points import count, distance_blocks, points_together, wide


def precision_recall(real: ArrayLike, fake: ArrayLike, k: int = 3) -> tuple[Array, Array]:
    r"""Improved precision and recall: how much of each set lies in the support of the other.

    .. math:: \text{precision} = \frac{1}{|F|} \sum_{f \in F}
              1\big[\exists\, r \in R : |f - r| \le |r - NN_k(r, R)|\big]

    and recall is the same with F and R exchanged. NN_k(r, R) is the k-th nearest neighbour of r in
    R without r itself.

    Parameters
    ----------
    real, fake : arrays (N, d) and (M, d), or images (n, C, H, W)
        Features, or the data themselves, of real data and of samples; more than k each.
    k : int
        Neighbours that a ball reaches.

    Returns
    -------
    precision, recall : arrays ()
        Fractions between 0 and 1, in the library and device of the sets.

    Raises
    ------
    TypeError, ValueError
        If arguments are no arrays of fitting shapes, sets have k or fewer points, or numbers are
        NaN or infinite.

    Notes
    -----
    Cost O((N + M)^2 d), in blocks of 64 MiB. Balls are closed. Neither number is 1 for fresh real
    data: compare with theirs, at equal sizes.

    References
    ----------
    Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved precision and recall metric for
    assessing generative models", NeurIPS 2019, Equations 1 and 2.
    """
    k = check_count("k", k)
    x, y = map(wide, points_together(real=real, fake=fake))
    for name, points in (("real", x), ("fake", y)):
        if count(points) <= k:
            raise ValueError(f"{name} must have more than k = {k} points, got {count(points)}")
    return _covered(y, x, _radii(x, k)), _covered(x, y, _radii(y, k))


def _radii(points: Array, k: int) -> Array:
    """Distance (n,) of each point to its k-th nearest neighbour, itself left out."""
    xp = namespace(points)
    # the point itself is at distance zero, and stands before its neighbours
    return xp.concat([_smallest(block, k) for _, block in distance_blocks(points, points)])


def _smallest(rows: Array, k: int) -> Array:
    """Number k of each row in ascending order, from 0."""
    if isinstance(rows, np.ndarray):
        return np.partition(rows, k, axis=1)[:, k]
    return namespace(rows).sort(rows, axis=1)[:, k]


def _covered(points: Array, centres: Array, radii: Array) -> Array:
    """Fraction of the points that lie in some ball."""
    xp = namespace(points)
    blocks = [
        xp.any(distances <= radii[None, :], axis=1)
        for _, distances in distance_blocks(points, centres)
    ]
    inside = xp.concat(blocks)
    return xp.mean(xp.astype(inside, points.dtype))
