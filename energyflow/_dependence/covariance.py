"""Distance covariances of paired samples."""

from __future__ import annotations

from energyflow_backends import Array, ArrayLike, namespace, not_compiled

from .._core.checks import Estimator
from .._core.random import Rng, agreed, as_source
from .._slices.slicing import SlicingName
from .direction_pairs import DirectionPairs
from .paired import Paired, paired_points


@not_compiled
def distance_covariance_squared(
    x: ArrayLike,
    y: ArrayLike,
    *,
    exponent: float = 1.0,
    estimator: Estimator = "V",
    chunk_size: int | None = None,
) -> Array:
    r"""Squared distance covariance of paired samples, by sums over all pairs or by sorting.

    .. math:: \mathrm{dCov}^2(x, y) = \frac{1}{N^2} \sum_{ij} A_{ij} B_{ij} , \qquad
              A_{ij} = a_{ij} - \bar a_{i} - \bar a_{j} + \bar a , \quad a_{ij} = |x_i - x_j|^r ,

    and B alike from y. The U estimator is the mean over i != j of U-centred distances,

    .. math:: \frac{1}{N (N - 3)} \sum_{i \ne j} \tilde A_{ij} \tilde B_{ij} , \qquad
              \tilde A_{ij} = a_{ij} - \frac{a_i + a_j}{N - 2} + \frac{a}{(N - 1)(N - 2)} ,

    with the sums a_i over a row and a over all. Both are zero in the limit of large samples only
    where x and y are independent.

    Parameters
    ----------
    x, y : arrays (..., N, d) and (..., N, e), or (N,)
        Paired points: x_i belongs to y_i. In any units of length; batch dimensions broadcast.
    exponent : float
        The power r, 0 < r < 2, of both distances.
    estimator : "V" or "U"
        "V" is the distance covariance of the sample, never negative, and too large for that of
        the distribution by O(1/N). "U" is unbiased, may be negative, and needs 4 points: take it
        as a loss of batches.
    chunk_size : int, optional
        Points whose distances to all others are held at once; chosen to stay within 64 MiB when
        not given.

    Returns
    -------
    array (...)
        In the library, device and dtype of x and y. Unit: that of x times that of y, to the power
        r. Differentiable with respect to x and y through torch and JAX.

    Raises
    ------
    TypeError
        Not real numbers, mixed libraries or devices.
    ValueError
        Shapes that do not fit, empty samples, NaN or infinity, r outside (0, 2), fewer than 4
        points with the U estimator.

    Notes
    -----
    Cost O(N^2 (d + e)) and no N x N matrix. On the line with r = 1 the points are sorted:
    O(N log N) with Numba, O(N log^2 N) elsewhere. Points that tie in x have no slope in x.

    dcor's `distance_covariance_sqr` is "V" and its `u_distance_covariance_sqr` is "U".

    References
    ----------
    Székely, Rizzo, Bakirov, "Measuring and testing dependence by correlation of distances", Annals
    of Statistics 2007. Székely, Rizzo, "Partial distance correlation with methods for
    dissimilarities", Annals of Statistics 2014. Chaudhuri, Hu, "A fast algorithm for computing
    distance correlation", Computational Statistics & Data Analysis 2019.
    """
    task = Paired.checked(exponent, estimator, chunk_size)
    return task.covariance(paired_points(x=x, y=y), "x", "y")


@not_compiled
def distance_covariance(
    x: Array, y: Array, *, exponent: float = 1.0, chunk_size: int | None = None
) -> Array:
    r"""Distance covariance of paired samples: the root of `distance_covariance_squared`.

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
        In the library, device and dtype of x and y. Its slope is infinite at zero: differentiate
        the square.

    Raises
    ------
    TypeError, ValueError
        As `distance_covariance_squared`.

    Notes
    -----
    dcor's `distance_covariance`.

    References
    ----------
    As `distance_covariance_squared`.
    """
    squared = distance_covariance_squared(x, y, exponent=exponent, chunk_size=chunk_size)
    return namespace(squared).sqrt(squared)


@not_compiled
def sliced_distance_covariance_squared(
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
    r"""Squared distance covariance by slicing both samples: a mean of covariances on the line.

    .. math:: \frac{c(d, r) \, c(e, r)}{P} \sum_{p=1}^P
              \mathrm{dCov}^2(\langle \theta_p, x \rangle, \langle \phi_p, y \rangle)

    with directions of x and of y that are drawn independently of each other, and c the
    `slicing_constant`. Exact in expectation over the directions, for both estimators.

    Parameters
    ----------
    x, y : arrays (..., N, d) and (..., N, e), or (N,)
        Paired points; batch dimensions broadcast and share directions.
    n_projections : int
        Number of pairs of directions P; where x and y lie on a line there are none.
    exponent : float
        The power r, 0 < r < 2.
    estimator : "V" or "U"
        As in `distance_covariance_squared`: "U" for losses of batches.
    slicing : str
        How directions are drawn, a name as in `sample_projections`. "orthogonal", and "auto" where
        d and e are above 1, pair each axis of a random orthonormal frame with each axis of another;
        other names draw both sides and pair them at random.
    rng : int, generator or None
        Where directions come from, see `sample_projections`. None draws fresh entropy.
    chunk_size : int, optional
        Slices computed at once; chosen to stay within 64 MiB when not given.

    Returns
    -------
    array (...)
        As `distance_covariance_squared`.

    Raises
    ------
    TypeError, ValueError
        As `distance_covariance_squared`, and for bad `n_projections`, `slicing` or `rng`.

    Notes
    -----
    Cost O(P N (d + e + log N)) for r = 1 with Numba, one more factor log N elsewhere; O(P N^2) for
    other exponents. The relative error of the directions falls like 1 / sqrt(P); pairs of axes have
    several times less of it than directions paired at random, from P = d e on.

    References
    ----------
    Huang, Huo, "A statistically and numerically efficient independence test based on random
    projections and distance covariance", Frontiers in Applied Mathematics and Statistics 2022.
    """
    task = _sliced(n_projections, exponent, estimator, slicing, rng, chunk_size)
    return task.covariance(paired_points(x=x, y=y), "x", "y")


def _sliced(
    n_projections: int,
    exponent: float,
    estimator: str,
    slicing: str,
    rng: Rng,
    chunk_size: int | None,
) -> Paired:
    directions = DirectionPairs.checked(agreed(as_source(rng)), n_projections, slicing)
    return Paired.checked(exponent, estimator, chunk_size, directions)
