"""The noise that samples of a flow generator start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST_MOMENTS = 4096
"""Numbers of a point whose covariance is factorised, at most."""
_MEAN, _FACTOR = "data.noise_mean", "data.noise_factor"


@dataclass(frozen=True)
class Noise:
    """Normal with a mean (d,) and a factor (k, d) of the covariance; or uniform on the unit box."""

    moments: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, kind: str, points: Tensor) -> Noise:
        """The noise of that kind for points in the units of the networks."""
        if kind == "uniform":
            return cls()
        flat = points.flatten(1).double()
        if flat.shape[1] > MOST_MOMENTS:
            raise ValueError(
                f'start "normal" is for points of at most {MOST_MOMENTS} numbers, '
                f"got {flat.shape[1]}"
            )
        mean = flat.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(flat.T).reshape(len(mean), -1))
        factor = (vectors * values.clamp(min=0).sqrt()).T.float().contiguous()
        return cls((mean.float(), factor))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], size: int) -> Noise:
        """Read the result of `tensors`, for points of so many numbers."""
        if not {_MEAN, _FACTOR} <= set(tensors):
            return cls()
        mean, factor = tensors[_MEAN], tensors[_FACTOR]
        if tuple(mean.shape) != (size,) or factor.ndim != 2 or factor.shape[1] != size:
            raise ValueError(
                f"noise must have a mean ({size},) and a factor (k, {size}), "
                f"got {tuple(mean.shape)} and {tuple(factor.shape)}"
            )
        return cls((mean.float(), factor.float()))

    def draw(self, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """Points (n, *shape)."""
        if self.moments is None:
            return torch.from_numpy(rng.random((n, *shape), np.float32))
        mean, factor = (moment.cpu() for moment in self.moments)
        normal = torch.from_numpy(rng.standard_normal((n, len(factor)), np.float32))
        return (mean + normal @ factor).reshape(n, *shape)

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights; empty for uniform noise."""
        return dict(zip((_MEAN, _FACTOR), self.moments or (), strict=False))
