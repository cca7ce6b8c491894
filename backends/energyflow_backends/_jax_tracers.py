"""Traced arrays of JAX in dataclasses and tuples: taken out, and others put in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import jax


def traced_arrays(held: Any) -> list[Any]:
    """The traced arrays in dataclasses and tuples.

    Rules of gradients are traced after the function they belong to, when its arrays are gone: they
    must get these as arguments.
    """
    if isinstance(held, jax.core.Tracer):
        return [held]
    return [traced for part in _parts(held).values() for traced in traced_arrays(part)]


def filled(held: Any, arrays: Iterator[Any]) -> Any:
    """The same with other arrays in place of the traced ones, in their order."""
    if isinstance(held, jax.core.Tracer):
        return next(arrays)
    if not traced_arrays(held):
        return held
    parts = {name: filled(part, arrays) for name, part in _parts(held).items()}
    return tuple(parts.values()) if isinstance(held, tuple) else replace(held, **parts)


def _parts(held: Any) -> dict[str, Any]:
    if isinstance(held, tuple):
        return {str(place): part for place, part in enumerate(held)}
    if not is_dataclass(held) or isinstance(held, type):
        return {}
    return {field.name: getattr(held, field.name) for field in fields(held) if field.init}
