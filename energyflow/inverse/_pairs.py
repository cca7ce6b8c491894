"""Training pairs of a posterior: what networks learn of images or parameters, and what they see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from energyflow_backends import Floats

from .._core.checks import check_finite
from ._base import Problem
from ._learned.crops import check_places, crops
from ._learned.observed import Observed, as_host, as_pairs


class Pairs(NamedTuple):
    """What is learned, and its conditions.

    residuals : of the lift; of vectors, the points. image : the shape of one, before it is cropped,
    or of a vector. observed : that of an observation.
    """

    residuals: Floats
    condition: Floats
    image: tuple[int, ...]
    observed: tuple[int, ...]

    def check_like(self, training: Pairs) -> None:
        """Whether held-out pairs have the shapes of the training's.

        Raises
        ------
        ValueError
            If they have not.
        """
        if self.image != training.image:
            raise ValueError(
                f"held_out must be of the training's shape {training.image}, got {self.image}"
            )
        if self.observed != training.observed:
            raise ValueError(
                f"held_out_observations must have shape (m, *{training.observed}), "
                f"got those of shape {self.observed}"
            )


@dataclass(frozen=True)
class Pairing:
    """How images or parameters and their observations become pairs.

    problem : None for observations that are the conditions. crop : side of the squares of pixels
    that networks learn from; None for whole images.
    """

    problem: Problem | None
    crop: int | None = None

    @property
    def lifts(self) -> bool:
        """Whether the problem brings observations to images."""
        return self.problem is not None and self.problem.operator.lifts

    def condition(self, observations: Floats) -> tuple[Floats, Floats | None]:
        """Conditions of the networks, and lifts: of images both are lifts, if there are any; else
        conditions are the observations.
        """
        if self.problem is None or not self.lifts:
            return observations, None
        lifted = self.problem.lift(observations)
        return (observations, None) if lifted.ndim == 2 else (lifted, lifted)

    def of_one(self, condition: tuple[int, ...]) -> Observed:
        """The observation that has a condition of that shape."""
        if self.problem is None or not self.lifts or len(condition) == 1:
            return Observed(condition)  # the observation itself
        return Observed(self.problem.operator(np.zeros((1, *condition), np.float32)).shape[1:])

    def pairs(self, name: str, images: Any, observations: Any, rng: np.random.Generator) -> Pairs:
        """Pairs of images and their observations, which are simulated when not given.

        name : of the images in messages, if they are not those of the training.

        Raises
        ------
        TypeError, ValueError
            They do not fit each other, or the problem.
        """
        points, label = name or "images or parameters", f"{name}_observations".lstrip("_")
        images = as_host(points, images)
        images = images[:, None] if images.ndim == 3 else images  # of one channel
        if observations is None:
            observations = self._simulated(points, label, images, rng)
        observations = as_pairs(points, images, label, observations)
        condition, lifted = self.condition(observations)
        if self.problem is not None and self.lifts:
            grid = self.problem.lift(observations).shape if lifted is None else lifted.shape
            if grid != images.shape:
                raise ValueError(
                    f"{label} must be of images of shape {images.shape[1:]}, "
                    f"got those of shape {grid[1:]}"
                )
        residuals = images if lifted is None else images - lifted
        if self.crop is not None:
            if lifted is None:
                raise ValueError("crop is of images whose problem has a lift: leave it out")
            check_places(self.crop, images.shape[-2:], observations.shape[-2:])
            residuals, condition = crops(residuals, self.crop), crops(condition, self.crop)
        return Pairs(residuals, condition, images.shape[1:], observations.shape[1:])

    def _simulated(
        self, points: str, label: str, images: Floats, rng: np.random.Generator
    ) -> Floats:
        """Observations by the problem; names are those of the arguments in messages."""
        if self.problem is None:
            raise ValueError(
                f"{label} must be given, one for each of {points}: there is no problem to "
                "simulate them, PosteriorFlow(problem)"
            )
        check_finite(points, images)
        return self.problem.simulate(images, rng)
