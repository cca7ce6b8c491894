"""torch on any device, and autograd through the closed-form gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ._arrays import Array, ArrayInfo
from ._base import Backend, Result

Compute = Callable[[Array, Array, tuple[str, ...]], Result]


class TorchBackend(Backend):
    """Batched sorts, searches and distances by torch's own functions."""

    name: ClassVar[str] = "torch"
    requires: ClassVar[tuple[str, ...]] = ("torch",)

    def refuses(self, info: ArrayInfo) -> str | None:
        """Torch tensors only."""
        return None if info.library == "torch" else f"{info.library} arrays are not torch tensors"

    def searchsorted(self, rows: Array, queries: Array, side: str) -> Array:
        """Batched search."""
        import torch

        return torch.searchsorted(rows.contiguous(), queries.contiguous(), side=side)

    def distances(self, tile: Array, z: Array) -> Array:
        """Direct distances, never by a matrix product, which loses near pairs."""
        import torch

        return torch.cdist(tile, z, compute_mode="donot_use_mm_for_euclid_dist")

    def pooled_order(self, pooled: Array) -> tuple[Array, Array]:
        """One sort gives both."""
        values, order = pooled.sort(dim=1)
        return order, values


def differentiable_value(x: Array, y: Array, compute: Compute) -> Array:
    """The value as a node of torch's graph, with gradients for x and y where they are needed."""
    import torch
    from torch.autograd.function import once_differentiable

    class Value(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Array, y: Array) -> Array:
            needed = zip(("x", "y"), ctx.needs_input_grad, strict=True)
            value, gx, gy = compute(x, y, tuple(name for name, need in needed if need))
            ctx.save_for_backward(*(g for g in (gx, gy) if g is not None))
            return value

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, outer: Array) -> tuple[Array | None, ...]:
            saved = iter(ctx.saved_tensors)
            return tuple(
                outer[..., None, None] * next(saved) if need else None
                for need in ctx.needs_input_grad
            )

    return Value.apply(x, y)  # type: ignore[no-untyped-call]
