"""Closed-form gradients under the transformations of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from .._jax_tracers import filled, traced_arrays
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
