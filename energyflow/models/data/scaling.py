"""The scale of the data: to the units of the networks, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .arrays import check_finite, dtype_of

_LEAST = 1e-8  # of variances along axes that are whitened, in units of the largest


@dataclass(frozen=True)
class Scaling:
    """(data - offset) / scale, with equal units in all directions; or whitened.

    whitening : (d, d), by which vectors are multiplied then; None for equal units.
    """

    offset: Tensor
    scale: Tensor
    whitening: Tensor | None = None

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
        whitening = tensors.get("data.whitening")
        if whitening is not None:
            _check_whitening(whitening, expected * 2)
        return cls(offset, scale, whitening)

    def whitened(self, points: Tensor) -> Scaling:
        """The same, followed by a whitening of these vectors (n, d) of the data.

        Coordinates come to standard deviation 1, whatever their units; then the whitening is the
        symmetric one (ZCA-cor): it turns no uncorrelated coordinate.
        """
        scaled, d = self.apply(points).double(), points.shape[1]
        units = scaled.std(0, correction=0)
        rounding = torch.finfo(points.dtype).eps * points.abs().amax(0) / self.scale
        units = torch.where(units > rounding, units, 1.0)
        correlation = torch.cov((scaled / units).T, correction=0).reshape(d, d)
        variances, axes = torch.linalg.eigh(correlation)
        if not variances[-1] > 0:
            return self
        deviations = variances.clamp(min=_LEAST * variances[-1]).sqrt()
        return replace(self, whitening=(axes / deviations) @ axes.T / units[:, None])

    def apply(self, points: Tensor) -> Tensor:
        """To the units of the networks, as float32."""
        scaled = (points - self.offset.to(points.device)) / self.scale.to(points.device)
        if self.whitening is not None:
            scaled = scaled.double() @ self.whitening.to(points.device, torch.float64)
        return scaled.float()

    def undo(self, points: Tensor) -> Tensor:
        """Back to the units of the data, in their dtype."""
        offset, scale = self.offset.to(points.device), self.scale.to(points.device)
        if self.whitening is not None:
            whitening = self.whitening.to(points.device, torch.float64)
            points = torch.linalg.solve(whitening, points.double(), left=False)
        return points.to(offset.dtype) * scale.to(offset.dtype) + offset

    def log_volume(self, d: int) -> float:
        """Log-volume, in the units of vectors (d,) of the data, of a unit of the networks."""
        log_scale = d * float(self.scale.log())
        if self.whitening is None:
            return log_scale
        return log_scale - float(torch.linalg.slogdet(self.whitening.double()).logabsdet)

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights."""
        whitening = {} if self.whitening is None else {"data.whitening": self.whitening}
        return {"data.offset": self.offset, "data.scale": self.scale, **whitening}


def _check_whitening(whitening: Tensor, form: tuple[int, ...]) -> None:
    if not whitening.is_floating_point() or tuple(whitening.shape) != form:
        raise ValueError(
            f"data.whitening must be floating numbers of shape {form}, "
            f"got {dtype_of(whitening)} of shape {tuple(whitening.shape)}"
        )
    check_finite("data.whitening", whitening)
    if not torch.linalg.slogdet(whitening.double()).logabsdet > -torch.inf:
        raise ValueError("data.whitening must have an inverse")


def _axes(points: Tensor) -> tuple[int, ...]:
    """Those that share an offset."""
    return (0,) if points.ndim == 2 else (0, 1, 2, 3)
