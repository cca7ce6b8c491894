"""What all flows share: particles that step against a gradient, and how they stop and go on."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import array_api_compat as compat
import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, EnergyflowError, namespace, widest_dtypes

from .._core.checks import (
    check_count,
    check_finite,
    check_number,
    check_path,
    check_points,
    check_together,
    check_weights,
    shape,
)
from .._core.files import check_writable
from .._core.flow_result import FORMAT, HISTORY, FlowResult, check_saved, write_result
from .._core.memory import PARTICLES, advising
from .._core.progress import Progress
from .._core.random import HostSource, Rng, Source, agreed, as_source
from ..distributed import gather

Schedule = float | Callable[[int], float]
Callback = Callable[[int, Array, float], object]


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


class Descent(ABC):
    """Particles that descend a functional F of their positions, with momentum.

    A flow gives `_look`, the value of F and N grad F, and `_settings`, what must stay the same
    when a flow goes on.
    """

    def __init__(
        self,
        target: Array,
        target_weights: Array | None,
        step_size: Schedule,
        momentum: Schedule,
        rng: Rng,
    ) -> None:
        check_cloud("target", target, "M")
        if target_weights is not None:
            check_weights("target_weights", target_weights, "target", target)
            if target_weights.ndim != 1:
                raise ValueError(
                    f"target_weights must have shape ({target.shape[0]},), "
                    f"got {shape(target_weights)}"
                )
        self.target = backends.detached(target)
        self.target_weights = target_weights
        self.step_size = schedule("step_size", step_size)
        self.momentum = schedule("momentum", momentum)
        self._source = as_source(rng)

    def run(
        self,
        particles: Array | FlowResult,
        n_steps: int,
        *,
        record_every: int = 10,
        callback: Callback | None = None,
        progress: bool = True,
        out: str | os.PathLike[str] | None = None,
        save_every: float = 300.0,
        velocity: Array | None = None,
        first_step: int = 0,
    ) -> FlowResult:
        """Take steps from given particles, or go on from an earlier result.

        Parameters
        ----------
        particles : array (N, d) or FlowResult
            Where to start, in the library and on the device of the target; or the result to go on
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
            record after `save_every` seconds. `FlowResult.load` gives what to go on from. A
            link of that name is replaced, not followed.
        save_every : float
            Seconds, at least 0.
        velocity : array (N, d), optional
            The velocity that particles start with; zero when not given. A result has its own.
        first_step : int
            Number of the first step, on which directions and schedules depend. A result has its
            own.

        Returns
        -------
        FlowResult

        Raises
        ------
        TypeError, ValueError
            Arguments of the wrong type, shape or range; a result of a flow with other settings;
            particles so far from the target that the functional overflows.
        FlowDiverged
            Particles became NaN or infinite.
        OSError
            `out` cannot be written, which is found out before the first step; if it happens
            later all the same, what the flow has reached is in the error's `.result`.
        """
        options = RunOptions(
            n_steps, record_every, callback, progress, out, save_every, velocity, first_step
        )
        return self._descend(particles, options)

    def _descend(
        self, particles: Array | FlowResult, options: RunOptions, fixed: Array | None = None
    ) -> FlowResult:
        """Run; `fixed` (N, n) holds the last coordinates of the particles, those that stay."""
        file = None if options.out is None else check_path("out", options.out)
        walk = self._start(particles, options)
        check_cloud("particles", walk.x, "N")
        check_together("particles", walk.x, "target", self.target)
        if walk.x.shape[1] != self.target.shape[1]:
            raise ValueError(
                "particles must have the dimension of the target, "
                f"{self.target.shape[1]}, got {walk.x.shape[1]}"
            )
        if fixed is not None and fixed.shape[0] != walk.x.shape[0]:
            raise ValueError(
                f"condition must have one row for each of the {walk.x.shape[0]} particles, "
                f"got {fixed.shape[0]}"
            )
        if options.velocity is not None:
            _check_velocity(options.velocity, walk.x)
        walk.n = backends.count_of_all(walk.x.shape[0])
        source = agreed(self._source if walk.key is None else HostSource(walk.key))
        record_every, callback = options.record_every, options.callback
        first, last = walk.step, walk.step + options.n_steps
        clock = perf_counter() - (walk.history[-1][2] if walk.history else 0.0)
        walk.forget_current()
        saving, saved = _is_saved(file), perf_counter()
        with Progress(options.n_steps, "flow", options.progress) as bar, advising(PARTICLES):
            while True:
                recording = walk.step % record_every == 0 or walk.step == last
                value, gradient = self._look(
                    walk, fixed, source, moving=walk.step < last, recording=recording
                )
                bar.update(walk.step - first)
                if recording:
                    distance = float(value)
                    walk.history.append((walk.step, distance, perf_counter() - clock))
                    bar.update(walk.step - first, distance=distance)
                    enough = callback is not None and _is_enough(callback, walk, distance)
                    due = saving and perf_counter() - saved >= options.save_every
                    enough, due = backends.any_process(enough, due)
                    if enough:
                        break
                if walk.step == last:
                    break
                if recording and due:
                    _save(walk.result(self._settings(), source), file)
                    saved = perf_counter()
                walk.advance(gradient, self.step_size(walk.step), self.momentum(walk.step))
        result = walk.result(self._settings(), source)
        if saving:
            _save(result, file)
        return result

    @abstractmethod
    def _look(
        self, walk: Walk, fixed: Array | None, source: Source, *, moving: bool, recording: bool
    ) -> tuple[Array, Array]:
        """F in the unit that is recorded, if it is recorded, and N grad F if particles move on."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What must stay the same when a flow goes on."""

    def _start(self, particles: Array | FlowResult, options: RunOptions) -> Walk:
        if not isinstance(particles, FlowResult):
            return Walk(particles, options.velocity, int(options.first_step))
        if options.velocity is not None or options.first_step:
            raise ValueError("velocity and first_step must be left out: the result has its own")
        return self._resume(particles)

    def _resume(self, result: FlowResult) -> Walk:
        try:
            check_saved(vars(result), result.state)
        except ValueError as error:
            raise ValueError(f"particles must be a result to go on from: {error}") from None
        check_together("the velocity of particles", result.velocity, "them", result.particles)
        for name, mine in self._settings().items():
            if result.state.get(name) != mine:
                raise ValueError(
                    f"particles must be the result of a flow with {name} = {mine!r} to go on, "
                    f"got one with {result.state.get(name)!r}"
                )
        return Walk.of(result)


