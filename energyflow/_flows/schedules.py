"""Step sizes and momenta: numbers, functions of the step, or the default step size."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .._core.checks import check_choice, check_number

Schedule = float | Callable[[int], float]


def schedule(name: str, given: Schedule) -> Callable[[int], float]:
    """A function of the step that checks its numbers: tau > 0, 0 <= m < 1."""
    if callable(given):
        return partial(_called, name, given)
    return constant(_checked(name, given))


def constant(value: float) -> Callable[[int], float]:
    """The same number at every step."""
    return partial(_same, value)


def check_step_size(value: float) -> None:
    """Raise a ValueError unless a default step size is positive and finite."""
    schedule("step_size", value)


def resolved_step_size(step_size: Schedule | str, default: Callable[[], Schedule]) -> Schedule:
    """The step size that is given, or the default one for "auto"."""
    if not isinstance(step_size, str):
        return step_size
    check_choice("step_size", step_size, ("auto",))
    return default()


def _same(value: float, step: int) -> float:
    return value


def _called(name: str, given: Callable[[int], Any], step: int) -> float:
    return _checked(name, given(step), f" at step {step}")


def _checked(name: str, number: Any, where: str = "") -> float:
    value = check_number(f"{name}{where}", number)
    good = 0 < value < math.inf if name == "step_size" else 0 <= value < 1
    if not good:
        span = "positive and finite" if name == "step_size" else "at least 0 and below 1"
        raise ValueError(f"{name}{where} must be {span}, got {value:g}")
    return value
