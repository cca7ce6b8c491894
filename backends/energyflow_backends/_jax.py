"""JAX: traceable throughout, and the closed-form gradient under its transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ._arrays import Array, ArrayInfo
from ._base import Backend, Result

Compute = Callable[[Array, Array, tuple[str, ...]], Result]


class JaxBackend(Backend):
    """XLA's sort and batched search."""

    name: ClassVar[str] = "jax"
    requires: ClassVar[tuple[str, ...]] = ("jax",)

    def refuses(self, info: ArrayInfo) -> str | None:
        """JAX arrays only, traced or not."""
        return None if info.library == "jax" else f"{info.library} arrays are not JAX arrays"

    def searchsorted(self, rows: Array, queries: Array, side: str) -> Array:
        """Search row by row, in one vectorised call."""
        import jax
        import jax.numpy as jnp

        def search(row: Any, query: Any) -> Any:
            return jnp.searchsorted(row, query, side=side)

        return jax.vmap(search)(rows, queries)


def differentiable_value(x: Array, y: Array, compute: Compute) -> Array:
    """The value with a reverse-mode rule that returns the closed-form gradients."""
    import jax

    @jax.custom_vjp
    def value(x: Array, y: Array) -> Array:
        return compute(x, y, ())[0]

    def forward(x: Array, y: Array) -> tuple[Array, tuple[Array | None, Array | None]]:
        result, gx, gy = compute(x, y, ("x", "y"))
        return result, (gx, gy)

    def backward(gradients: tuple[Array, Array], outer: Array) -> tuple[Array, Array]:
        gx, gy = (outer[..., None, None] * g for g in gradients)
        return gx, gy

    value.defvjp(forward, backward)
    return value(x, y)
