"""The noise that samples of a flow generator start from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from .arrays import check_finite

MOST_MOMENTS = 4096
"""Numbers of a point, or of a condition, whose covariance is factorised, at most."""
_MOST_FACTORS = 2**24  # numbers of the factors of all classes, at most
_POINTS_A_NUMBER = 10  # of a condition, for a regression on it
_PART = 4096  # points whose products are summed at once
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
        points for each of its numbers, and no more than 4096 of these. labelled : whether they are
        unit vectors of classes, each of which then has its mean, and its own covariance shrunk
        towards that within all classes by as many points as a point has numbers.

        Cost O(n (m + d)^2 + m^3 + d^3) for m numbers of a condition and d of a point; of c classes
        O(n d^2 + c d^3).
        """
        if kind == "uniform":
            return cls()
        flat = points.flatten(1).double()
        n, d = flat.shape
        if d > MOST_MOMENTS:
            raise ValueError(
                f'start "normal" is for points of at most {MOST_MOMENTS} numbers, got {d}'
            )
        if condition is not None and labelled:
            return cls._of_classes(flat, condition.argmax(1), condition.shape[1])
        m = 0 if condition is None else condition[0].numel()
        mean = flat.mean(0)
        total = _products(flat, mean, flat, mean)
        if condition is None or m > min(MOST_MOMENTS, n // _POINTS_A_NUMBER):
            return cls((mean.float(), _factor(total / max(n - 1, 1))))
        given = condition.flatten(1)
        centre = given.double().mean(0)
        crossed = _products(given, centre, flat, mean)
        variances, axes = torch.linalg.eigh(_products(given, centre, given, centre))
        free = variances > variances[-1] * m * torch.finfo(given.dtype).eps
        axes = axes[:, free]
        slope = (axes / variances[free]) @ (axes.T @ crossed)
        residual = total - crossed.T @ slope
        factor = _factor((residual + residual.T) / (2 * max(n - 1 - int(free.sum()), 1)))
        return cls(((mean - centre @ slope).float(), factor), slope.float())

    @classmethod
    def _of_classes(cls, flat: Tensor, labels: Tensor, n_classes: int) -> Noise:
        """Of points (n, d) of these classes."""
        n, d = flat.shape
        counts = torch.bincount(labels, minlength=n_classes)
        sums = flat.new_zeros(n_classes, d).index_add_(0, labels, flat)
        occur = counts > 0
        means = torch.where(occur[:, None], sums / counts.clamp(min=1)[:, None], flat.mean(0))
        residuals = flat - means[labels]
        within = residuals.T @ residuals / max(n - int(occur.sum()), 1)
        if n_classes * d * d > _MOST_FACTORS:
            factor = _factor(within)
        else:
            parts = (residuals[labels == k] for k in range(n_classes))
            factor = torch.stack([_factor(_shrunk(part, within)) for part in parts])
        return cls((flat.new_zeros(d).float(), factor), means.float())

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], shape: tuple[int, ...], condition: tuple[int, ...]
    ) -> Noise:
        """Read the result of `tensors`, for points and encoded conditions of these shapes."""
        if not {_MEAN, _FACTOR} <= set(tensors):
            return cls()
        mean, factor, slope = tensors[_MEAN], tensors[_FACTOR], tensors.get(_SLOPE)
        d, m = math.prod(shape), math.prod(condition)
        classes = (m,) if slope is not None and factor.ndim == 3 else ()
        fits = factor.ndim >= 2 and (*factor.shape[:-2], factor.shape[-1]) == (*classes, d)
        if tuple(mean.shape) != (d,) or not fits:
            forms = f"({m}, k, {d})" if classes else f"(k, {d})"
            raise ValueError(
                f"noise must have a mean ({d},) and a factor {forms}, "
                f"got {tuple(mean.shape)} and {tuple(factor.shape)}"
            )
        if slope is not None and tuple(slope.shape) != (m, d):
            raise ValueError(f"noise must have a slope ({m}, {d}), got {tuple(slope.shape)}")
        for name in {_MEAN, _FACTOR, _SLOPE} & set(tensors):
            check_finite(name, tensors[name])
        return cls((mean.float(), factor.float()), None if slope is None else slope.float())

    def numbers(self, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """What is random of n points: uniform (n, *shape), or standard normal (n, k)."""
        if self.moments is None:
            return torch.from_numpy(rng.random((n, *shape), np.float32))
        rank = self.moments[1].shape[-2]
        return torch.from_numpy(rng.standard_normal((n, rank), np.float32))

    def points(self, numbers: Tensor, shape: tuple[int, ...], condition: Tensor | None) -> Tensor:
        """The points (n, *shape) of `numbers`, given encoded conditions (n, *)."""
        if self.moments is None:
            return numbers
        mean, factor = (moment.cpu() for moment in self.moments)
        if self.slope is None:
            return (mean + numbers @ factor).reshape(len(numbers), *shape)
        given = cast(Tensor, condition).flatten(1).cpu()
        points = mean + given @ self.slope.cpu()
        if factor.ndim == 2:
            return (points + numbers @ factor).reshape(len(numbers), *shape)
        labels = given.argmax(1)
        for label in torch.unique(labels):
            points[labels == label] += numbers[labels == label] @ factor[label]
        return points.reshape(len(numbers), *shape)

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights; empty for uniform noise."""
        slope = {} if self.slope is None else {_SLOPE: self.slope}
        return {**dict(zip((_MEAN, _FACTOR), self.moments or (), strict=False)), **slope}


def _products(x: Tensor, x_mean: Tensor, y: Tensor, y_mean: Tensor) -> Tensor:
    """Sums over points (n, *) of products of their deviations from the means, in float64."""
    sums = x_mean.new_zeros(x.shape[1], y.shape[1])
    for a, b in zip(torch.split(x, _PART), torch.split(y, _PART), strict=True):
        sums += (a - x_mean).T @ (b - y_mean)
    return sums


def _shrunk(residuals: Tensor, within: Tensor) -> Tensor:
    """The covariance of a class of residuals (n, d), as if d points more had that within all."""
    n, d = residuals.shape
    return (residuals.T @ residuals + d * within) / (max(n - 1, 0) + d)


def _factor(covariance: Tensor) -> Tensor:
    """F of float32 with F^T F = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    factor: Tensor = vectors * values.clamp(min=0).sqrt()
    return factor.T.float().contiguous()
