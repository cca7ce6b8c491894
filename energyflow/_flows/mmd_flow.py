"""MMD flows: particles that descend the squared MMD of a given kernel to a target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from energyflow_backends import Array, Projector, namespace

from .._core.checks import check_choice, check_count
from .._core.random import Rng, Source
from .._slices.directions import resolve_slicing, sampled_projector
from .._slices.slicing import Slicing
from .._sums.kernel_sums import SumsOverflow
from .._sums.mmd import mmd_squared
from .._sums.witness import witness_gradient
from ..kernels import Kernel, as_kernel
from .descent import Descent
from .flow_state import FlowState
from .schedules import Schedule


class MMDFlow(Descent):
    r"""Particles that follow the Wasserstein gradient flow of the squared MMD to a target.

    With F = MMD^2 / 2, the witness function f of particles and target (see `witness`), momentum m
    and step size tau, a step is

    .. math:: v \leftarrow N \nabla F(x) + m v = \nabla f(x) + m v, \qquad
              x \leftarrow x - \tau v .

    For the energy kernel, where F = E / 2, it is the flow of `ParticleFlow` by sums over all pairs.

    Parameters
    ----------
    target : array (M, d)
        Points to flow to.
    kernel : kernel, str or callable
        An object of `energyflow.kernels`, the name of one, or a function of the step (0, 1, ...)
        that gives either: a bandwidth that falls serves the way from afar as well as the end.
    target_weights : array (M,), optional
        Their weights, non-negative and with sum one; uniform when not given.
    method : "direct" or "sliced"
        How gradients are summed, as in `kernel_sum`; distances are sums over all pairs either way.
    n_projections, slicing, rng
        Directions where the method is "sliced", fresh ones at each step, as in `ParticleFlow`.
    step_size, momentum : float or callable
        tau > 0 and 0 <= m < 1, as numbers or as functions of the step. Gradients have the unit of
        the kernel over a length.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Results hold the squared MMD, V estimate, as the distance; under a schedule, by the kernel of
    that step. A step costs O(N (N + M) d) in sums over all pairs, as `kernel_sum` otherwise, and
    a recorded distance O((N + M)^2 d). Where a smooth kernel falls to zero, particles rest.

    References
    ----------
    Arbel, Korba, Salim, Gretton, "Maximum Mean Discrepancy Gradient Flow", NeurIPS 2019.
    """

    def __init__(
        self,
        target: Array,
        kernel: Kernel | str | Callable[[int], Kernel | str] = "energy",
        *,
        target_weights: Array | None = None,
        method: str = "direct",
        n_projections: int = 128,
        slicing: str | Slicing = "auto",
        step_size: Schedule = 1.0,
        momentum: Schedule = 0.0,
        rng: Rng = None,
    ) -> None:
        super().__init__(target, target_weights, step_size, momentum, rng)
        scheduled = callable(kernel) and not isinstance(kernel, type)
        self.kernel: Any = kernel if scheduled else as_kernel(kernel)
        self.method = check_choice("method", method, ("direct", "sliced"))
        self.n_projections = check_count("n_projections", n_projections)
        self.slicing = resolve_slicing(slicing, self.n_projections, int(target.shape[1]))

    def _evaluate(
        self, state: FlowState, *, need_value: bool, need_gradient: bool
    ) -> tuple[Array | None, Array | None]:
        """MMD^2, and grad f: each where it is needed."""
        xp = namespace(state.x)
        if not bool(xp.all(xp.isfinite(state.x))):
            raise state.not_finite()
        kernel = as_kernel(self.kernel(state.step) if callable(self.kernel) else self.kernel)
        x, y, b = state.x, self.target, self.target_weights
        directions = self._projector(state.source, state.step)
        value = gradient = None
        try:
            if need_value:
                value = mmd_squared(x, y, None, b, kernel=kernel)
            if need_gradient:
                gradient = witness_gradient(
                    x, x, y, None, b, kernel=kernel, method=self.method, projections=directions
                )
        except SumsOverflow:
            raise state.not_finite() from None
        return value, gradient

    def _projector(self, source: Source, step: int) -> Projector | None:
        if self.method == "direct":
            return None
        return sampled_projector(
            self.n_projections, int(self.target.shape[1]), self.slicing, source, step
        )

    def _settings(self) -> dict[str, Any]:
        directions = {"n_projections": self.n_projections, "slicing": self.slicing.name}
        return {
            "kernel": "a function of the step" if callable(self.kernel) else str(self.kernel),
            "method": self.method,
            **(directions if self.method == "sliced" else {}),
        }
