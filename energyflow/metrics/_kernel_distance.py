"""The kernel distance between two sets of features: KID, where they are an Inception network's."""

from __future__ import annotations

from energyflow_backends import Array, ArrayLike, namespace

from ._points import as_features, count


def kernel_distance(features_x: ArrayLike, features_y: ArrayLike) -> Array:
    r"""Squared MMD of two sets of features under a cubic kernel, unbiased; KID on Inception's.

    .. math:: \frac{\sum_{i \ne j} k(x_i, x_j)}{N (N - 1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}
              {M (M - 1)} - \frac{2 \sum_{i, j} k(x_i, y_j)}{N M} , \qquad
              k(x, y) = \Big(\frac{x \cdot y}{d} + 1\Big)^3

    Parameters
    ----------
    features_x, features_y : arrays (N, d) and (M, d)
        Features of two sets, or the data themselves; at least two rows each.

    Returns
    -------
    array ()
        In the library and device of the features, at their precision or better. Without a unit;
        below zero by chance where the sets are alike.

    Raises
    ------
    TypeError, ValueError
        If arguments are no arrays of fitting shapes, have fewer than two rows, or numbers are NaN
        or infinite, or too large for the cube of their products.

    Notes
    -----
    Unlike `frechet_distance` its mean does not depend on the sizes of the sets. Cost
    O((N + M)^2 d) and matrices N x N, M x M and N x M, one at a time.

    References
    ----------
    Bińkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, Section 4.
    """
    x, y = as_features(features_x, features_y)
    _check_size("features_x", x)
    _check_size("features_y", y)
    xp = namespace(x)
    across: Array = xp.mean(_kernel(x, y))
    value: Array = _mean_of_pairs(x) + _mean_of_pairs(y) - 2 * across
    return value


def _check_size(name: str, features: Array) -> None:
    """Sums of the kernel over pairs must be finite."""
    xp, n = namespace(features), count(features)
    bound = (float(xp.finfo(features.dtype).max) / (8 * n**2)) ** (1 / 6)
    largest = float(xp.max(xp.abs(features)))
    if largest > bound:
        raise ValueError(
            f"{name} must be at most {bound:.2g} in size, so that cubes of their products are "
            f"finite, got {largest:.2g}"
        )


def _kernel(x: Array, y: Array) -> Array:
    """Its matrix (N, M)."""
    values: Array = (x @ namespace(x).matrix_transpose(y) / x.shape[1] + 1) ** 3
    return values


def _mean_of_pairs(x: Array) -> Array:
    """The mean of the kernel over pairs of different rows."""
    xp, n = namespace(x), count(x)
    with_itself = (xp.sum(x * x, axis=1) / x.shape[1] + 1) ** 3
    mean: Array = (xp.sum(_kernel(x, x)) - xp.sum(with_itself)) / (n * (n - 1))
    return mean
