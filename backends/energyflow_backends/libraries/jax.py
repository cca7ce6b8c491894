"""JAX: traceable throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .._base import Backend
from .._typing import Floats

if TYPE_CHECKING:
    import jax


class JaxBackend(Backend):
    """XLA's sort and batched search."""

    name: ClassVar[str] = "jax"
    requires: ClassVar[tuple[str, ...]] = ("jax",)
    libraries: ClassVar[tuple[str, ...]] = ("jax",)  # traced or not
    arrays: ClassVar[str] = "JAX arrays"

    def from_numpy(self, array: Floats) -> jax.Array:
        """On JAX's default device."""
        import jax.numpy as jnp

        return jnp.asarray(array)

    def searchsorted(self, rows: jax.Array, queries: jax.Array, side: str) -> jax.Array:
        """Search row by row, in one vectorised call."""
        import jax
        import jax.numpy as jnp

        def search(row: jax.Array, query: jax.Array) -> jax.Array:
            return jnp.searchsorted(row, query, side=side)

        return jax.vmap(search)(rows, queries)
