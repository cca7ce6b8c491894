"""Sliced Wasserstein distances: the mean over slices, and the largest of all slices."""

from __future__ import annotations

from typing import Any

import energyflow_backends as backends
from energyflow_backends import (
    Array,
    ArrayLike,
    HadamardProducts,
    PointSets,
    Projector,
    Request,
    Result,
    namespace,
    not_compiled,
    structure_of,
)

from .._core.checks import check_count, check_positive
from .._core.random import Rng
from .._slices.families import SampledProjector
from .._slices.projectors import DenseProjector
from .._slices.slicing import Slicing, SlicingName
from .distances import _N_PROJECTIONS, _projector
from .problem import problem


@not_compiled
def sliced_wasserstein_distance(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    n_projections: int = _N_PROJECTIONS,
    p: float = 2.0,
    *,
    projections: Array | Projector | None = None,
    slicing: SlicingName | Slicing = "auto",
    rng: Rng = None,
    chunk_size: int | None = None,
) -> Array:
    r"""Sliced p-Wasserstein distance between two weighted point sets.

    .. math:: SW_p(x, y) = \Big( \frac{1}{P} \sum_{k=1}^P
              W_p^p(\langle \theta_k, x \rangle, \langle \theta_k, y \rangle) \Big)^{1/p},
              \qquad W_p^p = \int_0^1 |A^{-1}(t) - B^{-1}(t)|^p \, dt

    with the quantile functions of the projected sets.

    Parameters
    ----------
    x, y : arrays (..., N, d) and (..., M, d)
        Points, in any unit of length; leading batch dimensions broadcast and share directions.
    a, b : arrays (N,) or (..., N), and (M,) or (..., M), optional
        Weights, non-negative and with sum one; uniform when not given.
    n_projections : int
        Number of directions P; one is used in one dimension, where all give the same.
    p : float
        The power, at least 1.
    projections : array (P, d) or projector, optional
        Your own unit directions, one a row (POT has one a column), or an object with the methods
        of a projector.
    slicing : str or Slicing
        How directions are drawn, as in `sliced_energy_distance`. Patches give the mean over the
        patches.
    rng : int, generator or None
        Where directions come from, see `sample_projections`. None draws fresh entropy.
    chunk_size : int, optional
        Slices computed at once; chosen to stay within 64 MiB when not given.

    Returns
    -------
    array (...)
        In the library, device and dtype of x and y; 0-d without batch dimensions. Unit: length.
        Differentiable with respect to x and y through torch and JAX.

    Raises
    ------
    TypeError, ValueError
        As `sliced_energy_distance`; also if p < 1.

    Notes
    -----
    Cost O(P (N + M) (d + log(N + M))). Equal points of a slice share the slopes that they have
    together, so that nothing depends on the order of the points; where both sets are equal, the
    gradient is zero. It is what ``ot.sliced_wasserstein_distance`` of POT computes.

    References
    ----------
    Bonneel, Rabin, Peyré, Pfister, "Sliced and Radon Wasserstein Barycenters of Measures", Journal
    of Mathematical Imaging and Vision, 2015.
    """
    power = check_power(p)
    task = problem(x, y, a, b, exponent=1.0, estimator="V", chunk_size=chunk_size)
    projector = _projector(task.x, n_projections, projections, slicing, rng)

    def operation(sets: PointSets, held: Projector, request: Request) -> Result:
        powers = backends.sliced_wasserstein(
            sets, held, p=power, wrt=request.wrt, chunk_size=request.chunk_size
        )
        return _root(powers, power, _padding(held, sets.x, power))

    return task._replace(operation=operation).value(projector)


@not_compiled
def max_sliced_wasserstein_distance(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    n_projections: int = _N_PROJECTIONS,
    p: float = 2.0,
    *,
    projections: Array | None = None,
    slicing: SlicingName | Slicing = "auto",
    n_starts: int = 4,
    n_steps: int = 50,
    rng: Rng = None,
) -> Array:
    r"""Max-sliced p-Wasserstein distance: that of the direction along which the sets differ most.

    .. math:: \max_{|\theta| = 1} W_p(\langle \theta, x \rangle, \langle \theta, y \rangle)

    The best of P directions are turned uphill, step by step, and the best that comes out is taken:
    a local maximum, and a lower bound of the greatest.

    Parameters
    ----------
    x, y, a, b, p
        As in `sliced_wasserstein_distance`.
    n_projections : int
        Number of directions P among which those to start from are picked.
    projections : array (P, d), optional
        Your own unit directions to pick from, one a row.
    slicing : str or Slicing
        How directions are drawn, as in `sample_projections`.
    n_starts : int
        Number of directions to start from.
    n_steps : int
        Number of steps at most; 0 takes the greatest of the P directions as they are, as POT does.
    rng : int, generator or None
        Where directions come from, see `sample_projections`. None draws fresh entropy.

    Returns
    -------
    array (...)
        In the library, device and dtype of x and y; 0-d without batch dimensions. Unit: length.
        Differentiable with respect to x and y through torch and JAX, at the direction that was
        found.

    Raises
    ------
    TypeError, ValueError
        As `sliced_wasserstein_distance`; also if the slicing has no matrix of directions.

    Notes
    -----
    Cost O((P + n_starts n_steps) (N + M) (d + log(N + M))).

    References
    ----------
    Deshpande et al., "Max-Sliced Wasserstein Distance and its Use for GANs", CVPR 2019.
    """
    power = check_power(p)
    starts, steps = check_count("n_starts", n_starts), check_count("n_steps", n_steps, minimum=0)
    task = problem(x, y, a, b, exponent=1.0, estimator="V", chunk_size=None)
    projector = _projector(task.x, n_projections, projections, slicing, rng)
    if isinstance(projector, SampledProjector):
        projector = DenseProjector(projector.directions())
    if not isinstance(projector, DenseProjector):
        raise ValueError("slicing must give a matrix of directions for the max-sliced distance")

    def operation(sets: PointSets, held: DenseProjector, request: Request) -> Result:
        powers = backends.max_sliced_wasserstein(
            sets, held.matrix(sets.x), p=power, n_starts=starts, n_steps=steps, wrt=request.wrt
        )
        return _root(powers, power, 1.0)

    return task._replace(operation=operation).value(projector)


def check_power(p: Any) -> float:
    power = check_positive("p", p)
    if power < 1:
        raise ValueError(f"p must be at least 1, got {power:g}")
    return power


def _root(powers: Result, p: float, scale: float) -> Result:
    """From scale W_p^p and its gradients to the p-th root; nothing where the sets are equal."""
    value, *gradients = powers
    xp = namespace(value)
    power = value * scale
    apart = power > 0
    safe = xp.where(apart, power, xp.ones_like(power))
    root = safe ** (1 / p)
    factor = xp.where(apart, root / safe * (scale / p), xp.zeros_like(safe))[:, None, None]
    gx, gy = (None if g is None else g * xp.astype(factor, g.dtype) for g in gradients)
    return xp.where(apart, root, power), gx, gy


def _padding(projector: Projector, x: Array, p: float) -> float:
    """What directions lack that have unit length in a padded space, as those of Hadamard products.

    With D coordinates of which d are seen, E |<theta, z>|^p is |z|^p / c(D, p) in place of
    |z|^p / c(d, p), with c as in `slicing_constant`.
    """
    structure = structure_of(projector, x)
    if not isinstance(structure, HadamardProducts):
        return 1.0
    from scipy.special import poch

    padded = structure.signs.shape[-1]
    return float(poch(padded / 2, p / 2) / poch(structure.d / 2, p / 2))
