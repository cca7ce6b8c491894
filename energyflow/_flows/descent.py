"""What all flows share: particles step against a gradient; a flow stops, is saved and resumes."""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import energyflow_backends as backends
from energyflow_backends import Array, ArrayLike, namespace

from .._core.checks import (
    as_floats,
    check_answer,
    check_choice,
    check_count,
    check_finite,
    check_number,
    check_path,
    check_points,
    check_together,
    check_weights,
    shape,
    warn,
)
from .._core.flow_result import FlowResult, check_saved
from .._core.memory import PARTICLES, advising
from .._core.progress import Progress
from .._core.random import Rng, agreed, as_source
from .automatic.arrival import FlowWarning, complaint, is_converged
from .automatic.directions import Directions
from .automatic.plan import Plan
from .flow_state import FlowState
from .result_file import is_saved, save
from .schedules import Schedule, schedule

Callback = Callable[[int, Array, float], object]
_FORMER_LAPLACE = re.compile(r"Laplace\(alpha=(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\)")


@dataclass(frozen=True)
class RunOptions:
    """What `Descent.run` is given besides the particles."""

    n_steps: int
    record_every: int = 10
    callback: Callback | None = None
    progress: bool = True
    out: str | os.PathLike[str] | None = None
    save_every: float = 300.0
    velocity: Array | None = None
    first_step: int = 0
    until: str | None = None

    def __post_init__(self) -> None:
        check_count("n_steps", self.n_steps, minimum=0)
        check_count("record_every", self.record_every)
        check_count("first_step", self.first_step, minimum=0)
        if not check_number("save_every", self.save_every) >= 0:
            raise ValueError(f"save_every must be at least 0, got {self.save_every}")
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback must be callable, got {type(self.callback).__name__}")
        if self.velocity is not None:
            check_cloud("velocity", self.velocity, "N")
        if self.until is not None:
            check_choice("until", self.until, ("converged",))

    @property
    def is_whole(self) -> bool:
        """Whether it is no part of a longer run: only such runs warn."""
        return self.velocity is None and not self.first_step


