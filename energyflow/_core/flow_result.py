"""The result of a flow, and its file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_api_compat as compat
import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, Doubles, Integers, namespace

from .files import follow_link, write_arrays
from .reading import opened_archive

FORMAT = 1
MOST_STEPS = 2**62
HISTORY = ("history_step", "history_distance", "history_seconds")
_KINDS = {"particles": "f", "velocity": "f", **dict.fromkeys(HISTORY, "f"), "history_step": "i"}
_FEW_RECORDS = 3  # too few to tell how the distance goes
_SOME_NOISE = 0.01  # from which it is worth telling
_PATIENCE = 10  # times the steps of a run that it may need in all while it counts as falling


@dataclass(frozen=True, eq=False)
class FlowResult:
    """Where a flow has arrived, how it got there, and what it needs to resume.

    Attributes
    ----------
    particles, velocity : arrays (N, d)
        Positions, and the velocity of the last step (scaled by N, before the step size).
    history_step : array (K,)
        Steps after which the distance was recorded, 0 included.
    history_distance : array (K,)
        The distance to the target there: of a `ParticleFlow` or `ConditionalFlow`, the sliced
        energy distance E by that step's directions; of an `MMDFlow`, the squared MMD; of a
        `KALEFlow`, KALE.
    history_seconds : array (K,)
        Seconds of computing until then.
    state : dict
        Steps done, the seed of the directions, the settings that must not change, the plan of
        step sizes, and vectors that a flow carries from step to step.
    """

    particles: Array
    velocity: Array
    history_step: Integers
    history_distance: Doubles
    history_seconds: Doubles
    state: dict[str, Any]

    def __repr__(self) -> str:
        n, d = self.particles.shape
        particles = "particle" if n == 1 else "particles"
        return (
            f"FlowResult({n} {particles} in {d} dimensions, {self.state['step']} steps, "
            f"distance {self._level:.4g})"
        )

    def __str__(self) -> str:
        lines = [repr(self)]
        if self.floor is not None:
            lines.append(
                f"  {self._verdict}: random points of the target's distribution have "
                f"{self.floor:.4g}"
            )
        if self.noise is not None and self.noise > _SOME_NOISE:
            lines.append(f"  the slices' noise is {self.noise:.2g} times the squared gradient")
        return "\n".join(lines)

    @property
    def noise(self) -> float | None:
        """The variance of a gradient along a step's directions, relative to its squared mean."""
        return self._plan.get("noise")

    @property
    def floor(self) -> float | None:
        """The mean distance of as many random points of the target's distribution to the target.

        It is W (1 / N + 1 / M) with the mean W of |y - y'|^r over pairs of the target, from a few
        hundred points of it: particles at their best places are nearer. None where it is not
        known: of flows along batches of the target, and of files saved before it was kept.
        """
        return self._plan.get("floor")

    @property
    def arrived(self) -> bool | None:
        """Whether the distance at the end is at the floor or below, None where it is not known."""
        return None if self.floor is None else self._level <= self.floor

    @property
    def _plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = self.state.get("plan", {})
        return plan

    @property
    def _level(self) -> float:
        return last_distance(self.history_distance.tolist())

    @property
    def _verdict(self) -> str:
        if self.arrived:
            return "arrived"
        run = self.history_step.tolist(), self.history_distance.tolist(), self.floor or 0.0
        return "still falling" if still_falls(*run) else "not there yet"

    def save(self, path: str | Path) -> None:
        """Write everything to one .npz file, atomically.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        write_result(self, follow_link(path))

    @classmethod
    def load(cls, path: str | Path, like: Array | None = None) -> FlowResult:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path
            The .npz file.
        like : array, optional
            Particles and velocity are brought to its library and device; NumPy when not given.

        Raises
        ------
        OSError, ValueError
            If the file cannot be read, or is not a saved flow.
        """
        try:
            with opened_archive(Path(path)) as archive:
                missing = [name for name in (*_KINDS, "state") if name not in archive.names]
                if missing:
                    raise ValueError(f"it has no {', '.join(missing)}")
                arrays: dict[str, Any] = {
                    name: archive.read(name, kinds) for name, kinds in _KINDS.items()
                }
                state = json.loads(str(archive.read("state", "U")))
            check_saved(arrays, state)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not a saved flow: {error}") from None
        if like is not None:
            xp, device = namespace(like), compat.device(like)
            for name in ("particles", "velocity"):
                arrays[name] = xp.asarray(arrays[name], device=device)
        return cls(**arrays, state=state)


def last_distance(distances: Sequence[float]) -> float:
    """The distance at the end: the median of the last three records where there are many."""
    return float(np.median(distances[-3:])) if len(distances) > 8 else float(distances[-1])


def still_falls(steps: Sequence[int], distances: Sequence[float], floor: float) -> bool:
    """Whether a run was cut short: at its rate ten times as many steps would reach the floor.

    The rate is that of the second half; with fewer than four records of it there is none, and
    the answer is yes.
    """
    late = [2 * step >= steps[0] + steps[-1] for step in steps]
    middle = late.index(True) if True in late else len(late)
    before, end = last_distance(distances[: middle + 1]), last_distance(distances)
    if len(steps) - middle <= _FEW_RECORDS or not 0 < floor < end:
        return True
    if before <= end:
        return False
    left = (steps[-1] - steps[middle]) * math.log(end / floor) / math.log(before / end)
    return left <= _PATIENCE * (steps[-1] - steps[0])


def write_result(result: FlowResult, path: Path) -> None:
    """Write what `FlowResult.load` reads, atomically; a link at `path` is replaced."""
    arrays = {
        name: backends.to_host(getattr(result, name))
        for name in ("particles", "velocity", *HISTORY)
    }
    write_arrays(path, arrays | {"state": np.array(json.dumps(result.state))})


def check_saved(arrays: Mapping[str, Any], state: Any) -> None:
    """Raise a ValueError unless shapes and types are those that `save` writes."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        version = state.get("format") if isinstance(state, dict) else state
        raise ValueError(f"its format is {version!r}, expected {FORMAT}")
    step, key = state.get("step"), state.get("key")
    if type(step) is not int or not 0 <= step < MOST_STEPS:
        raise ValueError(f"its step is {step!r}, expected a whole number below 2^62")
    words = key if isinstance(key, list) else [None]
    if key is not None and not (
        len(words) == 2 and all(type(w) is int and 0 <= w < 2**64 for w in words)
    ):
        raise ValueError(f"its key is {key!r}, expected two 64-bit numbers or none")
    carried = state.get("carried", {})
    if not isinstance(carried, dict) or not all(_is_vector(v) for v in carried.values()):
        raise ValueError("what it carries from step to step is not made of finite numbers")
    plan = state.get("plan", {})
    if not isinstance(plan, dict) or not all(_is_number(v) for v in _leaves(plan)):
        raise ValueError("its plan is not made of finite numbers")
    shapes = {name: tuple(getattr(arrays[name], "shape", ())) for name in _KINDS}
    particles, velocity = shapes["particles"], shapes["velocity"]
    if len(particles) != 2 or velocity != particles:
        raise ValueError(f"it has particles {particles} and velocity {velocity}")
    lengths = {shapes[name] for name in HISTORY}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise ValueError(f"its histories have shapes {sorted(lengths)}, expected one length")


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is float and _is_number(v) for v in value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _leaves(plan: dict[str, Any]) -> list[Any]:
    """The numbers of a plan, and of its parts."""
    parts = [v.values() if isinstance(v, dict) else (v,) for v in plan.values()]
    return [number for part in parts for number in part]
