"""What the features of a deep MMD flow are trained for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from energyflow_backends import Floats
from torch import Tensor, nn

from ..._core.random import keyed_generator
from .mmd import feature_kernel, unbiased_mmd, witness
from .noise_schedule import noised, weights_at
from .settings import DMMDSettings

_STEPS = 4  # whose batches of held-out points are looked at


@dataclass(frozen=True)
class DMMDLoss:
    r"""The loss of a step: tell data from noised data, with a witness that does not climb steeply.

    .. math:: \operatorname{mean}_t \Big[ -\frac{\mathrm{MMD}^2_t(X_0, X_t)}{w_t}
        + \lambda\, \mathrm{mean}\, \|\nabla f_t(z)\|^2 \Big] + \mu\, \mathrm{mean}\, \phi^2,
        \qquad w_t^2 = \mathrm{mean}\, \|X_t - X_0\|^2 ,

    over noise levels t, one in each of equal parts of [t_min, 1]. The pairs share x_0, the points
    z lie between the two of a pair, and w_t gives all levels the same say. With labels a level's
    points are all of one class.
    """

    points: Tensor
    labels: Tensor | None
    n_classes: int
    settings: DMMDSettings
    device: torch.device
    use: str = "batch"  # of the random stream

    def __call__(self, network: nn.Module, step: int, part: slice = slice(None)) -> Tensor:
        """At a step, of which it is a function, and at a part of its levels."""
        rng = keyed_generator(self.settings.seed, self.use, step=step)
        levels, size = self.settings.levels_per_step, cast(int, self.settings.batch_size)
        low = self.settings.t_min
        t = self._on(low + (1 - low) * (np.arange(levels) + rng.random(levels)) / levels)
        rows = self._rows(rng)  # (levels, size)
        noise = rng.standard_normal((levels, size, *self.points.shape[1:]), np.float32)
        share = rng.random((levels, size, *[1] * (self.points.ndim - 1)), np.float32)
        t, rows = t[part], rows[part]
        clean = self.points[rows].to(self.device)
        times = t.reshape(-1, *[1] * self.points.ndim)
        noisy = noised(self.settings.schedule, times, clean, self._on(noise[part]))
        between = torch.lerp(clean, noisy, self._on(share[part])).requires_grad_()
        parts = torch.cat([clean, noisy, between], dim=1).flatten(0, 1)
        given = [v.repeat_interleave(3 * size, dim=0) for v in (t, *self._conditions(rows))]
        features = network(parts, *given).float().unflatten(0, (len(t), 3 * size))
        with torch.autocast(self.device.type, enabled=False):  # differences of features are small
            return self._of_features(features, between, t)

    def _of_features(self, features: Tensor, between: Tensor, t: Tensor) -> Tensor:
        """Given the features (levels, 3 B, f) of clean, of noisy and of the points `between`."""
        kernel, (q, p, z) = feature_kernel(self.settings), features.chunk(3, dim=1)
        mmd = unbiased_mmd(kernel, p, q)
        (slope,) = torch.autograd.grad(witness(kernel, z, p, q).sum(), between, create_graph=True)
        n_points = self.points[0].numel() if self.settings.with_points else 0
        learned = features[..., n_points:]
        each = self.settings.penalty_weight * self._penalty(slope) - mmd / self._distance(t)
        loss: Tensor = each.mean() + self.settings.feature_penalty * learned.square().mean()
        return loss

    def _penalty(self, slope: Tensor) -> Tensor:
        """Of each level."""
        squared = slope.flatten(2).square().sum(-1)  # (levels, size)
        if self.settings.penalty == "square":
            return squared.mean(1)
        return (torch.sqrt(squared + 1e-12) - 1).square().mean(1)

    def _distance(self, t: Tensor) -> Tensor:
        """w_t: the root mean square distance of data of unit mean square to their noised ones."""
        alpha, beta = weights_at(self.settings.schedule, t)
        return torch.sqrt(((1 - alpha).square() + beta.square()) * self.points[0].numel())

    def _rows(self, rng: np.random.Generator) -> Tensor:
        """Data of each level (levels, size), of one class if there are classes."""
        levels, size = self.settings.levels_per_step, cast(int, self.settings.batch_size)
        if self.labels is None:
            return torch.from_numpy(rng.integers(len(self.points), size=(levels, size)))
        rows = []
        for label in self.labels[rng.integers(len(self.labels), size=levels)]:
            members = torch.nonzero(self.labels == label)[:, 0]
            rows.append(members[rng.integers(len(members), size=size)])
        return torch.stack(rows)

    def _conditions(self, rows: Tensor) -> list[Tensor]:
        """One for each level."""
        if self.labels is None:
            return []
        labels = self.labels[rows[:, 0]]
        return [nn.functional.one_hot(labels, self.n_classes).float().to(self.device)]

    def _on(self, array: Floats) -> Tensor:
        return torch.from_numpy(array).float().to(self.device)


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss on held-out points, of the same ones with the same noise at each call."""

    loss: DMMDLoss
    cost = float(_STEPS)  # in steps of training: the witness has a gradient here too

    def __call__(self, network: nn.Module) -> float:
        """The mean over some steps."""
        losses = [float(self.loss(network, step).detach()) for step in range(_STEPS)]
        return sum(losses) / _STEPS