class Walk:
    """Particles on their way: positions, velocity, steps done, and what was recorded."""

    def __init__(self, x: Array, velocity: Array | None = None, step: int = 0) -> None:
        self.x = self.previous = backends.detached(x)
        self.velocity = None if velocity is None else backends.detached(velocity)
        self.n = 0  # particles, those of other processes included
        self.step = step
        self.key: list[int] | None = None
        self.history: list[tuple[int, float, float]] = []
        self.carried: dict[str, Array] = {}  # vectors that a flow keeps from look to look

    @classmethod
    def of(cls, result: FlowResult) -> Walk:
        walk = cls(result.particles, result.velocity, int(result.state["step"]))
        walk.key = result.state["key"]
        xp, device = namespace(walk.x), compat.device(walk.x)
        for name, numbers in result.state.get("carried", {}).items():
            walk.carried[name] = xp.asarray(numbers, device=device, dtype=widest_dtypes(walk.x)[0])
        columns = (getattr(result, name).tolist() for name in HISTORY)
        walk.history = list(zip(*columns, strict=True))
        return walk

    def forget_current(self) -> None:
        """A distance recorded where the particles stand now is recorded again, if it is due."""
        if self.history and self.history[-1][0] == self.step:
            self.history.pop()

    def lost(self) -> Exception:
        """What is raised where F is not finite at the particles, who were finite to begin with."""
        if self.previous is self.x:
            return ValueError(
                "particles and target must be near enough for F to be finite in their dtype"
            )
        return FlowDiverged(self.step, self.previous)

    def advance(self, gradient: Array, step_size: float, momentum: float) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # found at the next look
            velocity = gradient
            if self.velocity is not None:
                velocity = gradient + momentum * self.velocity
            self.previous, self.x = self.x, self.x - step_size * velocity
        self.velocity = velocity
        self.step += 1

    def result(self, settings: dict[str, Any], source: Source) -> FlowResult:
        velocity = namespace(self.x).zeros_like(self.x) if self.velocity is None else self.velocity
        key = list(source.key) if isinstance(source, HostSource) else None
        step, distance, seconds = zip(*self.history, strict=True)
        return FlowResult(
            self.x,
            velocity,
            np.array(step, dtype=np.int64),
            np.array(distance, dtype=np.float64),
            np.array(seconds, dtype=np.float64),
            {"format": FORMAT, "step": self.step, "key": key, **settings, **self._carried()},
        )

    def _carried(self) -> dict[str, Any]:
        """For the state: absent where there is nothing to carry."""
        lists = {name: backends.to_host(vector).tolist() for name, vector in self.carried.items()}
        return {"carried": lists} if lists else {}


