"""KALE: a relaxed Kullback-Leibler divergence between two weighted point sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import energyflow_backends as backends
from energyflow_backends import (
    Array,
    ArrayLike,
    PointSets,
    Projector,
    Request,
    Result,
    known_values,
    namespace,
    not_compiled,
)

from .._core.checks import check_positive
from .._sums.problem import problem
from ..kernels import Kernel, KernelName, Linear, SmoothKernel, as_kernel
from .kale_dual import KaleDual
from .kernel_pairs import kernel_pairs


@not_compiled
def kale(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    kernel: Kernel | KernelName = "gauss",
    regularization: float,
) -> Array:
    r"""KALE(P | Q), the KL approximate lower-bound estimator, of two weighted point sets.

    .. math:: \mathrm{KALE}(P | Q) = (1 + \lambda) \max_{h \in H} \Big\{ 1 + \sum_i a_i h(x_i)
              - \sum_j b_j e^{h(y_j)} - \frac{\lambda}{2} |h|_H^2 \Big\}

    where P has the points x with weights a, Q has y with b, and H is the space of the kernel. It
    approaches KL(P | Q) as lambda falls to 0, and MMD^2 / 2 as lambda grows, and is finite for
    every P and Q.

    Parameters
    ----------
    x, y : arrays (..., N, d) and (..., M, d)
        Points, in any unit of length; leading batch dimensions broadcast.
    a, b : arrays (N,) or (..., N), and (M,) or (..., M), optional
        Weights, non-negative and with sum one; uniform when not given.
    kernel : kernel or str
        A positive definite kernel of `energyflow.kernels`: Gauss, Laplace, Matern or linear.
    regularization : float
        lambda > 0, in the unit of the kernel.

    Returns
    -------
    array (...)
        In the library, device and dtype of x and y; never negative. No unit. Differentiable with
        respect to x and y through torch and JAX.

    Raises
    ------
    TypeError
        If arguments are not real numbers of one library on one device, or their
        values are not known yet (traced by JAX).
    ValueError
        If shapes do not fit, a set is empty, a number is NaN or infinite, weights are negative or
        do not sum to one, the kernel is not positive definite, or lambda is not positive or too
        small for Newton's method.

    Notes
    -----
    The dual is a convex problem in M numbers, solved by Newton's method to a relative error of
    about 1e-12 in double precision, where rounding adds about 1e-14 / lambda; on devices without
    it, 1e-5 / lambda. Cost O((N + M)^2 d), O(M^3) once for the spectrum of the kernel between the
    y_j, and O(M R^2) for each of some ten steps, where R counts the eigenvalues above rounding;
    memory O((N + M)^2).

    References
    ----------
    Glaser, Arbel, Gretton, "KALE Flow: A Relaxed KL Gradient Flow for Probabilities with Disjoint
    Support", NeurIPS 2021, Sections 2 and 3.
    """
    task = problem(x, y, a, b, exponent=1.0, estimator="V", chunk_size=None)
    chosen = check_definite(kernel, task.y)
    scale = check_positive("regularization", regularization)

    def operation(sets: PointSets, held: Projector | None, request: Request) -> Result:
        check_known(sets.x)
        x, y, a, b = wide(*sets)
        batch = ([v[k, ...] for v in (x, y, a, b)] for k in range(x.shape[0]))
        parts = [_Kale(chosen, scale, *part).result(request.wrt) for part in batch]
        xp = namespace(x)
        value, *gradients = zip(*parts, strict=True)
        gx, gy = (
            xp.stack(g) if name in request.wrt else None
            for name, g in zip(("x", "y"), gradients, strict=True)
        )
        return xp.stack(value), gx, gy

    return task._replace(operation=operation).value(None)


@dataclass(frozen=True, eq=False)
class _Kale:
    """One pair of sets: x (N, d), y (M, d), a (N,), b (M,)."""

    kernel: Kernel
    regularization: float
    x: Array
    y: Array
    a: Array
    b: Array

    def result(self, wrt: tuple[str, ...]) -> tuple[Array, Array | None, Array | None]:
        """The value (), and the gradients that `wrt` names."""
        xp, scale = namespace(self.x), self.regularization
        x, y = (v - centre(self.kernel, self.y) for v in (self.x, self.y))
        yy, yx, xx = (kernel_pairs(self.kernel, *v) for v in ((y, y), (y, x), (x, x)))
        dual = KaleDual(yy.values, self.b, scale)
        v, least = dual.solve(yx.values @ self.a, float(self.a @ (xx.values @ self.a)))
        value = xp.asarray((1 + scale) * least, dtype=x.dtype, device=compat.device(x))
        u = self.b * xp.exp(v)
        factor = (1 + scale) / scale
        gx = gy = None
        if "x" in wrt:
            slopes = xx.gradients(self.a) - kernel_pairs(self.kernel, x, y).gradients(u)
            gx = factor * self.a[:, None] * slopes
        if "y" in wrt:
            gy = factor * u[:, None] * (yy.gradients(u) - yx.gradients(self.a))
        return value, gx, gy


def check_definite(kernel: Any, points: Array | None = None) -> Kernel:
    """The kernel, if it is positive definite; a named one warns where its length is not theirs."""
    chosen = as_kernel(kernel, points)
    if not isinstance(chosen, SmoothKernel | Linear):
        raise ValueError(
            f"kernel must be positive definite (Gauss, Laplace, Matern, linear), got {chosen}"
        )
    return chosen


def centre(kernel: Kernel, y: Array) -> Array:
    """The new origin (1, d): the mean of y, or zero if the kernel is not radial."""
    xp = namespace(y)
    mean = xp.mean(y, axis=0, keepdims=True)
    return xp.zeros_like(mean) if isinstance(kernel, Linear) else mean


def check_known(x: Array) -> None:
    """Raise unless the numbers are known: Newton's method needs them."""
    if not known_values(x):
        raise TypeError("x must have known values: KALE cannot be traced")


def wide(x: Array, y: Array, a: Array | None, b: Array | None) -> tuple[Array, ...]:
    """Points (..., N, d) and weights (..., N) in the widest precision; uniform where None."""
    xp = namespace(x)
    dtype = backends.widest_dtypes(x)[0]
    points = [xp.astype(backends.detached(v), dtype, copy=False) for v in (x, y)]
    weights = [
        xp.full(v.shape[:-1], 1 / v.shape[-2], dtype=dtype, device=compat.device(v))
        if w is None
        else xp.astype(w, dtype, copy=False)
        for v, w in zip(points, (a, b), strict=True)
    ]
    return *points, *weights
