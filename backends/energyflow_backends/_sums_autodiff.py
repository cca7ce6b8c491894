"""Sums of kernels as nodes of torch's graph, or under JAX's transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._arrays import Array, library_of

Sums = Callable[[Array, Array], Array]
Pull = Callable[[Array, Array, Array, str], Array]


def differentiable_sums(x: Array, y: Array, sums: Sums, pull: Pull) -> Array:
    """Sums (..., N) of two point sets, known to the automatic differentiation of their library.

    ``pull(x, y, outer, name)`` is the gradient of sum_i outer_i s_i with respect to the set that
    is named, "x" or "y".
    """
    library = library_of(x)
    if library == "torch" and (x.requires_grad or y.requires_grad):
        return _in_torch(x, y, sums, pull)
    if library == "jax":
        return _in_jax(x, y, sums, pull)
    return sums(x, y)


def _in_torch(x: Array, y: Array, sums: Sums, pull: Pull) -> Array:
    import torch
    from torch.autograd.function import once_differentiable

    class KernelSums(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Array, y: Array) -> Array:
            ctx.save_for_backward(x, y)
            return sums(x, y)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, outer: Array) -> tuple[Array | None, ...]:
            x, y = ctx.saved_tensors
            return tuple(
                pull(x, y, outer, name) if need else None
                for name, need in zip(("x", "y"), ctx.needs_input_grad, strict=True)
            )

    return KernelSums.apply(x, y)  # type: ignore[no-untyped-call]


def _in_jax(x: Array, y: Array, sums: Sums, pull: Pull) -> Array:
    import jax

    value: Any = jax.custom_vjp(sums)

    def forward(x: Array, y: Array) -> tuple[Array, tuple[Array, Array]]:
        return sums(x, y), (x, y)

    def backward(points: tuple[Array, Array], outer: Array) -> tuple[Array, Array]:
        return pull(*points, outer, "x"), pull(*points, outer, "y")

    value.defvjp(forward, backward)
    return value(x, y)
