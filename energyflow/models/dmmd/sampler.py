"""Particles that follow the witness of a deep MMD flow from noise to data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from energyflow_backends import Integers
from torch import Tensor

from ..._core.random import keyed_generator
from .kale import kale, kale_weights
from .mmd import feature_kernel
from .noise_schedule import noised
from .settings import DMMDSettings, Sampling

_GROUP = 2000  # particles that see each other, and data they are compared with
_LEAST_GROUP = 100
_FEWEST = 500  # fewer are joined by others that are not handed out
_MOMENTUM = 0.7  # in the last steps: what is left to do has many scales
_LOOK = 10  # steps, after which particles are looked at
_STUCK = 10  # looks, over which the lowest value falls by a hundredth at least
_NEARLY_ALL = 0.99  # of the particles rest at the end
_SAME = 0.01  # of the median distance: points within it are one, and so are rounding errors
_LEAST = 1e-20

FeaturesAt = Callable[[Tensor, float], Tensor]
"""Features (N, f) of points (N, *shape) at a time."""
Measure = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of features (N, f): a number, and the slope (N, f) that particles descend."""


@dataclass(frozen=True)
class Sampler:
    """Draws samples that are compared with `reference` (M, *shape), in the units of the networks.

    The reference is noised the same way in every call.
    """

    features: FeaturesAt
    reference: Tensor
    settings: DMMDSettings
    how: Sampling

    def draw(self, n: int, rng: np.random.Generator) -> Tensor:
        """As many samples (n, *shape)."""
        known = len(self.reference)
        together = self.how.method == "particles" or bool(self.how.denoise)
        count = max(n, min(_FEWEST, known)) if together else n
        noise = torch.from_numpy(
            rng.standard_normal((count, *self.reference.shape[1:]), np.float32)
        ).to(self.reference.device)
        order = keyed_generator(self.settings.seed, "reference").permutation(known)
        parts = noise.tensor_split(-(-count // min(_GROUP, max(known, _LEAST_GROUP))))
        if self.how.method == "independent":
            levels = self._levels(order[:_GROUP])
            samples = [self._polished(self._alone(part, levels), levels[-1]) for part in parts]
        else:
            rows = np.array_split(np.resize(order, count), len(parts))
            samples = [self._flow(z, self._levels(r)) for z, r in zip(parts, rows, strict=True)]
        return torch.cat(samples)[:n]

    def _levels(self, rows: Integers) -> Sequence[Level]:
        low, n_levels = self.settings.t_min, self.how.n_levels
        times = [low + (1 - low) * (1 - k / n_levels) for k in range(n_levels)]
        points = self.reference[torch.from_numpy(rows).to(self.reference.device)]
        shape = (len(points), *points.shape[1:])
        rng = keyed_generator(self.settings.seed, "noised")
        noise = torch.from_numpy(rng.standard_normal(shape, np.float32)).to(points)
        return [Level(self, t, s, points, noise) for t, s in pairwise([*times, 0.0])]

    def _flow(self, z: Tensor, levels: Sequence[Level]) -> Tensor:
        for level in levels:
            for left in range(self.how.n_steps, 0, -1):
                z = z + level.together(z, 1 / left)[0]
        return self._polished(z, levels[-1])

    def _alone(self, z: Tensor, levels: Sequence[Level]) -> Tensor:
        for level in levels:
            for _ in range(self.how.n_steps):
                z = z + level.alone(z)
        return z

    def _polished(self, z: Tensor, last: Level) -> Tensor:
        """Where the particles are nearest to the data, of all places of the last steps.

        These go down in jumps, some of them far too long, and would end at random in one of those.
        If their number is not given, each particle rests where it is as near to a datum as that is
        to its nearest other one: before, it is noise, and far beyond, a copy. The steps end when
        nearly all rest, or lead nowhere. Infinite particles are handed out, so that they are
        noticed.
        """
        least, most = self.how.last_steps(self.settings.kernel)
        if not most:
            return z
        velocity, nearest = torch.zeros_like(z), z
        lowest = torch.full((), torch.inf, device=z.device)
        apart = _apart(last.points) if least < most else None
        resting = torch.zeros(len(z), *[1] * (z.ndim - 1), dtype=torch.bool, device=z.device)
        looked: list[float] = []  # the lowest value at each look
        for k in range(most + 1):
            step, value = last.together(z, 0.5)
            size = value.abs()  # KALE of particles that fly apart is computed as a number below 0
            nearest = torch.where(size < lowest, z, nearest)
            lowest = torch.where(size < lowest, size, lowest)
            velocity = torch.where(resting, 0.0, _MOMENTUM * velocity + step)
            z = z + velocity
            if k % _LOOK:
                continue
            if not bool(torch.isfinite(z).all()):
                break
            if apart is None:
                continue
            looked.append(float(lowest))
            stuck = len(looked) > _STUCK and looked[-1] >= 0.99 * looked[-1 - _STUCK]
            if k < least:
                continue
            resting = _arrived(nearest, last.points, apart).view_as(resting)
            if stuck or float(resting.float().mean()) >= _NEARLY_ALL:
                break
            z = torch.where(resting, nearest, z)
        return torch.where(torch.isfinite(z).all(), nearest, z)


class Level:
    """The steps of one noise level t, from there to the next one s.

    Under the kernel of t it is known how far data at s are from clean data; steps are as long as
    it takes, to first order, to bring the particles as near in the steps that are left.
    """

    def __init__(self, sampler: Sampler, t: float, s: float, points: Tensor, noise: Tensor) -> None:
        self.time = t
        self.points = points
        self.features = sampler.features
        self.how = sampler.how
        self.kernel = feature_kernel(sampler.settings)
        schedule = sampler.settings.schedule

        noisy, next_noisy = (
            noised(schedule, torch.tensor(time, device=points.device), points, noise)
            for time in (t, s)
        )
        with torch.no_grad():
            self.data, here, beyond = (self.features(x, t) for x in (points, noisy, next_noisy))
        self.among_data = self.kernel.mean_and_slope(self.data, self.data)[0].mean()
        self.goal = self._particles(beyond)[0]
        if self.how.method == "independent":
            self._here, self._w = here, self._dual(here)
            height, slope = self._pulled(noisy, self._fixed)
            drop = (height - self._fixed(beyond)[0]).clamp(min=0)
            self._step = drop / _mean_square(slope) / self.how.n_steps

    def together(self, z: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """A step against the witness between the particles themselves and the data.

        And what it descends, before it.
        """
        value, slope = self._pulled(z, self._particles)
        if self.how.step_size is not None:
            return -self.how.step_size * slope, value
        return -share * (value - self.goal).clamp(min=0) / _mean_square(slope) * slope, value

    def alone(self, z: Tensor) -> Tensor:
        """A step against the witness between noised and clean data."""
        size = self._step if self.how.step_size is None else self.how.step_size
        return -size * self._pulled(z, self._fixed)[1]

    def _pulled(self, z: Tensor, measure: Measure) -> tuple[Tensor, Tensor]:
        """A measure of the features of points z, and its gradient in each point."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            p = self.features(z, self.time)
            value, slope = measure(p.detach())
            (pulled,) = torch.autograd.grad(p, z, slope)
        return value, pulled

    def _particles(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Half the MMD^2 of particles to data, or KALE, and the slope of its first variation."""
        if self.how.objective == "kale":
            lam = self.how.regularization
            w = self._dual(p)
            return kale(p, self.data, w, lam), (1 + lam) * w.expand_as(p)
        own, apart = self.kernel.mean_and_slope(p, p)
        cross, near = self.kernel.mean_and_slope(p, self.data)
        return (own.mean() - 2 * cross.mean() + self.among_data) / 2, apart - near

    def _fixed(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over p of the witness between noised and clean data, and its slope."""
        if self.how.objective == "kale":
            w = (1 + self.how.regularization) * self._w
            return (p @ w).mean(), w.expand_as(p)
        noisy, away = self.kernel.mean_and_slope(p, self._here)
        clean, near = self.kernel.mean_and_slope(p, self.data)
        return (noisy - clean).mean(), away - near

    def _dual(self, p: Tensor) -> Tensor:
        """The weights of KALE's witness; empty for the MMD."""
        if self.how.objective == "mmd":
            return p[:0, 0]
        return kale_weights(p, self.data, self.how.regularization).to(p)


def _mean_square(slope: Tensor) -> Tensor:
    """Of the gradients' norms."""
    return slope.flatten(1).square().sum(1).mean().clamp(min=_LEAST)


def _arrived(z: Tensor, points: Tensor, apart: Tensor) -> Tensor:
    """Whether each of z (N, *) is no farther from its nearest of the points (M, *) than `apart`
    (M,) says of this one.
    """
    distances, nearest = torch.cdist(z.flatten(1), points.flatten(1)).min(1)
    return distances <= apart[nearest]


def _apart(points: Tensor) -> Tensor:
    """The distance (M,) of each of the points (M, *) to the nearest of those that are not the same
    as it, or nearly.
    """
    flat = points.flatten(1)
    distances = torch.cdist(flat, flat)
    distances[distances <= _SAME * distances.median()] = torch.inf
    return distances.min(1).values
