"""Step sizes, their decay and momentum, from the noise of slices and the target's curvature."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .curvature import Curvature

MOMENTUM = 0.7
SHARE = 0.7  # of the step size that is fastest for linear slopes
_SLOPES = 0.1  # noise of slopes that are not linear, times d / P
_KICKS = 4.0  # noise of forces between neighbours, times 1 - r over the lines that average them
_DECAY_STEPS = 200  # in which the step size falls by its first factor, at least
_COOLING = 100  # steps in which it falls by a factor of e, at least: stragglers need them
_DECAY_FACTOR = 5  # that factor is at most this times sqrt(N M / (N + M))
_LEAST_REST = 4.0  # factor by which the step size falls at last at least
_JITTER = 0.1  # energy of the particles' jitter at rest, as a share of the floor


def fastest_step(momentum: float, noise: float) -> float:
    r"""The step size, times the curvature, at which noisy linear slopes are descended fastest.

    .. math:: h^* = \frac{1 - m^2}{V (1 + m) + 1 - m}

    It is half of the largest that is stable in the mean square.
    """
    return (1 - momentum**2) / (noise * (1 + momentum) + 1 - momentum)


def kick_noise(exponent: float, n_lines: int) -> float:
    """The noise of forces between neighbours on a line, which are unbounded for r < 1.

    They do not average over the slices in one dimension, where all slices are the same line.
    """
    return _KICKS * max(0.0, 1 - exponent) / n_lines


@dataclass(frozen=True)
class Pace:
    """Step sizes as a function of the step and of the momentum.

    Attributes
    ----------
    unit : float
        The reciprocal of the target's curvature, times a share.
    noise : float
        The relative variance V of the gradient, in all.
    rest : float
        Factor by which the step size falls at last, so that jitter stays below the floor.
    first : float
        Factor by which it falls in the first steps.
    halving : float
        Steps after which it is halved moreover; 0 for never.
    """

    unit: float
    noise: float
    rest: float = 1.0
    first: float = 1.0
    halving: float = 0.0

    def step_size(self, step: int, momentum: float) -> float:
        """The step size tau at a step."""
        fall = self.first ** -min(step / self.decay_steps, 1.0)
        if step > self.decay_steps:
            fall = max(fall * self.decay_steps / step, 1 / self.rest)
        if self.halving:
            fall /= 1 + step / self.halving
        return float(fastest_step(momentum, self.noise) * self.unit * fall)

    @property
    def decay_steps(self) -> float:
        """Steps in which the step size falls by its first factor."""
        return max(_DECAY_STEPS, _COOLING * math.log(self.first))

    def is_settled(self, step: int) -> bool:
        """Whether the step size has fallen by its first factor."""
        return self.first < 1.5 or step >= self.decay_steps


def choose_pace(
    curvature: Curvature | None,
    noise: float,
    directions_share: float,
    n_particles: float,
    n_target: float,
    *,
    share: float = SHARE,
    halving: float = 0.0,
) -> Pace:
    """The pace towards a target.

    Parameters
    ----------
    curvature : Curvature or None
        That of the target; without one, of a single place, the step size is of the size of 1 and
        falls as it does for atoms.
    noise : float
        That of the slices where slopes are linear.
    directions_share : float
        Coordinates that move over directions, d / P; 0 where there are no slices.
    n_particles, n_target : float
        N, and M or what stands for it where a step sees less.
    share : float
        Of the step size that is fastest for linear slopes.
    halving : float
        See `Pace`.
    """
    together = n_particles * n_target / (n_particles + n_target)
    if curvature is None:
        atom = max(_LEAST_REST, _DECAY_FACTOR * math.sqrt(together))
        return Pace(share, noise, atom, atom, halving)
    fine = curvature.at(_JITTER * curvature.mean / together) / curvature.coarse
    first = min(fine, max(1.0, _DECAY_FACTOR * math.sqrt(together)))
    rest = max(fine, _LEAST_REST)
    whole = noise + (curvature.variation + _SLOPES) * directions_share
    return Pace(share / curvature.coarse, whole, rest, first, halving)


@dataclass(frozen=True)
class Plan:
    """What a run does at each step, and what is known about it beforehand.

    Attributes
    ----------
    step_size, momentum : callables
        Functions of the step.
    pace : Pace, optional
        Where the step size is automatic.
    record : dict
        Numbers for the file: `noise` of the slices, and the `floor`, the mean distance of N
        random points of the target's distribution to the target, or `batch_floor`, that to a batch.
    """

    step_size: Callable[[int], float]
    momentum: Callable[[int], float]
    pace: Pace | None = None
    record: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        """For the file, from which `saved_pace` reads."""
        return self.record | ({} if self.pace is None else {"pace": asdict(self.pace)})


def saved_pace(saved: Mapping[str, Any]) -> Pace | None:
    """The pace of a saved flow, if it has one."""
    numbers = saved.get("pace")
    names = set(Pace.__dataclass_fields__)
    if not isinstance(numbers, dict) or set(numbers) != names:
        return None
    good = all(type(v) in (int, float) and math.isfinite(v) for v in numbers.values())
    return Pace(**numbers) if good and min(numbers["unit"], numbers["first"]) > 0 else None