class Descent(ABC):
    """Particles that descend a functional F of their positions, with momentum.

    A flow defines `_evaluate`, the value of F and N grad F, `_plan`, its step sizes and momenta,
    and `_settings`, which must stay the same when a flow resumes.
    """

    _hint = ""  # what else may keep a flow from its floor, for its warnings

    def __init__(
        self,
        target: Any,
        target_weights: Any,
        step_size: Schedule | str,
        momentum: Schedule | str,
        rng: Rng,
        directions: Directions | None = None,
    ) -> None:
        target = as_cloud("target", target, "M")
        if target_weights is not None:
            target_weights = as_floats("target_weights", target_weights, target)
            check_weights("target_weights", target_weights, "target", target)
            if target_weights.ndim != 1:
                raise ValueError(
                    f"target_weights must have shape ({target.shape[0]},), "
                    f"got {shape(target_weights)}"
                )
        self.target = backends.detached(target)
        self.target_weights = target_weights
        self.step_size = _given("step_size", step_size)
        self.momentum = _given("momentum", momentum)
        self._directions = directions
        self._source = as_source(rng)

    def __repr__(self) -> str:
        m, d = self.target.shape
        return f"{type(self).__name__}(to {m} points in {d} dimensions)"

    def run(
        self,
        particles: ArrayLike | FlowResult,
        n_steps: int,
        *,
        record_every: int = 10,
        callback: Callback | None = None,
        progress: bool = True,
        out: str | os.PathLike[str] | None = None,
        save_every: float = 300.0,
        velocity: Array | None = None,
        first_step: int = 0,
        until: str | None = None,
    ) -> FlowResult:
        """Take steps from given particles, or resume from an earlier result.

        Parameters
        ----------
        particles : array (N, d) or FlowResult
            Where to start, in the library and on the device of the target; or the result to resume
            from, with its velocity, its history and its directions.
        n_steps : int
            Steps to take.
        record_every : int
            The distance is recorded after every so many steps, and at the end.
        callback : callable, optional
            Called as ``callback(step, particles, distance)`` whenever the distance is recorded,
            with a copy of the particles; the flow ends early when it returns something true.
        progress : bool
            Show a bar with the distance and the rate on standard error.
        out : path, optional
            An .npz file that the result is saved to: at the end, and on the way at the first
            record after `save_every` seconds. `FlowResult.load` gives what to resume from. A
            link of that name is replaced, not followed.
        save_every : float
            Seconds, at least 0.
        velocity : array (N, d), optional
            The velocity that particles start with; zero when not given. A result has its own.
        first_step : int
            Number of the first step, on which directions and schedules depend. A result has its
            own.
        until : "converged", optional
            End the run before `n_steps` when the distance no longer gains: the mean of the last
            third of its records is within their noise, or 2%, of that of as many records before;
            and it has come near its floor, or falls so slowly that it would not. Automatic steps
            are shortened from step 200 on: a run that ended before can still gain some percent.

        Returns
        -------
        FlowResult

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape or range, a result comes from a flow with
            other settings, or particles are so far from the target that the functional overflows.
        FlowDiverged
            If particles become NaN or infinite.
        OSError
            If `out` cannot be written. This is checked before the first step; if writing fails
            later, what the flow has reached is in the error's `.result`.

        Warns
        -----
        FlowWarning
            The flow ended above its start; or after fifty steps or more it rests at over 1.5 times
            the distance that random points would have. A run that still falls was cut short
            and does not warn: `print(result)` says so. Nor do runs with a `velocity` or a
            `first_step`, which are parts of a longer one.
        """
        options = RunOptions(
            n_steps, record_every, callback, progress, out, save_every, velocity, first_step, until
        )
        return self._descend(particles, options)

    def _descend(
        self, particles: Any, options: RunOptions, fixed: Array | None = None
    ) -> FlowResult:
        """Run; `fixed` (N, n) holds the last coordinates of the particles, those that stay."""
        file = None if options.out is None else check_path("out", options.out)
        state = self._start(particles, options)
        self._check_start(state.x, options.velocity, fixed)
        state.fixed, state.n = fixed, backends.count_of_all(state.x.shape[0])
        state.source = agreed(state.source)
        state.plan = self._plan(state, saved_plan(particles))
        first, last = state.step, state.step + options.n_steps
        clock = perf_counter() - (state.history[-1][2] if state.history else 0.0)
        state.forget_current()
        saving, saved = is_saved(file), perf_counter()
        with Progress(options.n_steps, "flow", options.progress) as bar, advising(PARTICLES):
            while True:
                recording = state.step % options.record_every == 0 or state.step == last
                value, gradient = self._evaluate(
                    state, need_value=recording, need_gradient=state.step < last
                )
                bar.update(state.step - first)
                if recording:
                    distance = float(value)
                    state.history.append((state.step, distance, perf_counter() - clock))
                    bar.update(state.step - first, distance=distance)
                    stopped = _stops(options.callback, state, distance)
                    stopped = stopped or _ends(options, state)
                    due = saving and perf_counter() - saved >= options.save_every
                    stopped, due = backends.any_process(stopped, due)
                    if stopped:
                        break
                if gradient is None:  # this was the last
                    break
                if recording and due:
                    save(state.result(self._settings()), file)
                    saved = perf_counter()
                state.advance(gradient)
        result = state.result(self._settings())
        if saving:
            save(result, file)
        if options.is_whole and backends.is_first():
            self._warn(state, first)
        return result

    def _warn(self, state: FlowState, first: int) -> None:
        """Tell where a run has failed, by what it recorded from its first step on."""
        settings = {
            **state.plan.record, "step_size_given": self.step_size is not None, "hint": self._hint
        }  # fmt: skip
        if state.directions is not None:
            settings |= {"n_projections": state.directions.n, "d": state.directions.d}
        history = [record for record in state.history if record[0] >= first]
        record = state.plan.record
        message = complaint(history, record.get("floor"), settings, record.get("batch_floor", 0.0))
        if message is not None:
            warn(message, FlowWarning)

    @abstractmethod
    def _evaluate(
        self, state: FlowState, *, need_value: bool, need_gradient: bool
    ) -> tuple[Any, Array | None]:
        """F in the unit of the history, and N grad F (N, d): each where it is needed, or None."""

    @abstractmethod
    def _plan(self, state: FlowState, saved: Mapping[str, Any] | None) -> Plan:
        """Step sizes and momenta of a run; `saved` is the plan of the flow that it resumes."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """The settings that must stay the same when a flow resumes."""

    def _start(self, particles: Any, options: RunOptions) -> FlowState:
        if not isinstance(particles, FlowResult):
            state = FlowState(
                as_floats("particles", particles, self.target),
                self._source,
                options.velocity,
                int(options.first_step),
            )
            state.directions = self._directions
            return state
        if options.velocity is not None or options.first_step:
            raise ValueError("velocity and first_step must be left out: the result has its own")
        try:
            check_saved(vars(particles), particles.state)
        except ValueError as error:
            raise ValueError(f"particles must be a result to resume from: {error}") from None
        pair = particles.velocity, "them", particles.particles
        check_together("the velocity of particles", *pair)
        self._check_dimension(particles.particles)
        directions = self._directions and self._directions.adopted(particles.state)
        settings = self._settings() | ({} if directions is None else directions.settings)
        for name, mine in settings.items():
            saved = _as_now_written(particles.state.get(name))
            if saved != mine:
                raise ValueError(
                    f"particles must be the result of a flow with {name} = {mine!r} to resume, "
                    f"got one with {saved!r}"
                )
        state = FlowState.of(particles, self._source)
        state.directions = directions
        return state

    def _check_dimension(self, x: Array) -> None:
        if x.shape[1] != self.target.shape[1]:
            raise ValueError(
                "particles must have the dimension of the target, "
                f"{self.target.shape[1]}, got {x.shape[1]}"
            )

    def _check_start(self, x: Array, velocity: Array | None, fixed: Array | None) -> None:
        check_cloud("particles", x, "N")
        check_together("particles", x, "target", self.target)
        self._check_dimension(x)
        if fixed is not None and fixed.shape[0] != x.shape[0]:
            raise ValueError(
                f"condition must have one row for each of the {x.shape[0]} particles, "
                f"got {fixed.shape[0]}"
            )
        if velocity is None:
            return
        check_together("velocity", velocity, "particles", x)
        if velocity.shape != x.shape or velocity.dtype != x.dtype:
            raise ValueError(
                f"velocity must have the shape {shape(x)} and the dtype {x.dtype} of "
                f"the particles, got {shape(velocity)} and {velocity.dtype}"
            )


def _given(name: str, setting: Schedule | str) -> Callable[[int], float] | None:
    """A function of the step, or None where the setting is automatic."""
    if isinstance(setting, str):
        if setting != "auto":
            raise ValueError(
                f'{name} must be a number, a function of the step or "auto", got {setting!r}'
            )
        return None
    return schedule(name, setting)


def saved_plan(particles: Array | FlowResult) -> Mapping[str, Any] | None:
    """The plan of a result; empty where it was saved without one, None for new particles."""
    return particles.state.get("plan", {}) if isinstance(particles, FlowResult) else None


def _ends(options: RunOptions, state: FlowState) -> bool:
    """Whether the distance no longer gains, where that ends the run."""
    pace = state.plan.pace
    settled = pace is None or pace.is_settled(state.step)
    floor = state.plan.record.get("floor")
    return options.until is not None and settled and is_converged(state.history, floor)


def _stops(callback: Callback | None, state: FlowState, distance: float) -> bool:
    """Whether the callback, which may keep and change what it is given, stops the flow."""
    if callback is None:
        return False
    particles = namespace(state.x).asarray(state.x, copy=True)
    return check_answer(callback(state.step, particles, distance))


def as_cloud(name: str, points: Any, count: str, like: Any = None) -> Array:
    """Finite points (count, d), as floats; `like` is an array beside them, see `as_floats`."""
    cloud = as_floats(name, points, like)
    check_cloud(name, cloud, count)
    return cloud


def check_cloud(name: str, points: Any, count: str) -> None:
    """Raise unless these are finite points (count, d) in memory or in a mapped file."""
    check_points(name, points)
    if points.ndim != 2:
        raise ValueError(f"{name} must have shape ({count}, d), got {shape(points)}")
    if backends.library_of(points) == "dask":
        raise TypeError(f"{name} must lie in memory or in a mapped file, got a Dask array")
    if backends.known_values(points):
        check_finite(name, points)


def _as_now_written(setting: Any) -> Any:
    """A saved setting; Laplace kernels were written with alpha = 1 / beta."""
    former = _FORMER_LAPLACE.fullmatch(setting) if isinstance(setting, str) else None
    return f"Laplace(beta={1 / (float(former[1]) or math.inf)!r})" if former else setting
