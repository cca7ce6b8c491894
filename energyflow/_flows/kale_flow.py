"""KALE flows: particles that descend a relaxed Kullback-Leibler divergence to a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, ArrayLike, namespace

from .._core.checks import check_positive
from ..kernels import Gauss, Kernel, KernelName, Laplace, Matern, as_kernel
from .automatic.plan import Plan
from .descent import Descent
from .flow_state import FlowState
from .kale import centre, check_definite, wide
from .kale_dual import KaleDual
from .kernel_pairs import KernelPairs, kernel_pairs
from .schedules import Schedule, resolved_step_size, schedule


class KALEFlow(Descent):
    r"""Particles that follow the Wasserstein gradient flow of KALE(particles | target).

    With the function h at which KALE has its maximum (see `kale`), momentum m and step size tau,
    a step is

    .. math:: v \leftarrow (1 + \lambda) \nabla h(x) + m v, \qquad x \leftarrow x - \tau v .

    Parameters
    ----------
    target : array (M, d)
        Points to flow to.
    kernel : kernel or str
        A positive definite kernel of `energyflow.kernels`: Gauss, Laplace, Matern or linear.
    regularization : float
        lambda > 0: small values give a flow of the KL divergence, which does not leave the support
        of the target; large values a flow of MMD^2 / 2.
    target_weights : array (M,), optional
        Weights of the target, non-negative and with sum one; uniform when not given.
    step_size : float, callable or "auto"
        tau, or a function of the step. ``"auto"`` is s^2 lambda / (1 + lambda) with the length
        scale s of the kernel, as large as the curvature of h allows where particles are near the
        target: it has the unit of length^2.
    momentum : float or callable
        m. 0.95 takes about ten times fewer steps than 0; from far away, a large momentum may
        throw particles to where the kernel is zero, so that they never return.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Results hold KALE as the distance. A step costs O(N (N + M) d) and a few steps of Newton's
    method from the last solution (a warm start), O(M R^2) each, where R counts the eigenvalues
    above rounding of the kernel between target points; the spectrum is computed once, O(M^3).
    Memory O((N + M)^2). Computed in the widest precision of the device.

    References
    ----------
    Glaser, Arbel, Gretton, "KALE Flow: A Relaxed KL Gradient Flow for Probabilities with Disjoint
    Support", NeurIPS 2021, Sections 4 and 5.
    """

    def __init__(
        self,
        target: ArrayLike,
        kernel: Kernel | KernelName = "gauss",
        *,
        regularization: float,
        target_weights: ArrayLike | None = None,
        step_size: Schedule | str = "auto",
        momentum: Schedule = 0.0,
    ) -> None:
        self.kernel = check_definite(kernel)
        self.regularization = check_positive("regularization", regularization)
        tau = resolved_step_size(step_size, self._default_step_size)
        self._schedules = Plan(schedule("step_size", tau), schedule("momentum", momentum))
        super().__init__(target, target_weights, tau, momentum, 0)
        as_kernel(kernel, self.target)  # warns where its length is not the target's
        y, _, b, _ = wide(self.target, self.target, self.target_weights, None)
        self._centre = centre(self.kernel, y)
        self._y, self._b = y - self._centre, b
        try:
            values = self._pairs(self._y, self._y).values
        except backends.NonFiniteValue:
            raise ValueError("target must be small enough for its kernel to be finite") from None
        self._dual = KaleDual(values, b, self.regularization)

    def _evaluate(
        self, state: FlowState, *, need_value: bool, need_gradient: bool
    ) -> tuple[float, Array | None]:
        """KALE, and (1 + lambda) grad h where it is needed."""
        xp, scale = namespace(state.x), self.regularization
        x = xp.astype(state.x, self._y.dtype, copy=False) - self._centre
        try:
            xy, xx = self._pairs(x, self._y), self._pairs(x, x)
        except backends.NonFiniteValue:
            raise state.not_finite() from None
        with np.errstate(over="ignore", invalid="ignore"):
            drive, norm = xp.mean(xy.values, axis=0), float(xp.mean(xx.values))
        if not (math.isfinite(norm) and bool(xp.all(xp.isfinite(drive)))):
            raise state.not_finite()
        last = state.warm_start.get("potential")
        if last is not None and last.shape != drive.shape:
            last = None  # of a flow to a target of another size
        v, least = self._dual.solve(drive, norm, last)
        state.warm_start["potential"] = v
        if not need_gradient:
            return (1 + scale) * least, None
        a = xp.full_like(x[:, 0], 1 / x.shape[0])
        slopes = xx.gradients(a) - xy.gradients(self._b * xp.exp(v))
        gradient = xp.astype((1 + scale) / scale * slopes, state.x.dtype, copy=False)
        return (1 + scale) * least, gradient

    def _pairs(self, x: Array, y: Array) -> KernelPairs:
        return kernel_pairs(self.kernel, x, y)

    def _plan(self, state: FlowState, saved: Mapping[str, Any] | None) -> Plan:
        return self._schedules

    def _settings(self) -> dict[str, Any]:
        return {"kernel": str(self.kernel), "regularization": self.regularization}

    def _default_step_size(self) -> float:
        return _length(self.kernel) ** 2 * self.regularization / (1 + self.regularization)


def _length(kernel: Kernel) -> float:
    """The length scale of a kernel; 1 where it has none."""
    match kernel:
        case Gauss(sigma=length) | Laplace(beta=length) | Matern(beta=length):
            return length
        case _:
            return 1.0
