"""Closed-form gradients under the transformations of JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import jax
from jax import Array

from .._projector import Projector


def value(
    compute: Callable[..., Any],
    x: Array,
    y: Array,
    *others: Array,
    held: Projector | None,
) -> Array:
    """See `functions.differentiable_value`; only the gradients that are needed are computed."""
    n = 2 + len(others)

    def run(*arrays: Any, wrt: tuple[str, ...]) -> Any:
        return compute(*arrays[:n], wrt=wrt, held=filled(held, iter(arrays[n:])))

    @jax.custom_vjp
    def value(*arrays: Any) -> Array:
        plain: Array = run(*arrays, wrt=())[0]
        return plain

    def forward(*primals: Any) -> tuple[Array, tuple[Array | None, Array | None]]:
        result, gx, gy = run(*map(_plain, primals), wrt=_wanted(*primals))
        return result, (gx, gy)

    def backward(gradients: tuple[Array | None, ...], outer: Array) -> tuple[Array | None, ...]:
        pulled = (None if g is None else outer[..., None, None] * g for g in gradients)
        return *pulled, *(None,) * (len(arrays) - 2)

    value.defvjp(forward, backward, symbolic_zeros=True)
    arrays = x, y, *others, *traced_arrays(held)
    return value(*arrays)


def sums(
    sums: Callable[..., Array],
    pull: Callable[..., Array],
    x: Array,
    y: Array,
    w: Array,
    held: Projector | None,
) -> Array:
    """See `functions.differentiable_sums`."""

    def run(*arrays: Any) -> Array:
        return sums(*arrays[:3], held=filled(held, iter(arrays[3:])))

    def forward(*primals: Any) -> tuple[Array, tuple[tuple[Any, ...], dict[str, None]]]:
        wanted = dict.fromkeys(_wanted(*primals))  # keys, which stay known under jit
        arrays = tuple(map(_plain, primals))
        return run(*arrays), (arrays, wanted)

    def backward(kept: tuple[Any, dict[str, None]], outer: Array) -> tuple[Array | None, ...]:
        arrays, wanted = kept
        projector = filled(held, iter(arrays[3:]))
        pulled = (
            pull(name, *arrays[:3], outer, held=projector) if name in wanted else None
            for name in ("x", "y")
        )
        return *pulled, *(None,) * (len(arrays) - 2)

    value = jax.custom_vjp(run)
    value.defvjp(forward, backward, symbolic_zeros=True)
    return value(x, y, w, *traced_arrays(held))


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


def _plain(primal: Any) -> Array | None:
    return None if primal is None else primal.value


def _wanted(x: Any, y: Any, *others: Any) -> tuple[str, ...]:
    """Which sets of points are differentiated; nothing else can be."""
    if any(v is not None and v.perturbed for v in others):
        raise TypeError(
            "weights and projections must not be differentiated: gradients are with respect to "
            "points; apply jax.lax.stop_gradient"
        )
    return tuple(name for name, v in (("x", x), ("y", y)) if v.perturbed)
