"""Names of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._core.checks import check_each


def as_names(names: Sequence[str] | None, d: int) -> tuple[str, ...]:
    """The names of d parameters, their places where there are none."""
    if names is None:
        return tuple(map(str, range(d)))
    given = check_each("names", names, _text)
    if len(given) != d or len(set(given)) != d:
        raise ValueError(f"names must be {d} different ones, one for each parameter, got {names}")
    return given


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be strings, got {type(value).__name__}")
    return value
