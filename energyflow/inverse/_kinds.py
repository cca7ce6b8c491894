"""The kinds of operators and noise that a problem file can name, and their settings."""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from .._core.reading import naming


class Configured(ABC):
    """What a problem file can describe: a kind, by its `name`, and arguments."""

    name: str

    def settings(self) -> dict[str, Any]:
        """The arguments that make an equal object, as JSON and TOML can hold them.

        They are the attributes with the names of the parameters, unless a subclass overrides this.

        Raises
        ------
        TypeError
            If there is no attribute with the name of a parameter.
        """
        names = inspect.signature(type(self)).parameters
        for name in names:
            if not hasattr(self, name):
                raise TypeError(
                    f"{type(self).__name__} has a parameter {name!r} but no such attribute, where "
                    f"its settings are looked for: set self.{name}, or override settings()"
                )
        return {name: _plain(getattr(self, name)) for name in names}


Kind = TypeVar("Kind", bound=type[Configured])
_KINDS: dict[str, dict[str, Callable[..., Any]]] = {"operator": {}, "noise": {}}


def register(table: Literal["operator", "noise"]) -> Callable[[Kind], Kind]:
    """A class decorator: `kind = "<name of the class>"` in that table stands for the class."""

    def add(cls: Kind) -> Kind:
        _KINDS[table][cls.name] = cls
        return cls

    return add


def build(table: Literal["operator", "noise"], settings: Mapping[str, Any], origin: str) -> Any:
    """The operator or the noise that the table describes by its kind and arguments.

    Raises
    ------
    TypeError, ValueError
        If the table, the kind or an argument is missing or wrong; the message begins with
        `origin`.
    """
    kinds, arguments = _KINDS[table], settings.get(table)
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{origin}: expected a table [{table}]")
    arguments = dict(arguments)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(
            f"{origin}: [{table}] kind must be one of {', '.join(kinds)}, got {kind!r}"
        )
    with naming(f"{origin}: [{table}]"):
        return kinds[kind](**arguments)


def _plain(value: Any) -> Any:
    """Arrays and tuples as lists, flags in arrays as 0 and 1."""
    if isinstance(value, np.ndarray):
        return (value.astype(int) if value.dtype == bool else value).tolist()
    return list(value) if isinstance(value, tuple) else value
