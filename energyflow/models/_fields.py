"""Fields of settings: checked by their types, and as JSON."""

from __future__ import annotations

from dataclasses import is_dataclass
from functools import partial
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from .._core.checks import (
    check_choice,
    check_count,
    check_each,
    check_exponent,
    check_flag,
    check_nonnegative,
    check_number,
    check_positive,
)


def check_share(name: str, value: Any, zero: bool = True, one: bool = False) -> float:
    """A number between 0 and 1, with or without these two, as a float."""
    share = check_number(name, value)
    if not (0 < share < 1 or (zero and share == 0) or (one and share == 1)):
        low, high = "at least" if zero else "above", "at most" if one else "below"
        raise ValueError(f"{name} must be {low} 0 and {high} 1, got {value}")
    return share


Whole = Annotated[int, partial(check_count, minimum=0)]
Share = Annotated[float, check_share]
PositiveShare = Annotated[float, partial(check_share, zero=False, one=True)]
NonNegative = Annotated[float, check_nonnegative]
Exponent = Annotated[float, lambda name, value: check_exponent(value)]


def check_fields(settings: Any) -> None:
    """Check the fields of a frozen dataclass, and make plain Python numbers and tuples of them.

    Fields are checked as their annotations say, else by their type: counts from 1, positive
    numbers, choices, True or False, tuples of these, and dataclasses.
    """
    for name, kind in get_type_hints(type(settings), include_extras=True).items():
        if get_origin(kind) is not ClassVar:
            object.__setattr__(settings, name, _checked(name, getattr(settings, name), kind))


def _checked(name: str, value: Any, kind: Any) -> Any:
    """A value of a type."""
    plain = {int: check_count, float: check_positive, bool: check_flag}
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in plain:
        return plain[kind](name, value)
    if origin is Annotated:
        return arguments[1](name, value)
    if origin is Literal:
        return check_choice(name, value, arguments)
    if origin is tuple:
        return check_each(name, value, lambda n, v: _checked(n, v, arguments[0]))
    kinds = [inner for inner in arguments if inner is not NoneType]
    if value is None and len(kinds) < len(arguments):
        return None
    if not is_dataclass(kinds[0]):  # a choice may stand beside a number
        return _checked(name, value, kinds[-1 if isinstance(value, str) else 0])
    if not isinstance(value, tuple(kinds)):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be {expected}, got {type(value).__name__}")
    return value


def as_json(value: Any) -> Any:
    """Tuples as lists, as JSON gives them back."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    return [as_json(inner) for inner in value] if isinstance(value, tuple | list) else value


def from_json(kind: Any, value: Any) -> Any:
    """Lists as tuples, and an object as the dataclass of a field's type that its kind names."""
    if isinstance(value, list):
        return tuple(from_json(None, inner) for inner in value)
    classes = [t for t in get_args(kind) if isinstance(t, type) and is_dataclass(t)]
    if not isinstance(value, dict) or not classes:
        return value
    entries = {key: from_json(None, inner) for key, inner in value.items()}
    if len(classes) > 1:
        names = [t.__name__ for t in classes]
        classes = [classes[names.index(check_choice("kind", entries.pop("kind"), names))]]
    return classes[0](**entries)
