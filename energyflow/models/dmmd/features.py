"""Features of points at a noise level, and the networks that give them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._networks import MLP, Architecture, as_maps, is_small

_FREQUENCIES = 6
TIME = (2 * _FREQUENCIES,)
"""Shape of an embedded time."""


def embedded(t: Tensor) -> Tensor:
    """Times (B,) as sines and cosines (B, 12), the slowest of half a turn from 0 to 2."""
    angles = t[:, None] * (math.pi / 2 * 2.0 ** torch.arange(_FREQUENCIES, device=t.device))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Features(nn.Module):
    """phi(x, t, c): what `network(x, embedded time, *conditions)` gives, and x `with_points`."""

    def __init__(self, network: nn.Module, *, with_points: bool) -> None:
        super().__init__()
        self.network = network
        self.log_scale = nn.Parameter(torch.zeros(())) if with_points else None

    def learned(self, x: Tensor, t: Tensor, *conditions: Tensor) -> Tensor:
        """Features (B, m) of points x (B, *shape) at times t (B,)."""
        features: Tensor = self.network(x, embedded(t), *conditions)
        return features.flatten(1)

    def forward(self, x: Tensor, t: Tensor, *conditions: Tensor) -> Tensor:
        """Features (B, f); those of x come first."""
        learned = self.learned(x, t, *conditions)
        if self.log_scale is None:
            return learned
        return torch.cat([self.log_scale.exp() * x.flatten(1), learned], dim=1)


class _CNN(nn.Module):
    """Convolutions that halve the image three times; conditions are constant maps."""

    def __init__(self, channels: int, extra: int, n_features: int, width: int = 32) -> None:
        super().__init__()
        sizes = (channels + extra, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [
                nn.Conv2d(before, after, 4, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU(),
            ]  # fmt: skip
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(16 * sizes[-1], n_features)

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        maps = torch.cat([x, *(as_maps(c, height, width) for c in conditions)], dim=1)
        out: Tensor = self.last(functional.adaptive_avg_pool2d(self.layers(maps), 4).flatten(1))
        return out


def feature_network(
    form: Architecture | None,
    shape: Sequence[int],
    inputs: Sequence[Sequence[int]],
    n_features: int,
) -> nn.Module:
    """The network that gives `n_features`, of points of `shape`, times and other conditions.

    Raises
    ------
    ValueError
        The architecture is one that gives images.
    """
    conditions = [TIME, *inputs]
    if form is None and not is_small(shape):
        extra = sum(int(c[0]) for c in conditions)
        return _CNN(int(shape[0]), extra, n_features)
    form = MLP(width=128, depth=2) if form is None else form
    if not isinstance(form, MLP):
        raise ValueError(
            f"architecture must be an MLP, or a network of your own, got {type(form).__name__}"
        )
    return form.build(shape, conditions, (n_features,))
