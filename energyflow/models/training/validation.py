"""How far samples are from data, the same way after each stage of training."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from energyflow_backends import Array
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..._sums.distances import sliced_energy_distance
from .._random import generator
from ..data.conditions import AnyConditions

_JUDGED = 2000  # samples whose distance to the data is measured
_SLICES = 256
_DRAWN = 100

Draw = Callable[[int, Tensor | None, np.random.Generator], Tensor]


class Judge:
    """Data, with their conditions, that samples are compared with.

    points (n, *shape) and condition (n, *) are in the units of the networks. A sample is drawn by
    `draw(n, condition, rng)`, from the same noise at each call.
    """

    def __init__(
        self,
        points: Tensor,
        condition: Tensor | None,
        conditions: AnyConditions | None,
        *,
        weight: float | str,
        seed: int,
        device: torch.device,
    ) -> None:
        self.points = points
        self.condition = condition
        self.device = device
        self._seed = seed
        asked = conditions.weight(weight) if conditions is not None else 1.0
        self._weight = asked if isinstance(asked, float | int) else 1.0

    def samples(self, draw: Draw, n: int = _DRAWN) -> tuple[Tensor, Tensor | None]:
        """Samples with their conditions, each condition as often as in the data."""
        rng = generator(self._seed, "judge", n)
        condition = self.condition
        if condition is not None:
            condition = condition[even(rng, len(condition), n)].to(self.device)
        return draw(n, condition, rng), condition

    def distance(self, draw: Draw) -> float:
        """Sliced energy distance (U) of samples to the data, joint with conditions.

        NaN where samples are not finite.
        """
        samples, condition = self.samples(draw, _JUDGED)
        if not bool(torch.isfinite(samples).all()):
            return math.nan
        shape = tuple(samples.shape[1:])
        found = self._together(samples, condition)
        wanted = self._together(resized(self.points, shape), self.condition)
        return float(
            sliced_energy_distance(found, wanted, n_projections=_SLICES, estimator="U", rng=0)
        )

    def _together(self, points: Tensor, condition: Tensor | None) -> Array:
        parts = [points.flatten(1).to(self.device)]
        if condition is not None:
            parts.append(condition.flatten(1).to(self.device) * self._weight)
        return flat_array(torch.cat(parts, dim=1), self.device)


def even(rng: np.random.Generator, n: int, count: int) -> NDArray[np.int64]:
    """`count` of n places in random order, each as often as the others but for one."""
    rounds = [rng.permutation(n) for _ in range(-(-count // n))]
    return np.concatenate(rounds)[:count]


def resized(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Images by averages at a coarser resolution; all else, and smaller ones, as they are."""
    if images.ndim != 4 or len(shape) != 3 or images.shape[-1] <= shape[-1]:
        return images
    return functional.adaptive_avg_pool2d(images, shape[1:])


def flat_array(tensor: Tensor, device: torch.device) -> Array:
    """Rows for flows and distances: NumPy's on the CPU, torch's on other devices."""
    flat = tensor.to(device).flatten(1)
    return flat.numpy() if device.type == "cpu" else flat
