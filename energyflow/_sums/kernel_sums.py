"""Sums of kernels over weighted points, and their gradients: sliced, or over all pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import array_api_compat as compat
import energyflow_backends as backends
import numpy as np
from energyflow_backends import (
    Array,
    ArrayLike,
    LineKernel,
    Projector,
    known_values,
    library_of,
    namespace,
    not_compiled,
)

from .._core.checks import (
    as_floats,
    check_array,
    check_choice,
    check_finite,
    check_together,
    shape,
)
from .._core.memory import CHUNKS, advise
from .._core.random import HostSource, Rng
from .._slices.constants import slicing_constant
from .._slices.families import SampledProjector
from .._slices.projectors import DenseProjector
from .._slices.slicing import Slicing, SlicingName
from ..kernels import Kernel, KernelName, Linear, RadialKernel, Riesz, SmoothKernel, as_kernel
from ..kernels._spectra import Spectrum, line_kernel
from .distances import _N_PROJECTIONS, _projector
from .problem import Problem, problem


@not_compiled
def kernel_sum(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    n_projections: int = _N_PROJECTIONS,
    *,
    kernel: Kernel | KernelName = "energy",
    projections: Array | Projector | None = None,
    slicing: SlicingName | Slicing = "auto",
    rng: Rng = None,
    method: Literal["sliced", "direct"] = "sliced",
    tolerance: float = 1e-4,
    chunk_size: int | None = None,
) -> Array:
    r"""Sums of a kernel over weighted points, at every point of x.

    .. math:: s_i = \sum_{j=1}^M w_j K(x_i, y_j), \qquad
              K(x, y) = F(|x - y|) = E_\theta \, f(\langle \theta, x - y \rangle)

    where the sum of the one-dimensional kernel f is computed on P slices in near-linear time.
    Energy and Riesz kernels have the papers' sign, -|x - y|^r.

    Parameters
    ----------
    x, y : arrays (..., N, d) and (..., M, d)
        Points, in any unit of length; leading batch dimensions broadcast and share directions.
    weights : array (M,) or (..., M), optional
        The w_j, finite numbers of any sign and any sum; 1 / M when not given.
    n_projections : int
        Number of directions P; one is used in one dimension, where all give the same sum.
    kernel : kernel or str
        An object of `energyflow.kernels`, or the name of one with its default parameters:
        "energy", "riesz", "gauss", "laplace", "matern", "linear".
    projections : array (P, d) or projector, optional
        Your own unit directions, one a row, or an object with the methods of a projector.
    slicing : str or Slicing
        How directions are drawn, as in `sliced_energy_distance`. Those that see a part of the
        points, such as patches, give the mean of the kernel over the parts.
    rng : int, generator or None
        Where directions come from, see `sample_projections`. None draws fresh entropy.
    method : "sliced" or "direct"
        "direct" sums over all pairs, without directions.
    tolerance : float
        Error that the one-dimensional sums may have, 1e-12 to 1: relative to the sum of |w_j|
        for smooth kernels, where f(0) = 1, and of |w_j| times the greatest |u|^r for Riesz
        kernels. The error of slicing comes on top. Not used by "energy" and by "direct".
    chunk_size : int, optional
        Slices computed at once, or points of x where the method is "direct"; chosen to stay
        within 64 MiB when not given.

    Returns
    -------
    array (..., N)
        In the library, device and dtype of x and y. Unit: that of K times that of the weights.
        Differentiable with respect to x and y through torch and JAX.

    Raises
    ------
    TypeError
        If x or y holds no real numbers, libraries or devices are mixed, or the kernel
        is of an unknown kind; if sliced smooth kernels get tensors without values (torch), whose
        extent decides the number of waves.
    ValueError
        If shapes do not fit, a set is empty, a number is NaN or infinite, the kernel or the method
        is unknown, the tolerance is outside [1e-12, 1), a smooth kernel needs more than 32768
        frequencies, or "direct" gets a Matern kernel whose nu is not 1/2, 3/2, ...

    Notes
    -----
    Cost O(P (N + M) (d + log M)) for the energy kernel, by sorting. Riesz kernels with r != 1
    take a tree with Numba, near-linear, else O(P N M). Smooth kernels are sums of K waves,
    O(P (N + M) (d + K)) in matrix products, where K grows with the projected extent over the
    length scale: some tens for Gauss with points ten sigma apart, some hundreds for Laplace and
    Matern; a Matern kernel with nu below 1, other than 1/2, needs too many. Long rows in ordinary
    memory take fast transforms where finufft is installed. Traced by JAX, they are computed on the
    host by a callback. "linear" is exact, O((N + M) d), and "direct" O(N M d).

    A slice of a smooth kernel is |f| <= 1, so that slicing has an error of at most about
    1 / sqrt(P) times the sum of |w_j|, in every dimension; f oscillates ever faster in higher
    dimensions, and small sums drown where F(|x - y|) is far below 1 / sqrt(P).

    References
    ----------
    Hertrich, "Fast Kernel Summation in High Dimensions via Slicing and Fourier Transforms",
    SIAM Journal on Mathematics of Data Science, 2024. Hertrich, Jahn, Quellmalz, "Fast Summation
    of Radial Kernels via QMC Slicing", ICLR 2025.
    """
    choices = _Choices(
        kernel, method, tolerance, chunk_size, n_projections, projections, slicing, rng
    )
    task = choices.task(x, y, weights)
    return backends.differentiable_sums(
        task.sums, task.pull, task.x, task.y, task.weights, held=task.projector
    )


@not_compiled
def kernel_sum_gradient(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    n_projections: int = _N_PROJECTIONS,
    *,
    kernel: Kernel | KernelName = "energy",
    projections: Array | Projector | None = None,
    slicing: SlicingName | Slicing = "auto",
    rng: Rng = None,
    method: Literal["sliced", "direct"] = "sliced",
    tolerance: float = 1e-4,
    chunk_size: int | None = None,
) -> Array:
    r"""Gradients of the sums of `kernel_sum`, each with respect to its own point.

    .. math:: \nabla_{x_i} s_i = \sum_{j=1}^M w_j F'(|x_i - y_j|) \frac{x_i - y_j}{|x_i - y_j|}
              = E_\theta \sum_{j=1}^M w_j f'(\langle \theta, x_i - y_j \rangle) \, \theta

    where coincident points add nothing, as sign(0) = 0.

    Parameters
    ----------
    x, y, weights, n_projections, kernel, projections, slicing, rng, method, chunk_size
        As in `kernel_sum`.
    tolerance : float
        Error that the derivatives of one-dimensional sums may have, relative to the sum of |w_j|
        times the size of f'.

    Returns
    -------
    array (..., N, d)
        In the library, device and dtype of x. It carries no graph.

    Raises
    ------
    TypeError, ValueError
        As `kernel_sum`.

    Notes
    -----
    Cost as `kernel_sum`, with more frequencies for the kernels that are less smooth.

    References
    ----------
    As `kernel_sum`.
    """
    choices = _Choices(
        kernel, method, tolerance, chunk_size, n_projections, projections, slicing, rng
    )
    task = choices.task(x, y, weights)
    gradient: Array = backends.without_graph(
        task.gradient, task.x, task.y, task.weights, held=task.projector
    )
    return gradient[..., 0] if task.problem.line else gradient


class SumsOverflow(ValueError):
    """Finite points are so far apart that sums over them are not."""


@dataclass(frozen=True, eq=False)
class _Task:
    """A checked sum: x (*batch, N, d), y (*batch, M, d), weights (*batch, M), and how."""

    problem: Problem
    weights: Array
    kernel: Kernel
    projector: Projector | None  # None for sums over all pairs
    tolerance: float

    @property
    def x(self) -> Array:
        return self.problem.x

    @property
    def y(self) -> Array:
        return self.problem.y

    def sums(self, x: Array, y: Array, weights: Array, *, held: Projector | None) -> Array:
        """(*batch, N), by the projector that is held."""
        return replace(self, projector=held)._compute(x, y, weights, gradient=False)

    def gradient(self, x: Array, y: Array, weights: Array, *, held: Projector | None) -> Array:
        """(*batch, N, d)."""
        return replace(self, projector=held)._compute(x, y, weights, gradient=True)

    def pull(
        self, name: str, x: Array, y: Array, w: Array, outer: Array, *, held: Projector | None
    ) -> Array:
        """The gradient of sum_i outer_i s_i with respect to x or to y."""
        if name == "x":
            return outer[..., None] * self.gradient(x, y, w, held=held)
        xp = namespace(y)
        own = xp.astype(w, y.dtype, copy=False)
        return own[..., None] * self.gradient(y, x, outer, held=held)

    def _compute(self, x: Array, y: Array, weights: Array, *, gradient: bool) -> Array:
        xp = namespace(x)
        trailing = shape(x) if gradient else shape(x)[:-1]
        kept = x.dtype if gradient else xp.result_type(x, y)
        weights = xp.broadcast_to(weights, shape(y)[:-1])
        waves = isinstance(self.kernel, SmoothKernel) and self.projector is not None
        held = backends.arrays_of(self.projector)
        if waves and not all(known_values(v) for v in (x, y, weights, *held)):
            return self._on_host(x, y, weights, trailing, kept, gradient)
        flat = [
            xp.astype(xp.reshape(v, (-1, *shape(v)[cut:])), self.problem.dtype, copy=False)
            for v, cut in ((x, -2), (y, -2), (weights, -1))
        ]
        try:
            sums = self._operation(*flat, gradient=gradient)
        except backends.NonFiniteValue:
            check_finite("x", x)
            check_finite("y", y)
            raise SumsOverflow(
                "x, y and weights must be small enough for sums in "
                f"{getattr(self.problem.dtype, '__name__', self.problem.dtype)}"
            ) from None
        except (MemoryError, RuntimeError) as error:
            advise(error, CHUNKS)
            raise
        with np.errstate(over="ignore"):  # beyond the range of float16 lies infinity
            return xp.astype(xp.reshape(sums, trailing), kept, copy=False)

    def _on_host(
        self, x: Array, y: Array, weights: Array, trailing: Any, dtype: Any, gradient: bool
    ) -> Array:
        """Called back when the values are known: their extent decides the number of waves."""
        if library_of(x) != "jax":
            raise TypeError(
                f"x must have known values for sliced sums of {self.kernel}, whose number of waves "
                "follows from the extent of the points; method='direct' can be traced"
            )
        import jax

        dense = self.projector if isinstance(self.projector, DenseProjector) else None
        directions = () if dense is None else (dense.directions,)

        def compute(*arrays: Array) -> Array:
            x, y, weights, *directions = (np.asarray(v) for v in arrays)
            projector = self.projector if dense is None else DenseProjector(*directions)
            return replace(self, projector=projector)._compute(x, y, weights, gradient=gradient)

        result = jax.ShapeDtypeStruct(trailing, dtype)  # type: ignore[no-untyped-call]
        sums: Array = jax.pure_callback(
            compute, result, x, y, weights, *directions, vmap_method="sequential"
        )
        return sums

    def _operation(self, x: Array, y: Array, w: Array, *, gradient: bool) -> Array:
        chunk_size = self.problem.request.chunk_size
        if isinstance(self.kernel, Linear):
            return backends.linear_kernel_sums(x, y, w, gradient=gradient)
        if not isinstance(self.kernel, RadialKernel):
            raise ValueError(f"kernel must be radial or linear, got {self.kernel}")
        if self.projector is None:
            return backends.direct_kernel_sums(
                x, y, w, self.kernel.profile(), gradient=gradient, chunk_size=chunk_size
            )
        line: Any
        if isinstance(self.kernel, Riesz):
            r = self.kernel.exponent
            line = LineKernel(coefficient=-self.projector.constant(r), exponent=r)
        else:
            spectrum = self._spectrum(self.projector)
            line = partial(line_kernel, spectrum, tolerance=self.tolerance, derivative=gradient)
        return backends.sliced_kernel_sums(
            x, y, w, self.projector, line,
            gradient=gradient, tolerance=self.tolerance, chunk_size=chunk_size,
        )  # fmt: skip

    def _spectrum(self, projector: Projector) -> Spectrum:
        """In the space whose unit sphere the directions come from, known by their constant."""
        if not isinstance(self.kernel, SmoothKernel):
            raise ValueError(f"kernel must be smooth for method 'sliced', got {self.kernel}")
        constant = projector.constant(1.0)
        dimension = max(1, round(2 * constant**2 / math.pi + 0.5))  # c(D, 1)^2 is near pi D / 2
        if not math.isclose(constant, slicing_constant(dimension), rel_tol=1e-6):
            raise ValueError(
                f"projections must be unit directions for kernel {self.kernel}, got a projector "
                f"whose constant {constant:.6g} is that of no dimension"
            )
        return self.kernel.spectrum(dimension)


@dataclass(frozen=True, eq=False)
class _Choices:
    """How a sum is wanted, as both functions are asked for it."""

    kernel: Any
    method: Any
    tolerance: Any
    chunk_size: Any
    n_projections: Any
    projections: Any
    slicing: Any
    rng: Rng

    def task(self, x: Any, y: Any, weights: Any) -> _Task:
        """The checked sum."""
        points = problem(x, y, None, None, exponent=1.0, estimator="V", chunk_size=self.chunk_size)
        chosen = as_kernel(self.kernel, points.y)
        projector = None
        if check_choice("method", self.method, ("sliced", "direct")) == "sliced":
            projector = self._projector(points.x)
        charges = _charges(weights, points)
        return _Task(points, charges, chosen, projector, _tolerance(self.tolerance))

    def _projector(self, x: Array) -> Projector:
        drawn = _projector(x, self.n_projections, self.projections, self.slicing, self.rng)
        if isinstance(drawn, SampledProjector) and not isinstance(drawn.source, HostSource):
            # a device's generator is read in order, and its gradient needs the same directions
            return DenseProjector(drawn.directions())
        return drawn


def _charges(weights: Any, points: Problem) -> Array:
    """Checked weights (*batch, M), of any sign."""
    y = points.y
    xp, wanted = namespace(y), shape(y)[:-1]
    if weights is None:
        return xp.full(wanted, 1 / wanted[-1], dtype=points.dtype, device=compat.device(y))
    weights = as_floats("weights", weights, y)
    check_array("weights", weights)
    check_together("y", y, "weights", weights)
    if getattr(weights, "requires_grad", False):
        raise TypeError(
            "weights must not require grad: gradients are with respect to points; detach() it"
        )
    try:
        fits = weights.ndim > 0 and np.broadcast_shapes(shape(weights), wanted) == wanted
    except ValueError:
        fits = False
    if not fits or weights.shape[-1] != wanted[-1]:
        raise ValueError(
            f"weights must have shape (..., {wanted[-1]}), one weight for each point of y, "
            f"got {shape(weights)}"
        )
    if known_values(weights):
        check_finite("weights", weights)
    return xp.broadcast_to(weights, wanted)


def _tolerance(tolerance: Any) -> float:
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
        raise TypeError(f"tolerance must be a number, got {type(tolerance).__name__}")
    if not 1e-12 <= tolerance < 1:
        raise ValueError(f"tolerance must be at least 1e-12 and below 1, got {tolerance}")
    return float(tolerance)
