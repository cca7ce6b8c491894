"""The noise that samples of a flow generator start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST_MOMENTS = 4096
"""Numbers of a point whose covariance is factorised, at most."""
_MOST_FACTORS = 2**24  # numbers of the factors of all classes, at most
_PAIRS_A_NUMBER = 10  # of a condition, for a regression on it
_MEAN, _FACTOR, _SLOPE = "data.noise_mean", "data.noise_factor", "data.noise_slope"


@dataclass(frozen=True)
class Noise:
    """Normal with the moments of the data, given their conditions; or uniform on the unit box.

    moments : mean (d,) and factor (k, d) of the covariance, or factors (c, k, d), one for each
    class. slope (m, d) : of the mean over encoded conditions (n, m).
    """

    moments: tuple[Tensor, Tensor] | None = None
    slope: Tensor | None = None

    @classmethod
    def of(
        cls, kind: str, points: Tensor, condition: Tensor | None = None, labelled: bool = False
    ) -> Noise:
        """The noise of that kind for points in the units of the networks, (n, *).

        condition (n, *) : encoded, on which the mean is a linear regression where there are ten
        points for each of its numbers. labelled : whether these are unit vectors of classes, each
        of which then has its own covariance, shrunk towards that within all classes by as many
        points of it as a point has numbers.
        """
        if kind == "uniform":
            return cls()
        flat = points.flatten(1).double()
        n, d = flat.shape
        if d > MOST_MOMENTS:
            raise ValueError(
                f'start "normal" is for points of at most {MOST_MOMENTS} numbers, got {d}'
            )
        mean = flat.mean(0)
        if condition is None or condition[0].numel() * _PAIRS_A_NUMBER > n:
            return cls((mean.float(), _factor(_covariance(flat))))
        given = condition.flatten(1).double()
        m = given.shape[1]
        beside = given - given.mean(0)
        slope = torch.linalg.pinv(beside.T @ beside, hermitian=True) @ (beside.T @ (flat - mean))
        rest = flat - mean - beside @ slope
        covariance = _covariance(rest) * ((n - 1) / (n - m - 1))
        if labelled and m * d * d <= _MOST_FACTORS:
            factors = [_factor(_shrunk(rest[classes], covariance)) for classes in given.T > 0]
            factor = torch.stack(factors)
        else:
            factor = _factor(covariance)
        return cls(((mean - given.mean(0) @ slope).float(), factor), slope.float())

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], size: int, given: int = 0) -> Noise:
        """Read the result of `tensors`, for points of so many numbers, given so many."""
        if not {_MEAN, _FACTOR} <= set(tensors):
            return cls()
        mean, factor, slope = tensors[_MEAN], tensors[_FACTOR], tensors.get(_SLOPE)
        classes = (given,) if slope is not None and factor.ndim == 3 else ()
        if tuple(mean.shape) != (size,) or (
            (*factor.shape[:-2], *factor.shape[-1:]) != (*classes, size)
        ):
            raise ValueError(
                f"noise must have a mean ({size},) and a factor (k, {size}), "
                f"got {tuple(mean.shape)} and {tuple(factor.shape)}"
            )
        if slope is not None and tuple(slope.shape) != (given, size):
            raise ValueError(f"noise must have a slope ({given}, {size}), got {tuple(slope.shape)}")
        return cls((mean.float(), factor.float()), None if slope is None else slope.float())

    def draw(
        self, n: int, shape: tuple[int, ...], condition: Tensor | None, rng: np.random.Generator
    ) -> Tensor:
        """Points (n, *shape), given encoded conditions (n, *)."""
        if self.moments is None:
            return torch.from_numpy(rng.random((n, *shape), np.float32))
        mean, factor = (moment.cpu() for moment in self.moments)
        normal = torch.from_numpy(rng.standard_normal((n, factor.shape[-2]), np.float32))
        if self.slope is None or condition is None:
            return (mean + normal @ factor).reshape(n, *shape)
        given = condition.flatten(1).cpu()
        points = mean + given @ self.slope.cpu()
        if factor.ndim == 2:
            return (points + normal @ factor).reshape(n, *shape)
        classes = given.argmax(1)
        for k, own in enumerate(factor):
            points[classes == k] += normal[classes == k] @ own
        return points.reshape(n, *shape)

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights; empty for uniform noise."""
        slope = {} if self.slope is None else {_SLOPE: self.slope}
        return {**dict(zip((_MEAN, _FACTOR), self.moments or (), strict=False)), **slope}


def _covariance(points: Tensor) -> Tensor:
    return torch.cov(points.T).reshape(points.shape[1], -1)


def _shrunk(own: Tensor, covariance: Tensor) -> Tensor:
    """The covariance of the points (n, d) about their mean 0, as if d more had the other one."""
    n, d = own.shape
    return (own.T @ own + d * covariance) / (n + d)


def _factor(covariance: Tensor) -> Tensor:
    """F of float32 with F^T F = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()).T.float().contiguous()