def _is_enough(callback: Callback, walk: Walk, distance: float) -> bool:
    """Whether the callback, which may keep and change what it is given, ends the flow."""
    said = callback(walk.step, namespace(walk.x).asarray(walk.x, copy=True), distance)
    try:
        return bool(said)
    except (TypeError, ValueError, RuntimeError) as error:  # arrays of several numbers
        raise TypeError(
            f"callback must return something true or false, got {type(said).__name__}: {error}"
        ) from error


def _is_saved(file: Path | None) -> bool:
    """Whether the result is saved; an OSError in all processes if the first cannot write it."""
    refused = None
    if file is not None and backends.is_first():
        try:
            check_writable(file)
        except OSError as error:
            refused = error
    saving, failing = backends.any_process(file is not None, refused is not None)
    if failing:
        raise refused or OSError("the first process cannot write the file `out`")
    return saving


def _save(result: FlowResult, file: Path | None) -> None:
    """Save what all processes hold to a file whose folder need not be there, or not any more."""
    whole = gather(result)
    if whole is None or file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_result(whole, file)
    except OSError as error:
        error.result = whole  # type: ignore[attr-defined]
        error.add_note("What the flow has reached is in `.result` of this error.")
        raise


def check_cloud(name: str, points: Any, count: str) -> None:
    check_points(name, points)
    if points.ndim != 2:
        raise ValueError(f"{name} must have shape ({count}, d), got {shape(points)}")
    if backends.library_of(points) == "dask":
        raise TypeError(f"{name} must lie in memory or in a mapped file, got a Dask array")
    if backends.known_values(points):
        check_finite(name, points)


def _check_velocity(velocity: Array, particles: Array) -> None:
    check_together("velocity", velocity, "particles", particles)
    if velocity.shape != particles.shape or velocity.dtype != particles.dtype:
        raise ValueError(
            f"velocity must have the shape {shape(particles)} and the dtype {particles.dtype} of "
            f"the particles, got {shape(velocity)} and {velocity.dtype}"
        )


def schedule(name: str, schedule: Schedule) -> Callable[[int], float]:
    """A function of the step whose numbers are checked: tau > 0, 0 <= m < 1."""

    def checked(number: Any, where: str) -> float:
        value = check_number(f"{name}{where}", number)
        good = 0 < value < math.inf if name == "step_size" else 0 <= value < 1
        if not good:
            span = "positive and finite" if name == "step_size" else "at least 0 and below 1"
            raise ValueError(f"{name}{where} must be {span}, got {value:g}")
        return value

    if callable(schedule):
        return lambda step: checked(schedule(step), f" at step {step}")
    constant = checked(schedule, "")
    return lambda step: constant
