"""The state of a flow: where its particles are, their velocity, and what was recorded."""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, EnergyflowError, detached, namespace, to_host, widest_dtypes

from .._core.flow_result import FORMAT, HISTORY, FlowResult
from .._core.random import HostSource, Source
from .automatic.directions import Directions
from .automatic.plan import Plan


class FlowDiverged(EnergyflowError):
    """A flow met numbers that are not finite.

    Attributes
    ----------
    step : int
        The number of steps after which the particles were not finite any more.
    particles : array (N, d)
        The particles one step before, the last finite ones.
    """

    def __init__(self, step: int, particles: Array) -> None:
        super().__init__(
            f"particles are not finite after step {step}; those before it are in `.particles`. "
            "A smaller step_size or momentum may help"
        )
        self.step = step
        self.particles = particles

    def __reduce__(self) -> tuple[type, tuple[int, Array]]:
        return type(self), (self.step, self.particles)


class FlowState:
    """Positions and velocity of particles, the number of steps taken, and the history.

    Attributes
    ----------
    x : array (N, d)
        Positions; `previous` holds those one step before.
    velocity : array (N, d) or None
        None stands for zero.
    n : int
        Number of particles, those of other processes included.
    step : int
        Number of steps taken.
    source : Source
        Where directions come from.
    fixed : array (N, n) or None
        The last coordinates of particles, those that stay.
    history : list of tuple
        Step, distance and seconds of each record.
    directions : Directions or None
        The number of directions of a step, and how they are drawn.
    plan : Plan
        Step sizes and momenta.
    warm_start : dict
        Vectors from which a flow starts the next evaluation, such as the last solution of an
        inner problem.
    """

    def __init__(
        self, x: Array, source: Source, velocity: Array | None = None, step: int = 0
    ) -> None:
        self.x = self.previous = detached(x)
        self.velocity = None if velocity is None else detached(velocity)
        self.n = 0
        self.step = step
        self.source = source
        self.fixed: Array | None = None
        self.history: list[tuple[int, float, float]] = []
        self.directions: Directions | None = None
        self.plan: Plan
        self.warm_start: dict[str, Array] = {}

    @classmethod
    def of(cls, result: FlowResult, source: Source) -> FlowState:
        """The state in which a flow ended; directions come from its own seed if it has one."""
        key = result.state["key"]
        source = source if key is None else HostSource(key)
        state = cls(result.particles, source, result.velocity, int(result.state["step"]))
        xp, device = namespace(state.x), compat.device(state.x)
        dtype = widest_dtypes(state.x)[0]
        for name, numbers in result.state.get("carried", {}).items():
            state.warm_start[name] = xp.asarray(numbers, device=device, dtype=dtype)
        columns = (getattr(result, name).tolist() for name in HISTORY)
        state.history = list(zip(*columns, strict=True))
        return state

    def forget_current(self) -> None:
        """Remove a record of the current step: it is made again where it is due."""
        if self.history and self.history[-1][0] == self.step:
            self.history.pop()

    def not_finite(self) -> Exception:
        """The error for a functional that is not finite at these particles."""
        if self.previous is self.x:
            return ValueError(
                "particles and target must be near enough for F to be finite in their dtype"
            )
        return FlowDiverged(self.step, self.previous)

    def advance(self, gradient: Array) -> None:
        """Take one step: v <- gradient + m v, x <- x - tau v."""
        step_size, momentum = self.plan.step_size(self.step), self.plan.momentum(self.step)
        with np.errstate(over="ignore", invalid="ignore"):  # the next evaluation reports it
            velocity = gradient
            if self.velocity is not None:
                velocity = gradient + momentum * self.velocity
            self.previous, self.x = self.x, self.x - step_size * velocity
        self.velocity = velocity
        self.step += 1

    def result(self, settings: dict[str, Any]) -> FlowResult:
        """Everything that is needed to resume, with the settings that must not change."""
        velocity = namespace(self.x).zeros_like(self.x) if self.velocity is None else self.velocity
        key = list(self.source.key) if isinstance(self.source, HostSource) else None
        state = {"format": FORMAT, "step": self.step, "key": key, **settings}
        if self.plan.state:
            state["plan"] = self.plan.state
        if self.directions is not None:
            state |= self.directions.settings
        if self.warm_start:
            state["carried"] = {name: to_host(v).tolist() for name, v in self.warm_start.items()}
        step, *columns = zip(*self.history, strict=True)
        distance, seconds = np.array(columns, np.float64)
        return FlowResult(self.x, velocity, np.array(step, np.int64), distance, seconds, state)
