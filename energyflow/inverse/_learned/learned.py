"""All that a posterior learns besides its networks, and its files in the folder of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from energyflow_backends import Doubles, Floats

from ..._core.checks import check_choice, check_count, check_each, check_flag
from ..._core.files import read_json, write_json
from .bounds import Bounds
from .observed import ObservedRange
from .parameters import ParameterTransform
from .pca import WhitenedPCA, check_share
from .ridge import CrossFittedRidge
from .scores import NormalScores

GUESS = "guess.json"
PARAMETERS = "parameters.npz"
REGRESSION = "regression.npz"
COMPONENTS = "components.npz"
SCORES = "scores.npz"
GUESSES = ("lift", "regression")


@dataclass(frozen=True)
class Learned:
    """Between points and what the model learns: of vectors first their units and bounds, then a
    regression, then principal components of the residuals. With normal scores of observations, the
    network sees these, and the regression both; of images the network sees the first guess of the
    regression beside the lift.
    """

    parameters: ParameterTransform | None = None
    regression: CrossFittedRidge | None = None
    components: WhitenedPCA | None = None
    shape: tuple[int, ...] | None = None  # of a point; runs of before do not say it
    observed: tuple[int, ...] | None = None  # of an observation; neither
    scores: NormalScores | None = None
    range: ObservedRange | None = None  # of vectors; nor this
    beside: bool = False  # whether networks see the first guess of images

    @classmethod
    def of(
        cls,
        points: Floats,
        condition: Floats,
        observed: tuple[int, ...],
        *,
        bounds: Bounds | None,
        regresses: bool,
        share: float | None,
        scored: bool = False,
        beside: bool = False,
    ) -> tuple[Self, Floats, Floats]:
        """Learn from vectors or from residuals of images; give what the model learns of them, and
        the conditions that it is given.
        """
        parameters = regression = components = guess = None
        scores = NormalScores.of(condition) if scored else None
        shape = points.shape[1:]
        if points.ndim == 2:
            parameters = ParameterTransform.of(points, bounds)
            points = parameters.apply(points)
        if regresses:
            features = _features(condition, scores)
            of_all = points
            regression, points = CrossFittedRidge.fit(points, features)
            guess = condition + of_all - points if beside else None
        if parameters is not None and regression is not None:
            # what observations tell well is learned on a scale of its own
            left = points.std(axis=0, dtype=np.float64)
            left = np.where(left > 0, left, 1.0)
            parameters, regression = parameters.rescaled(left), regression.rescaled(left)
            points = (points / left).astype(points.dtype)
        if share is not None:
            components = WhitenedPCA.of(points, share)
            points = components.reduce(points)
        between = ObservedRange.of(condition) if condition.ndim == 2 else None
        parts = parameters, regression, components, shape, observed, scores, between, beside
        learned = cls(*parts)
        return learned, points, learned.seen(condition, guess)

    def seen(self, condition: Floats, guess: Floats | None = None) -> Floats:
        """Conditions as the model is given them; guess : as rows or images, of lifted images."""
        if self.beside and guess is not None:
            return np.concatenate([condition, guess.reshape(condition.shape)], axis=1)
        return condition if self.scores is None else self.scores(condition)

    def reduced(self, points: Floats, condition: Floats) -> Floats:
        """Other points (vectors, or residuals of the lift) as the model learns them."""
        if self.parameters is not None:
            points = self.parameters.apply(points)
        if self.regression is not None:
            guess = self.regression(_features(condition, self.scores)).reshape(points.shape)
            points = (points - guess).astype(points.dtype)
        return points if self.components is None else self.components.reduce(points)

    def validation(self, points: Floats, condition: Floats) -> dict[str, Floats]:
        """Held-out points and their conditions as the model learns them, for `Model.fit`."""
        guess = self.base(condition, condition) if self.beside else None
        return {
            "held_out": self.reduced(points, condition),
            "held_out_condition": self.seen(condition, guess),
        }

    def base(self, condition: Floats, lifted: Floats | None) -> Floats:
        """What samples for m conditions are added to: rows (m, d), or zeros (m, 1)."""
        if lifted is None:
            rows = np.zeros((len(condition), 1), condition.dtype)
        else:
            rows = lifted.reshape(len(lifted), -1)
        if self.regression is None:
            return rows
        return rows + self.regression(_features(condition, self.scores))

    def expanded(self, samples: Floats, base: Floats, shape: tuple[int, ...]) -> Floats:
        """Samples of the model (m, n, k) in the units of the points (m, n, *shape)."""
        dtype = samples.dtype
        if self.components is not None:
            samples = self.components.expand(samples)
        samples = (samples + base[:, None]).astype(dtype, copy=False)
        if self.parameters is not None:
            rows = samples.reshape(-1, samples.shape[-1])
            samples = self.parameters.undo(rows).reshape(samples.shape)
        return samples.reshape(*samples.shape[:2], *shape)

    def log_density(
        self, points: Floats, condition: Floats, of_model: Callable[[Floats, Floats], Floats]
    ) -> Doubles:
        """Log-density at vectors (n, d), each given a condition; -inf outside the bounds.

        of_model : the log-density (n,) of what the model learns of the vectors, for conditions as
        it is given them.
        """
        if self.parameters is None:
            return np.asarray(
                of_model(self.reduced(points, condition), self.seen(condition)), np.float64
            )
        logs = np.full(len(points), -np.inf)
        inside = ~self.parameters.outside(points)
        if inside.any():
            points, condition = points[inside], condition[inside]
            found = of_model(self.reduced(points, condition), self.seen(condition))
            logs[inside] = found.astype(np.float64) + self.parameters.log_slope(points)
        return logs

    def guess(self, condition: Floats, lifted: Floats | None, shape: tuple[int, ...]) -> Floats:
        """The first guess, to which samples of zeros lead; without the mean of the components."""
        base = self.base(condition, lifted)
        size = math.prod(shape) if shape != (-1,) else base.shape[1]
        zeros = np.zeros((len(base), 1, size), base.dtype)
        return replace(self, components=None).expanded(zeros, base, shape)[:, 0]

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a posterior was saved in the folder of a run."""
        return (folder / GUESS).is_file()

    def save(self, folder: Path, share: float | None, crop: int | None = None) -> None:
        """Write the files into the folder of a run."""
        settings = {
            "guess": "lift" if self.regression is None else "regression",
            "components": share,
            "crop": crop,
            "parameters": self.parameters is not None,
            "shape": self.shape,
            "observed": self.observed,
            "scores": self.scores is not None,
            "beside": self.beside,
            "range": None if self.range is None else self.range.settings(),
        }
        write_json(folder / GUESS, settings)
        for part, name in (
            (self.parameters, PARAMETERS),
            (self.regression, REGRESSION),
            (self.components, COMPONENTS),
            (self.scores, SCORES),
        ):
            if part is not None:
                part.save(folder / name)

    @classmethod
    def load(
        cls, folder: Path, size: int, condition: tuple[int, ...]
    ) -> tuple[dict[str, Any], Self]:
        """Read what `save` wrote: the settings of the posterior, and what was learned.

        size : numbers of a sample of the model.
        condition : the shape of one of its conditions.

        Raises
        ------
        OSError, ValueError
            If a file cannot be read, or is damaged.
        """
        how, with_parameters, with_scores, rest = _read_settings(folder / GUESS)
        with_regression, with_components = how["guess"] == "regression", how["components"]
        learned = cls(
            ParameterTransform.load(folder / PARAMETERS) if with_parameters else None,
            CrossFittedRidge.load(folder / REGRESSION) if with_regression else None,
            None if with_components is None else WhitenedPCA.load(folder / COMPONENTS),
            scores=NormalScores.load(folder / SCORES) if with_scores else None,
            **rest,
        )
        learned._check(folder, size)
        learned._check_conditions(folder, condition)
        return how, learned

    def _check(self, folder: Path, size: int) -> None:
        """Whether the parts fit each other and samples of so many numbers."""
        chain = []
        if self.components is not None:
            chain += [(COMPONENTS, len(self.components.basis), len(self.components.mean))]
        if self.regression is not None:
            chain += [(REGRESSION, len(self.regression.offset), len(self.regression.offset))]
        if self.parameters is not None:
            chain += [(PARAMETERS, len(self.parameters.mean), len(self.parameters.mean))]
        for name, learned, given in chain:
            if learned != size:
                raise ValueError(f"{folder / name}: expected {size} numbers, got {learned}")
            size = given
        if self.shape is not None and math.prod(self.shape) != size:
            raise ValueError(f"{folder / GUESS}: expected a shape of {size} numbers")
        if self.shape is not None and len(self.shape) == 1 and self.parameters is None:
            raise ValueError(f"{folder / GUESS}: expected parameters, for points are vectors")

    def _check_conditions(self, folder: Path, condition: tuple[int, ...]) -> None:
        """Whether the parts fit the conditions of the model."""
        width = math.prod(condition)
        if self.regression is None and (self.scores is not None or self.beside):
            what = "is a guess beside the lift" if self.beside else "are scores"
            raise ValueError(f"{folder / GUESS}: expected a regression where there {what}")
        if len(condition) == 1 and self.observed not in (None, condition):
            raise ValueError(f"{folder / GUESS}: expected observed {condition}")
        inputs = []
        if self.scores is not None:
            inputs += [(SCORES, self.scores.knots.shape[1], width)]
        if self.regression is not None:
            features = width if self.scores is None else 2 * width
            features = features // 2 if self.beside else features
            inputs += [(REGRESSION, len(self.regression.matrix), features)]
        if self.range is not None:
            inputs += [(GUESS, len(self.range.low), width)]
        for name, given, expected in inputs:
            if given != expected:
                raise ValueError(
                    f"{folder / name}: expected {expected} numbers of an observation, got {given}"
                )


def _features(condition: Floats, scores: NormalScores | None) -> Floats:
    """What the regression is given: conditions, with their scores beside them."""
    return condition if scores is None else scores.features(condition)


def _read_settings(path: Path) -> tuple[dict[str, Any], bool, bool, dict[str, Any]]:
    """Settings of the guess; whether parameters are transformed and observations scored; shapes of
    points and observations, and the range of these.

    Older runs say only the first.
    """
    try:
        settings = read_json(path)
        check_choice("guess", settings["guess"], GUESSES)
        how = {"guess": settings["guess"], "components": check_share(settings["components"])}
        crop = settings.get("crop")
        how["crop"] = None if crop is None else check_count("crop", crop, minimum=2)
        transformed, scored = (
            check_flag(name, settings.get(name, False)) for name in ("parameters", "scores")
        )
        rest: dict[str, Any] = {"beside": check_flag("beside", settings.get("beside", False))}
        rest |= {
            name: check_each(name, settings[name], check_count)
            for name in ("shape", "observed")
            if settings.get(name) is not None
        }
        if settings.get("range") is not None:
            rest["range"] = ObservedRange.read(settings["range"])
        return how, transformed, scored, rest
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: expected JSON with guess and components") from None
