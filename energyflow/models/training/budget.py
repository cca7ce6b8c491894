"""How long training may take: seconds, or steps of networks; and what is planned for that."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from time import perf_counter
from typing import Any

from energyflow_backends import sharding

from ..._core.checks import check_positive

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")
_STEPS = re.compile(r"(\d+)\s*steps?")
_MARGIN = 1.1  # a block may take a little longer than the one before
_SPENT = 0.85  # of the seconds that are left: writing, and a machine that is busy, take the rest
_VALIDATION = 0.1  # of the seconds that are left, at most
_FEWEST = 16  # samples that are compared with data, or none


@dataclass(frozen=True)
class Budget:
    """Seconds and network steps that a run, or a part of it, may take.

    Attributes
    ----------
    seconds, steps : float
        Infinite where they do not matter.
    """

    seconds: float = math.inf
    steps: float = math.inf

    @classmethod
    def of(cls, budget: float | str | None, name: str = "budget") -> Budget:
        """Read ``600`` (seconds), ``"90s"``, ``"10m"``, ``"1.5h"``, ``"5000 steps"`` or None.

        name : of the argument, for messages.

        Raises
        ------
        TypeError, ValueError
            It is none of these, or not positive.
        """
        if budget is None:
            return cls()
        if isinstance(budget, str):
            text = budget.strip().lower()
            if match := _TIME.fullmatch(text):
                return cls.of(float(match[1]) * _UNITS[match[2]], name)
            if (match := _STEPS.fullmatch(text)) and int(match[1]) > 0:
                return cls(steps=int(match[1]))
            raise ValueError(
                f"{name} must be seconds, or text like '90s', '10m', '1.5h' or '5000 steps', "
                f"got {budget!r}"
            )
        if isinstance(budget, bool) or not isinstance(budget, Real):
            raise TypeError(f"{name} must be a number or text, got {type(budget).__name__}")
        return cls(seconds=check_positive(name, budget))

    def as_json(self) -> dict[str, float]:
        """What is finite of it."""
        return {name: limit for name, limit in vars(self).items() if math.isfinite(limit)}

    def allows(self, seconds: float, steps: int, next_seconds: float, next_steps: int) -> bool:
        """Whether, after so much, something of the given length still fits."""
        in_time = seconds + _MARGIN * next_seconds <= self.seconds
        return in_time and steps + next_steps <= self.steps


Decisions = dict[str, int]
"""What is planned for a budget, by the plan's own names: steps, stages, samples for validation."""


@dataclass(frozen=True)
class Allowance:
    """What a plan may take: steps, or seconds, of which it can measure what its parts cost.

    Attributes
    ----------
    steps : float
        Of networks; infinite where seconds count.
    left : callable
        Seconds that are left now, the same in every process; infinite where steps count.
    seconds_a_step : callable
        Trains a stage for a few steps, to be thrown away, and gives the seconds of one.
    """

    steps: float
    left: Callable[[], float]
    seconds_a_step: Callable[[Any], float]

    @property
    def timed(self) -> bool:
        """Whether seconds count."""
        return math.isfinite(self.left())

    def to_spend(self) -> float:
        """Seconds that may be planned for."""
        return _SPENT * self.left()

    def validation(
        self, validate: Callable[[int], object], most: int, times: int
    ) -> tuple[int, float]:
        """How many samples can be validated so many times, and the seconds that this takes once.

        validate : validates with so many samples. They are tried in growing numbers, so that all
        trials cost little more than one validation.
        """
        allowed, n = _VALIDATION * self.left() / times, min(_FEWEST, most)
        seconds = _seconds_of(validate, n)
        if seconds > allowed:
            return 0, 0.0
        while n < most and 4 * seconds <= allowed:
            n = min(4 * n, most)
            seconds = _seconds_of(validate, n)
        return n, seconds


def _seconds_of(validate: Callable[[int], object], n: int) -> float:
    start = perf_counter()
    validate(n)
    return slowest(perf_counter() - start)


def slowest(seconds: float) -> float:
    """The most of what each of the processes that share the training has measured."""
    here = sharding()
    if here is None:
        return seconds
    return max(row[0] for row in here.numbers([round(seconds * 1e6)])) / 1e6
