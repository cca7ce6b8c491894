"""Data sets and loaders of torch, read into memory."""

from __future__ import annotations

from typing import Any

import numpy as np
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
    points, given = _Batches(name, data).read()
    if given is None:
        return points, condition
    if condition is not None:
        raise ValueError(f"condition must be left out: {name} gives pairs with conditions")
    return points, given


class _Batches:
    """The batches of a data set or loader: points alone, or pairs of points and conditions."""

    def __init__(self, name: str, data: Dataset[Any] | DataLoader[Any]) -> None:
        self.name = name
        self.n_bytes = self.n_items = 0
        self.shapes: list[tuple[int, ...]] = []
        if isinstance(data, DataLoader):
            self.loader = data
        else:  # a generator of its own: else torch's global one would move
            how: dict[str, Any] = {"collate_fn": self._stacked, "generator": torch.Generator()}
            self.loader = DataLoader(data, _BATCH, **how)

    def read(self) -> tuple[Tensor, Tensor | None]:
        """All of them as one."""
        read: list[tuple[Tensor, ...]] = []
        for batch in self.loader:
            parts = self._parts(batch, f"{self.name} (batch {len(read)} of it)")
            shapes = [tuple(part.shape[1:]) for part in parts]
            self._check_shapes(f"batch {len(read)} of {self.name}", shapes)
            read.append(parts)
            self.n_bytes += sum(part.numel() * part.element_size() for part in read[-1])
            self._check_size(len(read))
        if not read:
            raise ValueError(f"{self.name} must not be empty")
        points, *conditions = (torch.cat(parts) for parts in zip(*read, strict=True))
        return points, conditions[0] if conditions else None

    def _stacked(self, items: list[Any]) -> tuple[Tensor, ...]:
        """Items of a data set as one batch."""
        read = []
        for item in items:
            name = f"{self.name}[{self.n_items}]"
            read.append(self._parts(item, name))
            self._check_shapes(name, [tuple(part.shape) for part in read[-1]])
            self.n_items += 1
        return tuple(torch.stack(parts) for parts in zip(*read, strict=True))

    def _check_shapes(self, name: str, shapes: list[tuple[int, ...]]) -> None:
        """Each item is of the shape of the first: a point, or a point and its condition."""
        self.shapes = self.shapes or shapes
        if len(shapes) != len(self.shapes):
            raise ValueError(f"{self.name} must give points or pairs, got both")
        if shapes != self.shapes:
            wanted, given = (" and ".join(map(str, some)) for some in (self.shapes, shapes))
            raise ValueError(f"{name} must have the shape of what is before, {wanted}, got {given}")

    def _parts(self, batch: Any, name: str) -> tuple[Tensor, ...]:
        listed = isinstance(batch, tuple | list)
        parts = tuple(batch) if listed else (batch,)
        if not 1 <= len(parts) <= 2:
            raise ValueError(
                f"{self.name} must give points or pairs of points and conditions, "
                f"got {len(parts)} values"
            )
        numbers = (np.float64(part) if isinstance(part, float) else part for part in parts)
        return tuple(as_tensor(name, part) for part in numbers)

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
