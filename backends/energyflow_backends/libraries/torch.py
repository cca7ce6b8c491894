"""torch on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .._base import Backend
from .._typing import Floats

if TYPE_CHECKING:
    from torch import Tensor


class TorchBackend(Backend):
    """Batched sorts, searches and distances by torch's own functions."""

    name: ClassVar[str] = "torch"
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    arrays: ClassVar[str] = "torch tensors"

    def from_numpy(self, array: Floats) -> Tensor:
        """On the CPU."""
        import torch

        return torch.asarray(array)

    def searchsorted(self, rows: Tensor, queries: Tensor, side: str) -> Tensor:
        """Batched search."""
        import torch

        return torch.searchsorted(rows.contiguous(), queries.contiguous(), side=side)

    def distances(self, tile: Tensor, z: Tensor) -> Tensor:
        """Direct distances, never by a matrix product, which loses near pairs."""
        import torch

        return torch.cdist(tile, z, compute_mode="donot_use_mm_for_euclid_dist")

    def pooled_order(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """One sort gives both."""
        values, order = pooled.sort(dim=1)
        return order, values
