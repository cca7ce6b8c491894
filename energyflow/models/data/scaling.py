"""The scale of the data: to the units of the networks, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .arrays import check_finite, dtype_of
from .principal_axes import principal_axes

_LEAST = 1e-8  # of variances along axes that are whitened, in units of the largest
_CENTRE, _AXES = "data.centre", "data.axes"


@dataclass(frozen=True)
class Components:
    """Coordinates of points (*shape) along their principal axes (k, d), from a centre (d,)."""

    centre: Tensor
    axes: Tensor
    shape: tuple[int, ...]

    @classmethod
    def of(cls, points: Tensor, share: float) -> Components:
        """The fewest that keep a share of the variance of the points (n, *shape)."""
        flat = points.flatten(1)
        mean, _, rows = principal_axes(flat.cpu().numpy(), share)
        centre, axes = (torch.from_numpy(array).to(flat) for array in (mean, rows))
        return cls(centre, axes, tuple(points.shape[1:]))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Components:
        """Read the result of `tensors`, for points of that shape."""
        centre, axes, d = tensors[_CENTRE], tensors[_AXES], math.prod(shape)
        if tuple(centre.shape) != (d,) or axes.ndim != 2 or axes.shape[1] != d:
            raise ValueError(
                f"{_CENTRE} and {_AXES} must have the shapes ({d},) and (k, {d}), "
                f"got {tuple(centre.shape)} and {tuple(axes.shape)}"
            )
        for name, value in ((_CENTRE, centre), (_AXES, axes)):
            check_finite(name, value)
        return cls(centre.float(), axes.float(), shape)

    def apply(self, points: Tensor) -> Tensor:
        """Coordinates (n, k)."""
        return (points.flatten(1) - self.centre.to(points.device)) @ self.axes.to(points.device).T

    def undo(self, points: Tensor) -> Tensor:
        """The points (n, *shape) that have these coordinates."""
        flat = points @ self.axes.to(points.device) + self.centre.to(points.device)
        return flat.reshape(len(points), *self.shape)

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights."""
        return {_CENTRE: self.centre, _AXES: self.axes}


@dataclass(frozen=True)
class Scaling:
    """(data - offset) / scale, with equal units in all directions; or whitened.

    components : to whose coordinates the points are brought then, if any. whitening : (d, d), by
    which vectors are multiplied after that; None for equal units.
    """

    offset: Tensor
    scale: Tensor
    whitening: Tensor | None = None
    components: Components | None = None

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
        components, whitening = None, tensors.get("data.whitening")
        if _AXES in tensors and _CENTRE in tensors:
            components = Components.from_tensors(tensors, shape)
            expected = (len(components.axes),)
        if whitening is not None:
            _check_whitening(whitening, expected * 2)
        return cls(offset, scale, whitening, components)

    def in_components(self, points: Tensor, share: float) -> Scaling:
        """The same, followed by the coordinates along principal axes of these points of the data,
        of which the fewest that keep a share of the variance.
        """
        return replace(self, components=Components.of(self.apply(points), share))

    def whitened(self, points: Tensor) -> Scaling:
        """The same, followed by a whitening of these vectors (n, d) of the data.

        Coordinates come to standard deviation 1, whatever their units; then the whitening is the
        symmetric one (ZCA-cor): it turns no uncorrelated coordinate.
        """
        scaled = self.apply(points).double()
        d = scaled.shape[1]
        units = scaled.std(0, correction=0)
        largest = points.abs().amax(0) if self.components is None else points.abs().amax()
        rounding = torch.finfo(points.dtype).eps * largest / self.scale
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
        if self.components is not None:
            scaled = self.components.apply(scaled.float())
        if self.whitening is not None:
            scaled = scaled.double() @ self.whitening.to(points.device, torch.float64)
        return scaled.float()

    def undo(self, points: Tensor) -> Tensor:
        """Back to the units of the data, in their dtype."""
        offset, scale = self.offset.to(points.device), self.scale.to(points.device)
        if self.whitening is not None:
            whitening = self.whitening.to(points.device, torch.float64)
            points = torch.linalg.solve(whitening, points.double(), left=False)
        if self.components is not None:
            points = self.components.undo(points.float())
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
        components = {} if self.components is None else self.components.tensors()
        return {"data.offset": self.offset, "data.scale": self.scale, **whitening, **components}


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
