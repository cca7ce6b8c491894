"""The Fréchet distance between two Gaussians that are fitted to features."""

from __future__ import annotations

from energyflow_backends import Array, ArrayLike, namespace

from ._points import as_features, count


def frechet_distance(features_x: ArrayLike, features_y: ArrayLike) -> Array:
    r"""Squared Fréchet (2-Wasserstein) distance between Gaussians fitted to two sets of features.

    .. math:: |\mu_x - \mu_y|^2 + \mathrm{tr}\big(\Sigma_x + \Sigma_y
              - 2 (\Sigma_x \Sigma_y)^{1/2}\big)

    Parameters
    ----------
    features_x, features_y : arrays (N, d) and (M, d)
        Features of two sets, or the data themselves; at least two rows each.

    Returns
    -------
    array ()
        In the library and device of the features, at their precision or better. Unit: length^2.

    Raises
    ------
    TypeError, ValueError
        If arguments are no arrays of fitting shapes, have fewer than two rows, or numbers are NaN
        or infinite.

    Notes
    -----
    Covariances divide by N - 1. With centred features X = Q R / sqrt(N - 1) (QR decomposition),
    the trace of the root is the nuclear norm of R_x R_y^T: no covariance is formed and no root of
    a matrix is taken, so sets smaller than d are no trouble to the arithmetic. The value is
    biased upwards, the more the smaller the sets: compare equal sizes only. Cost
    O((N + M) d^2 + d^3).

    References
    ----------
    Dowson, Landau, "The Fréchet distance between multivariate normal distributions", 1982.
    Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", NeurIPS 2017.
    """
    x, y = as_features(features_x, features_y)
    xp = namespace(x)
    mean_x, mean_y = xp.mean(x, axis=0), xp.mean(y, axis=0)
    root_x, root_y = _root(x - mean_x), _root(y - mean_y)
    traces = xp.sum(root_x * root_x) + xp.sum(root_y * root_y)
    product = root_x @ xp.matrix_transpose(root_y)  # (min(N, d), min(M, d))
    shared = xp.sum(xp.linalg.svdvals(product))
    value = xp.sum((mean_x - mean_y) ** 2) + traces - 2 * shared
    squared: Array = xp.clip(value, 0, None)
    return squared


def _root(centred: Array) -> Array:
    """R (min(N, d), d) with R^T R the covariance."""
    xp = namespace(centred)
    factor = xp.linalg.qr(centred, mode="reduced")[1]
    root: Array = factor / (count(centred) - 1) ** 0.5
    return root
