"""Data sets and loaders of torch, read into memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .arrays import as_tensor

_BATCH = 256  # items of a data set that are read together
_MOST_BYTES = 2**33


def in_memory(name: str, data: Any, condition: Any) -> tuple[Any, Any]:
    """Data with their conditions: those of a data set or loader as tensors, others as they are."""
    if not isinstance(data, Dataset | DataLoader):
        return data, condition
    if isinstance(data, Dataset):  # a generator of its own: else torch's global one would move
        loader = DataLoader(data, _BATCH, generator=torch.Generator())
    else:
        loader = data
    points, given = _Batches(name, loader).read()
    if given is None:
        return points, condition
    if condition is not None:
        raise ValueError(f"condition must be left out: {name} gives pairs with conditions")
    return points, given


class _Batches:
    """The batches of a loader: points alone, or pairs of points and conditions."""

    def __init__(self, name: str, loader: DataLoader[Any]) -> None:
        self.name, self.loader = name, loader
        self.n_bytes = 0

    def read(self) -> tuple[Tensor, Tensor | None]:
        """All of them as one."""
        read: list[tuple[Tensor, ...]] = []
        for batch in self.loader:
            read.append(self._parts(batch))
            self.n_bytes += sum(part.numel() * part.element_size() for part in read[-1])
            self._check_size(len(read))
            if len(read[-1]) != len(read[0]):
                raise ValueError(f"{self.name} must give points or pairs, got both")
        if not read:
            raise ValueError(f"{self.name} must not be empty")
        points, *conditions = (torch.cat(parts) for parts in zip(*read, strict=True))
        return points, conditions[0] if conditions else None

    def _parts(self, batch: Any) -> tuple[Tensor, ...]:
        listed = isinstance(batch, tuple | list)
        parts = tuple(batch) if listed else (batch,)
        if not 1 <= len(parts) <= 2:
            raise ValueError(
                f"{self.name} must give points or pairs of points and conditions, "
                f"got {len(parts)} values"
            )
        return tuple(as_tensor(f"{self.name} (a batch of it)", part) for part in parts)

    def _check_size(self, n_read: int) -> None:
        """Neither what is read, nor what the first batch lets expect, is too large."""
        count = n_read
        if n_read == 1:
            try:
                count = len(self.loader)
            except TypeError:  # its data set has no length
                count = 1
        expected = self.n_bytes / n_read * count
        if expected > _MOST_BYTES:
            raise ValueError(
                f"{self.name} must end, and hold at most {_MOST_BYTES / 2**30:.0f} GiB to be read "
                f"into memory, got at least {expected / 2**30:.1f} GiB; larger data go in as an "
                "array, which may be memory-mapped"
            )
