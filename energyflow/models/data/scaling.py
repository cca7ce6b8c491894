"""The scale of the data: to the units of the networks, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .arrays import check_finite, dtype_of


@dataclass(frozen=True)
class Scaling:
    """(data - offset) / scale, with equal units in all directions."""

    offset: Tensor
    scale: Tensor

    @classmethod
    def standard(cls, points: Tensor) -> Scaling:
        """To mean 0 in each coordinate (images: one for all pixels) and mean square 1."""
        mean = points.mean(_axes(points))
        scale = (points - mean).double().square().mean().sqrt().to(points)
        return cls(mean, scale if scale > 0 else torch.ones(()))

    @classmethod
    def of(cls, points: Tensor) -> Scaling:
        """Into the unit box; vectors have an offset for each coordinate, images one for all."""
        low, high = points.amin(_axes(points)), points.amax(_axes(points))
        scale = (high - low).amax()
        return cls(low, scale if scale > 0 else torch.ones(()))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Scaling:
        """Read the result of `tensors`, for points of that shape."""
        offset, scale = tensors["data.offset"], tensors["data.scale"]
        expected = shape if len(shape) == 1 else ()
        for name, value, form in (("offset", offset, expected), ("scale", scale, ())):
            if not value.is_floating_point() or tuple(value.shape) != form:
                raise ValueError(
                    f"data.{name} must be floating numbers of shape {form}, "
                    f"got {dtype_of(value)} of shape {tuple(value.shape)}"
                )
            check_finite(f"data.{name}", value)
        if not scale > 0:
            raise ValueError(f"data.scale must be positive, got {float(scale):g}")
        return cls(offset, scale)

    def apply(self, points: Tensor) -> Tensor:
        """To the units of the networks, as float32."""
        return ((points - self.offset.to(points.device)) / self.scale.to(points.device)).float()

    def undo(self, points: Tensor) -> Tensor:
        """Back to the units of the data, in their dtype."""
        offset, scale = self.offset.to(points.device), self.scale.to(points.device)
        return points.to(offset.dtype) * scale.to(offset.dtype) + offset

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights."""
        return {"data.offset": self.offset, "data.scale": self.scale}


def _axes(points: Tensor) -> tuple[int, ...]:
    """Those that share an offset."""
    return (0,) if points.ndim == 2 else (0, 1, 2, 3)
