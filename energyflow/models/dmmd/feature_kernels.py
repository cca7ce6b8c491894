"""Kernels on features, and the MMD and its witness under them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .settings import DMMDSettings

_TINY = 1e-6  # added to squared distances: gradients stay finite where features coincide
_ROWS = 256  # pairs of so many rows stay in the cache


class FeatureKernel(ABC):
    """k(p, q) of features p (..., N, f) and q (..., M, f)."""

    @abstractmethod
    def matrix(self, p: Tensor, q: Tensor) -> Tensor:
        """All pairs (..., N, M)."""

    @abstractmethod
    def mean_and_slope(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over q for each p (N,), and its gradient in p (N, f); no graph is kept."""

    def mean(self, p: Tensor, q: Tensor) -> Tensor:
        """The mean over q for each p (..., N)."""
        return self.matrix(p, q).mean(-1)


class Linear(FeatureKernel):
    """p . q: means of features are all that counts."""

    def matrix(self, p: Tensor, q: Tensor) -> Tensor:
        """All pairs (..., N, M)."""
        return p @ q.mT

    def mean(self, p: Tensor, q: Tensor) -> Tensor:
        """The mean over q for each p (..., N), without pairs."""
        return (p * q.mean(-2, keepdim=True)).sum(-1)

    def mean_and_slope(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over q for each p (N,), and its gradient in p (N, f), without pairs."""
        mean = q.mean(0)
        return p @ mean, mean.expand_as(p)


class Radial(FeatureKernel):
    """A kernel of the squared distance."""

    @abstractmethod
    def profile(self, squared: Tensor) -> Tensor:
        """Values at squared distances."""

    @abstractmethod
    def profile_and_pull(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Values, and factors a: the gradient in p is -a (p - q). `squared` may be used up."""

    def matrix(self, p: Tensor, q: Tensor) -> Tensor:
        """All pairs (..., N, M)."""
        norms = p.square().sum(-1)[..., :, None] + q.square().sum(-1)[..., None, :]
        return self.profile((norms - 2 * (p @ q.mT)).clamp(min=0))

    @torch.no_grad()
    def mean_and_slope(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over q for each p (N,), and its gradient in p (N, f), some rows at a time."""
        mean, slope = torch.empty_like(p[:, 0]), torch.empty_like(p)
        norms = q.square().sum(1)
        for start in range(0, len(p), _ROWS):
            part = p[start : start + _ROWS]
            squared = torch.addmm(norms[None], part, q.T, alpha=-2)
            squared += part.square().sum(1, keepdim=True)
            values, pull = self.profile_and_pull(squared.clamp_(min=0))
            mean[start : start + _ROWS] = values.mean(1)
            pulled = torch.addmm(part * pull.sum(1, keepdim=True), pull, q, beta=-1)
            slope[start : start + _ROWS] = pulled / len(q)
        return mean, slope


@dataclass(frozen=True)
class Riesz(Radial):
    r"""-\|p - q\|^r, whose MMD^2 is the energy distance of the features."""

    exponent: float = 1.0

    def profile(self, squared: Tensor) -> Tensor:
        """Values at squared distances."""
        return -((squared + _TINY) ** (self.exponent / 2))

    def profile_and_pull(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Values, and factors a: the gradient in p is -a (p - q)."""
        squared += _TINY
        if self.exponent == 1:
            inverse = squared.rsqrt()
            return squared.mul_(inverse).neg_(), inverse
        values = -(squared ** (self.exponent / 2))
        return values, -self.exponent * values / squared


@dataclass(frozen=True)
class Gaussians(Radial):
    r"""The sum of exp(-\|p - q\|^2 / (2 b^2)) over bandwidths b."""

    bandwidths: tuple[float, ...]

    def profile(self, squared: Tensor) -> Tensor:
        """Values at squared distances."""
        return torch.stack([torch.exp(-squared / (2 * b**2)) for b in self.bandwidths]).sum(0)

    def profile_and_pull(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Values, and factors a: the gradient in p is -a (p - q)."""
        parts = [torch.exp(-squared / (2 * b**2)) for b in self.bandwidths]
        pulls = [part / b**2 for part, b in zip(parts, self.bandwidths, strict=True)]
        return torch.stack(parts).sum(0), torch.stack(pulls).sum(0)


def feature_kernel(settings: DMMDSettings) -> FeatureKernel:
    """The kernel that the settings name."""
    if settings.kernel == "linear":
        return Linear()
    if settings.kernel == "rbf":
        return Gaussians(settings.bandwidths)
    return Riesz(settings.exponent)


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
