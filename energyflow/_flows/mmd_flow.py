"""MMD flows: particles that descend the squared MMD of a given kernel to a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import energyflow_backends as backends
from energyflow_backends import Array, ArrayLike, namespace

from .._core.checks import check_choice
from .._core.random import Rng
from .._slices.slicing import Slicing, SlicingName
from .._sums.kernel_sums import SumsOverflow
from .._sums.mmd import mmd_squared
from .._sums.witness import witness_gradient
from ..kernels import Kernel, KernelName, as_kernel
from .automatic.curvature import Curvature, of_kernel
from .automatic.directions import choose_directions
from .automatic.plan import MOMENTUM, Pace, Plan, choose_pace, saved_pace
from .automatic.sample import effective_size, sample
from .descent import Descent
from .flow_state import FlowState
from .schedules import Schedule, constant


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
    step_size, momentum : float, callable or "auto"
        tau > 0 and 0 <= m < 1, as numbers or as functions of the step. Gradients have the unit of
        the kernel over a length. Automatic ones are chosen as in `ParticleFlow`, by the curvature
        of the squared MMD at the target; for kernels that change, by that of each step's.

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
        target: ArrayLike,
        kernel: Kernel | KernelName | Callable[[int], Kernel | KernelName] = "energy",
        *,
        target_weights: ArrayLike | None = None,
        method: Literal["direct", "sliced"] = "direct",
        n_projections: int | str = "auto",
        slicing: SlicingName | Slicing = "auto",
        step_size: Schedule | str = "auto",
        momentum: Schedule | str = "auto",
        rng: Rng = None,
    ) -> None:
        super().__init__(target, target_weights, step_size, momentum, rng)
        scheduled = callable(kernel) and not isinstance(kernel, type)
        self.kernel: Any = kernel if scheduled else as_kernel(kernel, self.target)
        self._latest: tuple[int, Kernel] | None = None  # of a function of the step
        self.method = check_choice("method", method, ("direct", "sliced"))
        self._size = effective_size(
            backends.count_of_all(self.target.shape[0]), self.target_weights
        )
        self._points = sample(self.target, self.target_weights)
        directions = choose_directions(n_projections, int(self.target.shape[1]), slicing, 1.0)
        self._directions = directions if self.method == "sliced" else None
        self._measured: dict[str, Curvature | None] = {}

    def _evaluate(
        self, state: FlowState, *, need_value: bool, need_gradient: bool
    ) -> tuple[Array | None, Array | None]:
        """MMD^2, and grad f: each where it is needed."""
        xp = namespace(state.x)
        if not bool(xp.all(xp.isfinite(state.x))):
            raise state.not_finite()
        kernel = self._kernel_at(state.step)
        x, y, b = state.x, self.target, self.target_weights
        sliced = state.directions
        directions = None if sliced is None else sliced.projector(state.source, state.step)
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

    def _plan(self, state: FlowState, saved: Mapping[str, Any] | None) -> Plan:
        self._latest = None
        d, sliced = int(self.target.shape[1]), state.directions
        noise = 0.0 if sliced is None else sliced.noise(d)
        record, kernel = {"noise": noise}, self.kernel
        if not callable(kernel):
            curvature = self._curvature(kernel)
            if curvature is not None:
                record["floor"] = curvature.mean * (1 / state.n + 1 / self._size)
        former = saved is not None and not saved
        momentum = self.momentum or constant(
            MOMENTUM if self.step_size is None and not former else 0.0
        )
        if self.step_size is not None or former:
            return Plan(self.step_size or constant(1.0), momentum, None, record)
        share = 0.0 if sliced is None else d / sliced.n

        def pace_at(step: int) -> Pace:
            now = self._kernel_at(step)
            return choose_pace(self._curvature(now), noise, share, state.n, self._size)

        if callable(kernel):
            return Plan(
                lambda step: pace_at(step).step_size(step, momentum(step)), momentum, None, record
            )
        pace = saved_pace(saved or {}) or pace_at(0)
        return Plan(lambda step: pace.step_size(step, momentum(step)), momentum, pace, record)

    def _kernel_at(self, step: int) -> Kernel:
        """That of a step; a function is called once for each."""
        if not callable(self.kernel):
            return as_kernel(self.kernel)
        latest = self._latest
        if latest is None or latest[0] != step:
            latest = self._latest = step, as_kernel(self.kernel(step))
        return latest[1]

    def _curvature(self, kernel: Kernel) -> Curvature | None:
        """That of the target for a kernel, measured once."""
        name = str(kernel)
        if name not in self._measured:
            self._measured[name] = of_kernel(self._points, self._size, kernel)
        return self._measured[name]

    def _settings(self) -> dict[str, Any]:
        return {
            "kernel": "a function of the step" if callable(self.kernel) else str(self.kernel),
            "method": self.method,
        }
