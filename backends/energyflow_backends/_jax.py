"""JAX: traceable throughout."""

from __future__ import annotations

from typing import Any, ClassVar

from ._arrays import Array, ArrayInfo
from ._base import Backend


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
