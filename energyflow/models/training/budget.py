"""How long training may take: seconds, or steps of networks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real

from ..._core.checks import check_positive

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")
_STEPS = re.compile(r"(\d+)\s*steps?")
MARGIN = 1.1  # a block may take a little longer than the one before


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
        in_time = seconds + MARGIN * next_seconds <= self.seconds
        return in_time and steps + next_steps <= self.steps
