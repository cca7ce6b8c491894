"""The MMD of features and its witness, under kernels of `energyflow.kernels`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from energyflow_backends import Array
from torch import Tensor

from ...kernels import Gauss, RadialKernel, Riesz, SmoothKernel
from .settings import DMMDSettings

_TINY = 1e-6  # added to squared distances: gradients stay finite where features coincide
_ROWS = 256  # pairs of so many rows stay in the cache


class LinearFeatures:
    """k(p, q) = p . q of features: only their means count, so no pairs are needed."""

    def matrix(self, p: Tensor, q: Tensor) -> Tensor:
        """All pairs (..., N, M) of p (..., N, f) and q (..., M, f)."""
        return p @ q.mT

    def mean(self, p: Tensor, q: Tensor) -> Tensor:
        """The mean over q for each p (..., N)."""
        return (p * q.mean(-2, keepdim=True)).sum(-1)

    def mean_and_slope(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over q for each p (N,), and its gradient in p (N, f)."""
        mean = q.mean(0)
        return p @ mean, mean.expand_as(p)


@dataclass(frozen=True)
class RadialFeatures:
    """The sum of radial kernels F at the distances s of features, s^2 = |p - q|^2 + 1e-6."""

    kernels: tuple[RadialKernel, ...]

    def matrix(self, p: Tensor, q: Tensor) -> Tensor:
        """All pairs (..., N, M) of p (..., N, f) and q (..., M, f)."""
        s = _distances(p, q)
        return torch.stack([cast(Tensor, kernel.value(s)) for kernel in self.kernels]).sum(0)

    def mean(self, p: Tensor, q: Tensor) -> Tensor:
        """The mean over q for each p (..., N)."""
        return self.matrix(p, q).mean(-1)

    @torch.no_grad()
    def mean_and_slope(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over q for each p (N,), and its gradient in p (N, f), some rows at a time."""
        means, slopes = [], []
        for part in torch.split(p, _ROWS):
            s = _distances(part, q)
            pairs = [_value_and_pull(kernel, s) for kernel in self.kernels]
            values, pull = (torch.stack(each).sum(0) for each in zip(*pairs, strict=True))
            means.append(values.mean(1))
            slopes.append((part * pull.sum(1, keepdim=True) - pull @ q) / len(q))
        return torch.cat(means), torch.cat(slopes)


FeatureKernel = LinearFeatures | RadialFeatures


def _value_and_pull(kernel: RadialKernel, s: Tensor) -> tuple[Tensor, Tensor]:
    """F(s), and F'(s) / s: times p - q, the gradient in p."""
    if isinstance(kernel, SmoothKernel):
        value, pull = kernel.value_and_pull(s)
    else:
        value, pull = kernel.value(s), kernel.slope(s) / cast(Array, s)
    return cast(Tensor, value), cast(Tensor, pull)


def _distances(p: Tensor, q: Tensor) -> Tensor:
    squared = p.square().sum(-1)[..., :, None] + q.square().sum(-1)[..., None, :] - 2 * (p @ q.mT)
    return torch.sqrt(squared.clamp(min=0) + _TINY)


def feature_kernel(settings: DMMDSettings) -> FeatureKernel:
    """The kernel that the settings name."""
    if settings.kernel == "linear":
        return LinearFeatures()
    if settings.kernel == "rbf":
        return RadialFeatures(tuple(map(Gauss, settings.bandwidths)))
    return RadialFeatures((Riesz(settings.exponent),))


def unbiased_mmd(kernel: FeatureKernel, p: Tensor, q: Tensor) -> Tensor:
    r"""MMD^2 of n pairs (p_i, q_i), each (..., n, f), without bias though p_i and q_i may depend.

    .. math:: \frac{1}{n (n - 1)} \sum_{i \ne j} k(p_i, p_j) + k(q_i, q_j) - k(p_i, q_j)
        - k(q_i, p_j)
    """
    n = p.shape[-2]
    cross = kernel.matrix(p, q)
    pairs = kernel.matrix(p, p) + kernel.matrix(q, q) - cross - cross.mT
    total = pairs.sum((-2, -1)) - pairs.diagonal(dim1=-2, dim2=-1).sum(-1)
    return total / (n * (n - 1))


def witness(kernel: FeatureKernel, points: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """The function f at features `points` (..., N, f): the mean of k with p less that with q."""
    return kernel.mean(points, p) - kernel.mean(points, q)
