"""Closed-form gradients under the transformations of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ._arrays import Array


def value(
    compute: Callable[..., Any], x: Array, y: Array, *others: Array | None, fixed: Array | None
) -> Array:
    """See `_autodiff.differentiable_value`; only the gradients that are asked for are computed."""

    @jax.custom_vjp
    def value(x: Array, y: Array, *rest: Array | None) -> Array:
        return compute(x, y, *rest[:-1], wrt=())[0]

    def forward(x: Any, y: Any, *rest: Any) -> tuple[Array, tuple[Array | None, Array | None]]:
        wrt = _wanted(x, y, *rest)
        result, gx, gy = compute(*(_plain(v) for v in (x, y, *rest[:-1])), wrt=wrt)
        return result, (gx, gy)

    def backward(gradients: tuple[Array | None, ...], outer: Array) -> tuple[Array | None, ...]:
        pulled = (None if g is None else outer[..., None, None] * g for g in gradients)
        return *pulled, *(None,) * (len(others) + 1)

    value.defvjp(forward, backward, symbolic_zeros=True)
    return value(x, y, *others, fixed)


def sums(
    sums: Callable[..., Array],
    pull: Callable[..., Array],
    x: Array,
    y: Array,
    w: Array,
    fixed: Array | None,
) -> Array:
    """See `_autodiff.differentiable_sums`."""

    @jax.custom_vjp
    def value(x: Array, y: Array, w: Array, fixed: Array | None) -> Array:
        return sums(x, y, w)

    def forward(*primals: Any) -> tuple[Array, tuple[tuple[Any, ...], dict[str, None]]]:
        wanted = dict.fromkeys(_wanted(*primals))  # keys, which stay known under jit
        arrays = tuple(_plain(v) for v in primals[:3])
        return sums(*arrays), (arrays, wanted)

    def backward(kept: tuple[Any, dict[str, None]], outer: Array) -> tuple[Array | None, ...]:
        arrays, wanted = kept
        pulled = (pull(name, *arrays, outer) if name in wanted else None for name in ("x", "y"))
        return *pulled, None, None

    value.defvjp(forward, backward, symbolic_zeros=True)
    return value(x, y, w, fixed)


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
