"""Distance correlations of paired samples."""

from __future__ import annotations

from typing import Any

from energyflow_backends import Array, ArrayLike, namespace, not_compiled

from .._core.checks import Estimator
from .._core.random import Rng
from .._slices.slicing import SlicingName
from .covariance import _sliced
from .paired import Paired, paired_points


@not_compiled
def distance_correlation_squared(
    x: ArrayLike,
    y: ArrayLike,
    *,
    exponent: float = 1.0,
    estimator: Estimator = "V",
    chunk_size: int | None = None,
) -> Array:
    r"""Squared distance correlation of paired samples.

    .. math:: R^2(x, y) = \frac{\mathrm{dCov}^2(x, y)}
              {\sqrt{\mathrm{dCov}^2(x, x) \, \mathrm{dCov}^2(y, y)}}

    Parameters
    ----------
    x, y, exponent, estimator, chunk_size
        As in `distance_covariance_squared`. The V estimator lies between 0 and 1; the U estimator
        is the bias-corrected one, which scatters around 0 where x and y are independent.

    Returns
    -------
    array (...)
        In the library, device and dtype of x and y; 0 where one of the two does not vary.
        Differentiable with respect to x and y through torch and JAX.

    Raises
    ------
    TypeError, ValueError
        As `distance_covariance_squared`.

    Notes
    -----
    Three times the cost of `distance_covariance_squared`. dcor's `distance_correlation_sqr` is "V"
    and its `u_distance_correlation_sqr` is "U", which is `bcdcor` of R's energy.

    References
    ----------
    Székely, Rizzo, Bakirov, "Measuring and testing dependence by correlation of distances", Annals
    of Statistics 2007. Székely, Rizzo, "The distance correlation t-test of independence in high
    dimension", Journal of Multivariate Analysis 2013.
    """
    return _correlation(Paired.checked(exponent, estimator, chunk_size), x, y)


@not_compiled
def distance_correlation(
    x: Array, y: Array, *, exponent: float = 1.0, chunk_size: int | None = None
) -> Array:
    r"""Distance correlation of paired samples, between 0 and 1: the root of its square.

    Parameters
    ----------
    x, y : arrays (..., N, d) and (..., N, e), or (N,)
        Paired points.
    exponent : float
        The power r, 0 < r < 2.
    chunk_size : int, optional
        As in `distance_covariance_squared`.

    Returns
    -------
    array (...)
        In the library, device and dtype of x and y. 1 where y is x moved, turned and scaled; for
        the normal distribution not larger than the absolute value of Pearson's correlation.

    Raises
    ------
    TypeError, ValueError
        As `distance_covariance_squared`.

    Notes
    -----
    dcor's `distance_correlation`. Its slope is infinite at zero: as a loss take the square.

    References
    ----------
    As `distance_correlation_squared`.
    """
    squared = distance_correlation_squared(x, y, exponent=exponent, chunk_size=chunk_size)
    return namespace(squared).sqrt(squared)


@not_compiled
def sliced_distance_correlation_squared(
    x: ArrayLike,
    y: ArrayLike,
    n_projections: int = 128,
    *,
    exponent: float = 1.0,
    estimator: Estimator = "V",
    slicing: SlicingName = "auto",
    rng: Rng = None,
    chunk_size: int | None = None,
) -> Array:
    r"""Squared distance correlation by slicing: `sliced_distance_covariance_squared` for each term.

    Parameters
    ----------
    x, y, n_projections, exponent, estimator, slicing, rng, chunk_size
        As in `sliced_distance_covariance_squared`. The three terms have directions of their own.

    Returns
    -------
    array (...)
        As `distance_correlation_squared`; by the scatter of the slices it may exceed 1.

    Raises
    ------
    TypeError, ValueError
        As `sliced_distance_covariance_squared`.

    Notes
    -----
    Three times the cost of `sliced_distance_covariance_squared`.

    References
    ----------
    As `sliced_distance_covariance_squared`.
    """
    task = _sliced(n_projections, exponent, estimator, slicing, rng, chunk_size)
    return _correlation(task, x, y)


def _correlation(task: Paired, x: ArrayLike, y: ArrayLike) -> Array:
    points = paired_points(x=x, y=y)
    pairs = (("x", "y"), ("x", "x"), ("y", "y"))
    return ratio(*(task.covariance(points, *pair, step=k) for k, pair in enumerate(pairs)))


def ratio(covariance: Array, first: Array, second: Array) -> Array:
    """The covariance over the geometric mean of two variances, 0 where one is not positive."""
    xp = namespace(covariance)
    varies: Any = (first > 0) & (second > 0)
    one = xp.ones_like(covariance)
    # roots one by one: the product of two small variances may vanish
    scale = xp.sqrt(xp.where(varies, first, one)) * xp.sqrt(xp.where(varies, second, one))
    return xp.where(varies, covariance / scale, xp.zeros_like(covariance))
