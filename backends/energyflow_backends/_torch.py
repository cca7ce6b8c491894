"""torch on any device."""

from __future__ import annotations

from typing import ClassVar

from ._arrays import Array, ArrayInfo
from ._base import Backend


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
