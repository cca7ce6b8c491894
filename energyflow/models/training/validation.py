"""Validation: how far samples are from data, the same way after each stage of training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from energyflow_backends import Array, Integers
from torch import Tensor
from torch.nn import functional

from ..._core import pictures as _pictures
from ..._core.extras import has_for
from ..._core.image_grid import save_grid
from ..._core.random import keyed_generator
from ..._sums.distances import sliced_energy_distance
from ..data.training_set import Pair, TrainingSet

N_SAMPLES = 2000  # that are compared with the data
ENOUGH = 250  # of them, for a distance that says something
_SLICES = 256
_DRAWN = 100
_SHOWN = 2000  # of the data

Draw = Callable[[int, Tensor | None, np.random.Generator], Tensor]


@dataclass(frozen=True)
class Validator:
    """Compares samples with held-out data, or with those of the training, and draws pictures.

    A sample is drawn by `draw(n, condition, rng)`, from the same noise at each call. weight is the
    factor of encoded conditions in the distance.
    """

    data: TrainingSet
    held_out: Pair | None
    weight: float
    n_samples: int
    seed: int
    device: torch.device

    @property
    def _expected(self) -> Pair:
        return self.held_out or (self.data.points, self.data.condition)

    def distance(self, draw: Draw, n: int | None = None) -> float:
        """Sliced energy distance (U) of n samples to the data, joint with conditions.

        NaN where samples are not finite.
        """
        samples, condition = self._samples(draw, n or self.n_samples)
        if not bool(torch.isfinite(samples).all()):
            return math.nan
        shape = tuple(samples.shape[1:])
        drawn = self._joint(samples, condition)
        points, known = self._expected
        data = self._joint(downsampled(points, shape), known)
        return float(
            sliced_energy_distance(drawn, data, n_projections=_SLICES, estimator="U", rng=0)
        )

    @torch.no_grad()
    def draw(self, path: Path, draw: Draw) -> None:
        """Draw samples: images as a grid, points in the plane over the data.

        Black and white are the least and the greatest number of the data, or of what components
        make of the first ones. Without Pillow (images)
        or matplotlib (points) nothing is drawn, and the log says so once.
        """
        what, scaling = "pictures of samples are", self.data.scaling
        samples, shape = self._samples(draw, _DRAWN)[0].cpu(), self.data.description.shape
        if scaling.components is not None or shape == (2,):
            samples = scaling.undo(samples)
        if samples.ndim == 4 and samples.shape[1] in (1, 3) and has_for(what, "PIL", "models"):
            points = self.data.points
            if scaling.components is not None:
                points = scaling.undo(points[:_SHOWN])
            black, white = points.min().item(), points.max().item()
            save_grid(path, (samples.numpy() - black) / ((white - black) or 1.0))
        elif shape == (2,) and has_for(what, "matplotlib", "plot"):
            points = scaling.undo(self.data.points[:_SHOWN])
            _pictures.save_scatter(path, samples.numpy(), points.numpy())

    def _samples(self, draw: Draw, n: int) -> tuple[Tensor, Tensor | None]:
        """Samples with their conditions, each condition as often as in the data."""
        rng = keyed_generator(self.seed, "judge", n)  # another name would change all samples
        condition = drawn_evenly(self._expected[1], n, rng, self.device)
        return draw(n, condition, rng), condition

    def _joint(self, points: Tensor, condition: Tensor | None) -> Array:
        """Points and weighted conditions side by side."""
        parts = [points.flatten(1).to(self.device)]
        if condition is not None:
            parts.append(condition.flatten(1).to(self.device) * self.weight)
        return flat_array(torch.cat(parts, dim=1), self.device)


def rows_drawn_evenly(length: int, n: int, rng: np.random.Generator) -> Integers:
    """N row numbers in random order, each as often as the others but for one."""
    rounds = [rng.permutation(length) for _ in range(-(-n // length))]
    return np.concatenate(rounds)[:n]


def drawn_evenly(
    condition: Tensor | None, n: int, rng: np.random.Generator, device: torch.device
) -> Tensor | None:
    """N of the conditions in random order, each as often as the others but for one."""
    if condition is None:
        return None
    return condition[rows_drawn_evenly(len(condition), n, rng)].to(device)


def downsampled(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Images by averages at a coarser resolution; all else, and smaller ones, as they are."""
    if images.ndim != 4 or len(shape) != 3 or images.shape[-1] <= shape[-1]:
        return images
    return functional.adaptive_avg_pool2d(images, shape[1:])


def flat_array(tensor: Tensor, device: torch.device) -> Array:
    """Rows for flows and distances: NumPy's on the CPU, torch's on other devices."""
    flat = tensor.to(device).flatten(1)
    return flat.numpy() if device.type == "cpu" else flat
