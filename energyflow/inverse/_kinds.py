"""The kinds of operators and noise that a problem file can name; each class registers itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from .._core.reading import naming

Kind = TypeVar("Kind", bound=type)
_KINDS: dict[str, dict[str, Callable[..., Any]]] = {"operator": {}, "noise": {}}


def register(table: Literal["operator", "noise"]) -> Callable[[Kind], Kind]:
    """A class decorator: `kind = "<name of the class>"` in that table stands for the class."""

    def add(cls: Kind) -> Kind:
        _KINDS[table][cls.name] = cls  # type: ignore[attr-defined]
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
