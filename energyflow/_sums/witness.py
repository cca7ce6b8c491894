"""Witness functions of two weighted point sets, and their squared MMD, for given kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat as compat
from energyflow_backends import (
    Array,
    ArrayLike,
    Projector,
    detached,
    known_values,
    namespace,
    not_compiled,
)

from .._core.checks import (
    as_floats,
    check_finite,
    check_points,
    check_together,
    on_a_line,
    shape,
)
from .._core.random import Rng
from .._slices.slicing import Slicing, SlicingName
from ..kernels import Kernel, KernelName
from .distances import _N_PROJECTIONS
from .kernel_sums import SumsOverflow, kernel_sum, kernel_sum_gradient
from .problem import problem


@not_compiled
def witness(
    points: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    n_projections: int = _N_PROJECTIONS,
    *,
    kernel: Kernel | KernelName = "energy",
    method: Literal["direct", "sliced"] = "direct",
    projections: Array | Projector | None = None,
    slicing: SlicingName | Slicing = "auto",
    rng: Rng = None,
    tolerance: float = 1e-4,
    chunk_size: int | None = None,
) -> Array:
    r"""The witness function of two weighted point sets: where x has more mass than y.

    .. math:: f(z) = \sum_{i=1}^N a_i K(z, x_i) - \sum_{j=1}^M b_j K(z, y_j)

    It is positive near x and negative near y; the squared MMD is the mean of f over x minus its
    mean over y. Energy and Riesz kernels have the papers' sign, K = -|x - y|^r.

    Parameters
    ----------
    points : array (..., L, d)
        The points z; leading batch dimensions of all three sets broadcast.
    x, y : arrays (..., N, d) and (..., M, d)
        Points, in any unit of length.
    a, b : arrays (N,) or (..., N), and (M,) or (..., M), optional
        Weights, non-negative and with sum one; uniform when not given.
    kernel : kernel or str
        An object of `energyflow.kernels`, or the name of one with its default parameters: a length
        of 1, with a warning where points lie more than ten times farther apart, or nearer.
    method : "direct" or "sliced"
        "direct" sums over all pairs; "sliced" is the near-linear estimate of `kernel_sum`.
    n_projections, projections, slicing, rng, tolerance
        As in `kernel_sum`, where the method is "sliced".
    chunk_size : int, optional
        As in `kernel_sum`.

    Returns
    -------
    array (..., L)
        In the library, device and dtype of the points. Unit: that of K. Differentiable with
        respect to all three sets through torch and JAX.

    Raises
    ------
    TypeError, ValueError
        As `kernel_sum`; also if weights are negative or do not sum to one.

    Notes
    -----
    Cost O(L (N + M) d); O(P (L + N + M) (d + log(N + M))) for the sliced energy kernel.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf, Smola, "A Kernel Two-Sample Test", JMLR 2012, Section 2.
    """
    mixture = _mixture(points, x, y, a, b)
    with _naming_points():
        return kernel_sum(
            points, mixture.points, mixture.charges, n_projections, kernel=kernel, method=method,
            projections=projections, slicing=slicing, rng=rng, tolerance=tolerance,
            chunk_size=chunk_size,
        )  # fmt: skip


@not_compiled
def witness_gradient(
    points: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    n_projections: int = _N_PROJECTIONS,
    *,
    kernel: Kernel | KernelName = "energy",
    method: Literal["direct", "sliced"] = "direct",
    projections: Array | Projector | None = None,
    slicing: SlicingName | Slicing = "auto",
    rng: Rng = None,
    tolerance: float = 1e-4,
    chunk_size: int | None = None,
) -> Array:
    r"""Gradients of the witness function of `witness` at given points.

    .. math:: \nabla f(z) = \sum_{i=1}^N a_i \nabla_z K(z, x_i)
              - \sum_{j=1}^M b_j \nabla_z K(z, y_j)

    where a point of x or y that coincides with z adds nothing for radial kernels, as
    sign(0) = 0.

    Parameters
    ----------
    points, x, y, a, b, n_projections, kernel, method, projections, slicing, rng, tolerance
        As in `witness`.
    chunk_size : int, optional
        As in `kernel_sum`.

    Returns
    -------
    array (..., L, d)
        In the library, device and dtype of the points. It carries no graph.

    Raises
    ------
    TypeError, ValueError
        As `witness`.

    Notes
    -----
    Cost as `witness`. Particles x that move along -grad f(x) follow the gradient flow of
    MMD^2 / 2, see `MMDFlow`.

    References
    ----------
    Arbel, Korba, Salim, Gretton, "Maximum Mean Discrepancy Gradient Flow", NeurIPS 2019,
    Section 2.
    """
    mixture = _mixture(points, x, y, a, b)
    with _naming_points():
        return kernel_sum_gradient(
            points, mixture.points, mixture.charges, n_projections, kernel=kernel, method=method,
            projections=projections, slicing=slicing, rng=rng, tolerance=tolerance,
            chunk_size=chunk_size,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Mixture:
    """Both sets as one, (..., N + M, d), with the charges a and -b, (..., N + M)."""

    points: Array
    charges: Array


def _mixture(z: Any, x: Any, y: Any, a: Any, b: Any) -> _Mixture:
    task = problem(x, y, a, b, exponent=1.0, estimator="V", chunk_size=None)
    x, y, a, b = task.x, task.y, task.a, task.b
    z, _ = on_a_line(as_floats("points", z, x), x)
    check_points("points", z)
    check_together("points", z, "x", x)
    if z.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"points must have the dimension of x and y, {x.shape[-1]}, got {z.shape[-1]}"
        )
    for name, array in (("points", z), ("x", x), ("y", y)):
        if known_values(array):
            check_finite(name, detached(array))
    xp = namespace(task.x)
    charges = [full_weights(w, v, task.dtype) for w, v in ((a, task.x), (b, task.y))]
    dtype = xp.result_type(task.x, task.y)
    points = [xp.astype(v, dtype, copy=False) for v in (task.x, task.y)]
    return _Mixture(
        xp.concat(points, axis=-2), xp.concat([charges[0], -charges[1]], axis=-1)
    )  # fmt: skip


def full_weights(weights: Array | None, points: Array, dtype: Any) -> Array:
    """Weights (..., N) of the points (..., N, d), uniform where None."""
    xp, wanted = namespace(points), shape(points)[:-1]
    if weights is None:
        return xp.full(wanted, 1 / wanted[-1], dtype=dtype, device=compat.device(points))
    return xp.broadcast_to(xp.astype(weights, dtype, copy=False), wanted)


@contextmanager
def _naming_points() -> Iterator[None]:
    """Errors of sums that overflow name the arguments as they are called here."""
    try:
        yield
    except SumsOverflow as error:
        raise SumsOverflow(str(error).replace("x, y and weights", "points, x and y")) from None
