"""Networks that sample the posterior of an inverse problem for any observation."""

from __future__ import annotations

import math
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from energyflow_backends import Floats, to_host

from .._core.checks import check_array, check_choice, check_count, check_finite, shape
from .._core.files import write_json
from .._core.random import as_generator
from ..models import FlowGenerator, FlowMatching, Model, RunFolder, load
from ._base import Problem
from ._learned.bounds import Bounds
from ._learned.learned import GUESSES, Learned
from ._learned.pca import check_share
from ._learned.ridge import LARGEST
from ._posterior import Posterior

PROBLEM = "problem.json"


class PosteriorFlow:
    r"""A conditional model of pairs that a problem simulates.

    Vectors p are learned with their observations q as conditions. Of images, the model learns the
    difference to the lifted observation, with the lift as the condition:

    .. math:: (p - A^\dagger q, \; A^\dagger q) , \qquad \text{sample} = A^\dagger q + z .

    Given q, this only shifts the posterior: the flow need not learn what the lift shows already,
    and every condition of the networks lies on the grid of the image. With ``guess="regression"``
    the model learns the difference to a ridge regression of the images on their lifts, or of the
    vectors on their observations, see `CrossFittedRidge`.

    Vectors and observations may have any units: each number is standardised by itself. Between
    bounds l and h, vectors are learned as Phi^-1((p - l) / (h - l)), for which a uniform prior is
    N(0, 1), and by a logarithm where there is one bound. Points on a bound count as rounded to it.

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
    bounds : optional
        Where vectors lie, as a prior on a box says: ``(low, high)``, each a number or an array
        (d,), with -inf and inf where there is no bound; or the support of a frozen distribution
        of scipy.stats or torch, or of a sequence of them. Samples never leave it.
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
        bounds: Any = None,
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
        self.guess = None if guess is None else check_choice("guess", guess, GUESSES)
        self.bounds = None if bounds is None else Bounds.of(bounds)
        self.components = check_share(components)
        self._fitted: Learned | None = None

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
        if self.bounds is not None and points.ndim > 2:
            raise ValueError("bounds are of vectors (n, d): leave them out for images")
        learned, training = Learned.of(
            points, condition,
            bounds=self.bounds, regresses=self._regresses(points, condition),
            share=self.components,
        )  # fmt: skip
        validation: dict[str, Any] = {}
        if held_out is not None:
            check_array("held_out", held_out)
            observed = self.problem.simulate(held_out, generator)
            if held_out.shape[1:] != images.shape[1:]:
                raise ValueError(
                    f"held_out must be of the images' shape {images.shape[1:]}, "
                    f"got {held_out.shape[1:]}"
                )
            points_held, condition_held = self._pairs(held_out, observed)
            validation = {
                "held_out": learned.reduced(points_held, condition_held),
                "held_out_condition": condition_held,
            }
        before = self.model.fitted
        try:
            self.model.fit(
                training, condition, **validation,
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
        drawn = np.asarray(self.model.sample(n, condition[0], rng))
        samples = learned.expanded(drawn, condition, lifted)
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
            Lifts or regressions; for vectors without, the middle of those of the training.

        Raises
        ------
        TypeError, ValueError
            If observations do not fit the problem.
        RuntimeError
            If the regression is not learned yet.
        """
        condition, lifted = self._condition(observations)
        learned = Learned() if self.guess == "lift" and lifted.ndim > 2 else self._learned
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
        assert model.fitted is not None
        how, learned = Learned.load(path.parent, math.prod(model.fitted.description.shape))
        sampler = cls(problem or Problem.load(path), model, **how)
        sampler._fitted = learned
        if learned.parameters is not None:
            sampler.bounds = Bounds(learned.parameters.low, learned.parameters.high)
        return sampler

    @property
    def _learned(self) -> Learned:
        """What was fitted; nothing besides the model, where that was given trained."""
        if self._fitted is not None:
            return self._fitted
        if self.model.fitted is None or self.guess == "regression" or self.components is not None:
            raise RuntimeError("this posterior is not trained: call fit, or load one")
        return Learned()

    def _observation_shape(self) -> tuple[int, ...]:
        """That of one observation, by what the networks were trained with."""
        fitted = self.model.fitted
        if fitted is None or fitted.description.conditions is None:
            raise RuntimeError("this posterior is not trained: call fit, or load one")
        seen = fitted.description.conditions.shape
        if len(seen) == 1:  # the observation itself
            return seen
        return self.problem.operator(np.zeros((1, *seen), np.float32)).shape[1:]

    def _save_problem(self, folder: Path, learned: Learned) -> None:
        write_json(folder / PROBLEM, self.problem.settings())
        learned.save(folder, self.components)

    def _pairs(self, images: Floats, observations: Floats) -> tuple[Floats, Floats]:
        """Training pairs: residuals of the lift (of vectors, the points), and their conditions."""
        check_array("images", images)
        check_finite("images", images)
        check_array("observations", observations)
        if images.ndim < 2 or len(images) < 2 or 0 in images.shape:
            raise ValueError(
                "images must have shape (n, d) or (n, C, H, W) with n at least 2, "
                f"got {images.shape}"
            )
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
