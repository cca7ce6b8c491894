"""Networks that sample the posterior of an inverse problem for any observation."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from energyflow_backends import Floats, to_host

from .._core.checks import check_array, check_choice, check_count, shape
from .._core.files import read_json, write_json
from .._core.random import as_generator
from ..models import FlowGenerator, FlowMatching, Model, RunFolder, load
from ._base import Problem
from ._pca import WhitenedPCA, check_share
from ._posterior import Posterior
from ._ridge import LARGEST, CrossFittedRidge

PROBLEM = "problem.json"
GUESS = "guess.json"
REGRESSION = "regression.npz"
COMPONENTS = "components.npz"
_GUESSES = ("lift", "regression")


@dataclass(frozen=True)
class _Learned:
    """What a fit learns besides the model: a regression, and principal components of residuals."""

    regression: CrossFittedRidge | None = None
    components: WhitenedPCA | None = None

    def guess(self, condition: Floats, lifted: Floats) -> Floats:
        """The first guess, for conditions of the networks."""
        vectors = lifted.ndim == 2
        base = np.zeros((len(condition), 1), condition.dtype) if vectors else lifted
        if self.regression is None:
            return base
        more = self.regression(condition)
        return base + (more if vectors else more.reshape(lifted.shape))

    def reduced(self, points: Floats) -> Floats:
        """Residuals by their principal components, if those are learned."""
        return points if self.components is None else self.components.reduce(points)


class PosteriorFlow:
    r"""A conditional model of pairs that a problem simulates.

    Vectors p are learned with their observations q as conditions. Of images, the model learns the
    difference to the lifted observation, with the lift as the condition:

    .. math:: (p - A^\dagger q, \; A^\dagger q) , \qquad \text{sample} = A^\dagger q + z .

    Given q, this only shifts the posterior: the flow need not learn what the lift shows already,
    and every condition of the networks lies on the grid of the image. With ``guess="regression"``
    the model learns the difference to a ridge regression of the images on their lifts, or of the
    vectors on their observations, see `CrossFittedRidge`.

    Parameters
    ----------
    problem : Problem
        How images are observed.
    model : Model, optional
        The conditional model to train. When not given, a `FlowMatching` with the settings, which
        is the nearest to the truth; or a `FlowGenerator`, if they are settings of that one only.
    guess : "lift" or "regression", optional
        The first guess, to which the model learns the difference. A regression is the better guess
        of small images, and costs O(d^3) for d pixels. When not given, it is the regression for
        vectors that `FlowMatching` learns, and else the lift.
    components : float, optional
        Reduces the dimension by PCA with whitening: the flow moves the principal components that
        keep this share of the variance, see `WhitenedPCA`. 0.99 is good for images without a UNet.
        All pixels when not given.
    **settings
        Of `FlowMatching` or `FlowGenerator`.

    Raises
    ------
    TypeError, ValueError
        If a setting is unknown or out of range, or both a model and settings are given.

    References
    ----------
    Hagemann et al., "Posterior Sampling Based on Gradient Flows of the MMD with Negative Distance
    Kernel", ICLR 2024.
    """

    def __init__(
        self,
        problem: Problem,
        model: Model[Any] | None = None,
        *,
        guess: Literal["lift", "regression"] | None = None,
        components: float | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(problem, Problem):
            raise TypeError(f"problem must be a Problem, got {type(problem).__name__}")
        if not isinstance(model, Model | None):
            raise TypeError(f"model must be a Model, got {type(model).__name__}")
        if model is not None and settings:
            raise ValueError(f"settings belong to the model, got both: {', '.join(settings)}")
        self.problem = problem
        self.model: Model[Any] = _made_of(settings) if model is None else model
        if guess is None and not isinstance(self.model, FlowMatching):
            guess = "lift"
        self.guess = None if guess is None else check_choice("guess", guess, _GUESSES)
        self.components = check_share(components)
        self._fitted: _Learned | None = None

    def fit(
        self,
        images: Floats,
        observations: Floats | None = None,
        *,
        held_out: Floats | None = None,
        rng: int = 0,
        out: str | Path | None = None,
        **how: Any,
    ) -> Self:
        """Train on images.

        Parameters
        ----------
        images : NumPy array (n, d) or (n, C, H, W)
            In the units of the problem.
        observations : array (n, *observation), optional
            Observations of the images; simulated when not given.
        held_out : array (m, *image), optional
            Images for validation: samples are compared with them after each stage.
        rng : int
            Seed of the simulated noise.
        out : path, optional
            The run's folder; the problem is saved in it too.
        **how
            Of `Model.fit`: `resume`, `budget`, `stop_after`, `patience`, `name`, `progress`,
            `n_validation`.

        Returns
        -------
        PosteriorFlow
            Itself.

        Raises
        ------
        TypeError, ValueError, OSError
            As `Model.fit`, and if images do not fit the problem.

        Notes
        -----
        As `Model.fit`, it replaces what was fitted before only once it has ended.
        """
        generator = as_generator(rng)
        if observations is None:
            observations = self.problem.simulate(images, generator)
        points, condition = self._pairs(images, observations)
        regression = components = None
        if self._regresses(points, condition):
            regression, points = CrossFittedRidge.fit(points, condition)
        if self.components is not None:
            components = WhitenedPCA.of(points, self.components)
        learned = _Learned(regression, components)
        validation: dict[str, Any] = {}
        if held_out is not None:
            check_array("held_out", held_out)
            observed = self.problem.simulate(held_out, generator)
            if held_out.shape[1:] != images.shape[1:]:
                raise ValueError(
                    f"held_out must be of the images' shape {images.shape[1:]}, "
                    f"got {held_out.shape[1:]}"
                )
            condition_held, lifted = self._condition(observed)
            residuals = held_out - learned.guess(condition_held, lifted)
            validation = {
                "held_out": learned.reduced(residuals), "held_out_condition": condition_held,
            }  # fmt: skip
        before = self.model.fitted
        try:
            self.model.fit(
                learned.reduced(points), condition, **validation,
                out=out, on_start=lambda folder: self._save_problem(folder, learned), **how,
            )  # fmt: skip
        finally:
            if self.model.fitted is not before:  # it may have been interrupted
                self._fitted = learned
        return self

    def sample(
        self, observation: Floats, n: int = 100, rng: int | np.random.Generator | None = None
    ) -> Posterior:
        """Samples of the posterior, given an observation.

        Parameters
        ----------
        observation : array (*observation)
            A single one.
        n : int
            How many samples; at least 2.
        rng : int, numpy.random.Generator or None
            Draws the noise.

        Returns
        -------
        Posterior

        Raises
        ------
        TypeError, ValueError
            If the observation does not fit the problem.
        RuntimeError
            If the model is not trained.
        """
        n = check_count("n", n, minimum=2)
        check_array("observation", observation)
        learned, wanted = self._learned, self._observation_shape()
        if shape(observation) != wanted:
            raise ValueError(
                f"observation must have shape {wanted}, one without a batch axis, "
                f"got {shape(observation)}"
            )
        batch = to_host(observation)[None]  # (1, *observation)
        condition, lifted = self._condition(batch)
        residuals = np.asarray(self.model.sample(n, condition[0], rng))
        if learned.components is not None:
            residuals = learned.components.expand(residuals)
        guess = learned.guess(condition, lifted)
        if guess.ndim > 2:
            residuals = residuals.reshape(n, *guess.shape[1:])
        samples = (guess + residuals).astype(residuals.dtype, copy=False)
        return Posterior(samples, batch[0], self.problem)

    def first_guess(self, observations: Floats) -> Floats:
        """The first guess, to which samples add the output of the networks.

        Parameters
        ----------
        observations : NumPy array (n, *observation)
            Any number of them.

        Returns
        -------
        array (n, d) or (n, C, H, W)
            Lifts or regressions; zeros (n, 1) for vectors that are learned as they are.

        Raises
        ------
        TypeError, ValueError
            If observations do not fit the problem.
        RuntimeError
            If the regression is not learned yet.
        """
        condition, lifted = self._condition(observations)
        learned = _Learned() if self.guess == "lift" else self._learned
        return learned.guess(condition, lifted)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write model and problem to a new or empty folder.

        Raises
        ------
        OSError, ValueError, RuntimeError
            As `Model.save`.
        """
        self.model.save(folder, on_save=lambda path: self._save_problem(path, self._learned))

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        problem: Problem | None = None,
        *,
        device: str | None = None,
    ) -> Self:
        """Read what `save` or `fit` wrote.

        Parameters
        ----------
        folder : path
            Of the run.
        problem : Problem, optional
            In place of the folder's.
        device : str, optional
            Device of the networks.

        Raises
        ------
        OSError, ValueError
            If there is no such run, it is damaged, or it holds no problem.
        """
        RunFolder(folder).settings()
        path = Path(folder) / PROBLEM
        if problem is None and not path.is_file():
            raise ValueError(f"{folder} holds no {PROBLEM}: it is no run of a posterior")
        model = load(folder, device=device)
        how = _read_guess(path.with_name(GUESS))
        sampler = cls(problem or Problem.load(path), model, **how)
        with_regression, with_components = how["guess"] == "regression", how["components"]
        sampler._fitted = _Learned(
            CrossFittedRidge.load(path.with_name(REGRESSION)) if with_regression else None,
            None if with_components is None else WhitenedPCA.load(path.with_name(COMPONENTS)),
        )
        return sampler

    @property
    def _learned(self) -> _Learned:
        """What was fitted; nothing besides the model, where that was given trained."""
        if self._fitted is not None:
            return self._fitted
        if self.model.fitted is None or self.guess == "regression" or self.components is not None:
            raise RuntimeError("this posterior is not trained: call fit, or load one")
        return _Learned()

    def _observation_shape(self) -> tuple[int, ...]:
        """That of one observation, by what the networks were trained with."""
        fitted = self.model.fitted
        if fitted is None or fitted.description.conditions is None:
            raise RuntimeError("this posterior is not trained: call fit, or load one")
        seen = fitted.description.conditions.shape
        if len(seen) == 1:  # the observation itself
            return seen
        return self.problem.operator(np.zeros((1, *seen), np.float32)).shape[1:]

    def _save_problem(self, folder: Path, learned: _Learned) -> None:
        write_json(folder / PROBLEM, self.problem.settings())
        guess = "lift" if learned.regression is None else "regression"
        write_json(folder / GUESS, {"guess": guess, "components": self.components})
        if learned.regression is not None:
            learned.regression.save(folder / REGRESSION)
        if learned.components is not None:
            learned.components.save(folder / COMPONENTS)

    def _pairs(self, images: Floats, observations: Floats) -> tuple[Floats, Floats]:
        """Training pairs: residuals of the lift (of vectors, the points), and their conditions."""
        check_array("images", images)
        check_array("observations", observations)
        if len(images) != len(observations):
            raise ValueError(
                f"observations must be one for each of the {len(images)} images, "
                f"got {len(observations)}"
            )
        condition, lifted = self._condition(observations)
        if lifted.shape != images.shape:
            raise ValueError(
                f"observations must be of images of shape {images.shape[1:]}, "
                f"got those of shape {lifted.shape[1:]}"
            )
        return images if images.ndim == 2 else images - lifted, condition

    def _regresses(self, points: Floats, condition: Floats) -> bool:
        """Whether the first guess is a regression."""
        if self.guess is not None:
            return self.guess == "regression"
        return points.ndim == 2 and condition[0].size <= LARGEST

    def _condition(self, observations: Floats) -> tuple[Floats, Floats]:
        """Conditions of the networks (observations of vectors, lifts of images), and lifts."""
        lifted = self.problem.lift(observations)
        return observations if lifted.ndim == 2 else lifted, lifted


def _made_of(settings: dict[str, Any]) -> Model[Any]:
    """The model that has these settings."""
    for kind in (FlowMatching, FlowGenerator):
        known = {field.name for field in fields(kind.presets["default"].settings)}
        preset = settings.get("preset", "default")
        if set(settings) <= known | {"network", "preset", "device"} and preset in kind.presets:
            return kind(**settings)
    return FlowMatching(**settings)  # whose error names those that are unknown


def _read_guess(path: Path) -> dict[str, Any]:
    """The settings of the guess that `_save_problem` wrote."""
    try:
        settings = read_json(path)
        check_choice("guess", settings["guess"], _GUESSES)
        return {"guess": settings["guess"], "components": check_share(settings["components"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: expected JSON with guess and components") from None
