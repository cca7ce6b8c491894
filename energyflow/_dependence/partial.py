"""Distance covariance and correlation of two samples with a third one removed."""

from __future__ import annotations

from energyflow_backends import Array, namespace, not_compiled

from .correlation import ratio
from .paired import Paired, paired_points


@not_compiled
def partial_distance_covariance(
    x: Array, y: Array, z: Array, *, exponent: float = 1.0, chunk_size: int | None = None
) -> Array:
    r"""Partial distance covariance: that of x and y with z removed.

    .. math:: \mathrm{pdCov}(x, y; z) = \langle A, B \rangle
              - \frac{\langle A, C \rangle \langle B, C \rangle}{\langle C, C \rangle}

    with the U-centred distances A, B, C of x, y, z and the product of `distance_covariance_squared`
    with the U estimator.

    Parameters
    ----------
    x, y, z : arrays (..., N, d), (..., N, e) and (..., N, f), or (N,)
        Points that belong together, N >= 4.
    exponent : float
        The power r, 0 < r < 2.
    chunk_size : int, optional
        As in `distance_covariance_squared`.

    Returns
    -------
    array (...)
        In the library, device and dtype of the points; it may be negative. Differentiable with
        respect to x, y and z through torch and JAX.

    Raises
    ------
    TypeError, ValueError
        As `distance_covariance_squared`.

    Notes
    -----
    Four times the cost of `distance_covariance_squared`. Zero does not mean that x and y are
    independent given z, except for special distributions. dcor's `partial_distance_covariance`.

    References
    ----------
    Székely, Rizzo, "Partial distance correlation with methods for dissimilarities", Annals of
    Statistics 2014.
    """
    task = Paired.checked(exponent, "U", chunk_size)
    points = paired_points(x=x, y=y, z=z)
    pairs = (("x", "y"), ("x", "z"), ("y", "z"), ("z", "z"))
    xy, xz, yz, zz = (task.covariance(points, *pair) for pair in pairs)
    xp = namespace(xy)
    varies = zz > 0
    removed = xz * yz / xp.where(varies, zz, xp.ones_like(zz))
    return xy - xp.where(varies, removed, xp.zeros_like(removed))


@not_compiled
def partial_distance_correlation(
    x: Array, y: Array, z: Array, *, exponent: float = 1.0, chunk_size: int | None = None
) -> Array:
    r"""Partial distance correlation: that of x and y with z removed, between -1 and 1.

    .. math:: R^*(x, y; z) = \frac{R_{xy} - R_{xz} R_{yz}}
              {\sqrt{1 - R_{xz}^2} \sqrt{1 - R_{yz}^2}}

    with the bias-corrected R of `distance_correlation_squared` and estimator "U".

    Parameters
    ----------
    x, y, z, exponent, chunk_size
        As in `partial_distance_covariance`.

    Returns
    -------
    array (...)
        In the library, device and dtype of the points; 0 where z leaves nothing of x or of y.
        Differentiable with respect to x, y and z through torch and JAX.

    Raises
    ------
    TypeError, ValueError
        As `distance_covariance_squared`.

    Notes
    -----
    Six times the cost of `distance_covariance_squared`. dcor's `partial_distance_correlation`.

    References
    ----------
    As `partial_distance_covariance`.
    """
    task = Paired.checked(exponent, "U", chunk_size)
    points = paired_points(x=x, y=y, z=z)
    xx, yy, zz = (task.covariance(points, name, name) for name in "xyz")
    r_xy = ratio(task.covariance(points, "x", "y"), xx, yy)
    r_xz = ratio(task.covariance(points, "x", "z"), xx, zz)
    r_yz = ratio(task.covariance(points, "y", "z"), yy, zz)
    return ratio(r_xy - r_xz * r_yz, 1 - r_xz * r_xz, 1 - r_yz * r_yz)
