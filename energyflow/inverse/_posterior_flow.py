"""Networks that sample the posterior of an inverse problem for any observation."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from energyflow_backends import Floats
from torch import nn

from .._core.checks import check_choice, check_count
from .._core.files import write_json
from .._core.random import Rng, as_generator
from ..models import FlowMatching, Model, RunFolder, load
from ._base import Operator, Problem
from ._choice import (
    OF_CROPS,
    check_crop,
    model_of,
    regresses,
    scores,
    sees_conditions,
    sees_guess,
)
from ._function import Function, as_problem, read_problem
from ._learned.bounds import Bounds
from ._learned.learned import GUESSES, Learned
from ._learned.observed import Observed, as_host, as_parameters
from ._learned.pca import check_share
from ._pairs import Pairing
from ._posterior import Posterior

PROBLEM = "problem.json"
_MOST_CONDITIONS = 2**24  # numbers of conditions that are repeated at once


class PosteriorFlow:
    r"""A conditional model of pairs that a problem simulates, or that a user gives.

    Vectors p are learned with their observations q as conditions. Of images, the model learns the
    difference to the lifted observation, with the lift as the condition:

    .. math:: (p - A^\dagger q, \; A^\dagger q) , \qquad \text{sample} = A^\dagger q + z .

    Given q, this only shifts the posterior: the flow need not learn what the lift shows already,
    and every condition of the networks lies on the grid of the image. With ``guess="regression"``
    the model learns the difference to a ridge regression of the images on their lifts, or of the
    vectors on their observations, see `CrossFittedRidge`; `FlowMatching` sees this first guess of
    images beside the lift.

    Vectors and observations may have any units: each number is standardised by itself. Between
    bounds l and h, vectors are learned as Phi^-1((p - l) / (h - l)), for which a uniform prior is
    N(0, 1), and by a logarithm where there is one bound. Points on a bound count as rounded to it.
    Where both are vectors and there is a regression, networks see normal scores of observations
    (the distribution function of each number, then Phi^-1), and the regression sees both.

    Parameters
    ----------
    problem : Problem, Operator or callable, optional
        How images are observed; a function is one of a batch, see `Function`. Pairs need none.
    model : Model, optional
        The conditional model to train. When not given, a `FlowMatching` with the settings, which
        is the nearest to the truth; or a `FlowGenerator`, if they are settings of that one only.
    guess : "lift" or "regression", optional
        The first guess, to which the model learns the difference. A regression is the better guess
        of small images, and costs O(d^3) for d pixels. When not given, it is the regression for
        vectors that `FlowMatching` learns without an embedding, and else the lift.
    bounds : optional
        Where vectors lie, as a prior on a box says: ``(low, high)``, each a number or an array
        (d,), with -inf and inf where there is no bound; or the support of a frozen distribution
        of scipy.stats or torch, or of a sequence of them. Samples never leave it.
    crop : int, optional
        Side of the squares of pixels that networks learn from, where images are large: crops of
        images and lifts, half a side apart. The network is fully convolutional then, and samples
        images of any size: a `UNet` without attention, of patches of four pixels when not given.
        Where an observation has a pixel for each square of t x t, half a crop is a multiple of t.
        The network still normalises by means over the whole image, which may matter where large
        parts of it are empty.
    components : float, optional
        Reduces the dimension by PCA with whitening: the flow moves the principal components that
        keep this share of the variance, see `WhitenedPCA`. 0.99 is good for images without a UNet.
        All pixels when not given.
    **settings
        Of `FlowMatching` or `FlowGenerator`; also their `network` and `embedding`.

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
        problem: Problem | Operator | Callable[..., Any] | None = None,
        model: Model[Any] | None = None,
        *,
        guess: Literal["lift", "regression"] | None = None,
        bounds: Any = None,
        components: float | None = None,
        crop: int | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(model, Model | None):
            raise TypeError(f"model must be a Model, got {type(model).__name__}")
        if model is not None and settings:
            raise ValueError(f"settings belong to the model, got both: {', '.join(settings)}")
        self.crop = None if crop is None else check_count("crop", crop, minimum=2)
        if crop is not None and model is None and "network" not in settings:
            settings.setdefault("architecture", OF_CROPS)
        self.problem = as_problem(problem)
        self.model: Model[Any] = model_of(settings) if model is None else model
        if guess is None and not sees_conditions(self.model):
            guess = "lift"
        self.guess = None if guess is None else check_choice("guess", guess, GUESSES)
        self.bounds = None if bounds is None else Bounds.of(bounds)
        self.components = check_share(components)
        if crop is not None:
            check_crop(self.model, self.guess, self.components)
        self._fitted: Learned | None = None

    def __repr__(self) -> str:
        parts = ["pairs" if self.problem is None else str(self.problem), type(self.model).__name__]
        if self.bounds is not None:
            parts.append("bounded")
        trained = self.model.fitted
        if trained is None:
            return f"PosteriorFlow({', '.join(parts)}: not trained)"
        shapes = (
            f"{self._learned.shape or trained.description.shape} given {self._observed().shape}"
        )
        return f"PosteriorFlow({', '.join(parts)}: {shapes})"

    def fit(
        self,
        images: Any,
        observations: Any = None,
        *,
        held_out: Any = None,
        held_out_observations: Any = None,
        rng: Rng = 0,
        out: str | Path | None = None,
        **how: Any,
    ) -> Self:
        """Train on images or parameters.

        Parameters
        ----------
        images : array (n, d), (n, H, W) or (n, C, H, W)
            In the units of the problem: NumPy, tensors or lists; (n, H, W) have one channel.
        observations : array (n, *observation), optional
            Observations of the images: vectors (n, m), series or sets (n, k, m), or maps
            (n, C, H, W). Simulated when not given.
        held_out : array (m, *image), optional
            Images for validation: samples are compared with them after each stage.
        held_out_observations : array (m, *observation), optional
            Their observations; simulated when not given.
        rng : int, generator or None
            Draws the simulated noise.
        out : path, optional
            The run's folder; the problem is saved in it too.
        **how
            Of `Model.fit`: `resume`, `budget`, `stop_after`, `patience`, `name`, `progress`,
            `callbacks`, `n_validation`.

        Returns
        -------
        PosteriorFlow
            Itself.

        Raises
        ------
        TypeError, ValueError, OSError
            As `Model.fit`, and if images do not fit the problem or the bounds.

        Notes
        -----
        As `Model.fit`, it replaces what was fitted before only once it has ended.
        """
        generator = as_generator(rng)
        pairs = self._pairing.pairs("", images, observations, generator)
        points, condition = pairs.residuals, pairs.condition
        if self.bounds is not None and points.ndim > 2:
            raise ValueError("bounds are of vectors (n, d): leave them out for images")
        regression = regresses(self.guess, points, condition)
        learned, training, given = Learned.of(
            points, condition, pairs.observed,
            bounds=self.bounds, regresses=regression, share=self.components,
            scored=regression and scores(self.model, points, condition),
            beside=regression and sees_guess(self.model, points, lifts=self._pairing.lifts),
        )  # fmt: skip
        validation: dict[str, Any] = {}
        if held_out is not None:
            held = self._pairing.pairs("held_out", held_out, held_out_observations, generator)
            held.check_like(pairs)
            validation = learned.validation(held.residuals, held.condition)
        elif held_out_observations is not None:
            raise ValueError("held_out_observations need held_out, the images of them")
        before = self.model.fitted
        try:
            self.model.fit(
                training, given, **validation,
                out=out, on_start=lambda folder: self._save_problem(folder, learned), **how,
            )  # fmt: skip
        finally:
            if self.model.fitted is not before:  # it may have been interrupted
                self._fitted = learned
        return self

    def sample(self, observation: Any, n: int = 100, rng: Rng = None) -> Posterior:
        """Samples of the posterior, given an observation or several.

        Parameters
        ----------
        observation : array (*observation) or (m, *observation)
            A single one, or a batch.
        n : int
            How many samples of each; at least 2.
        rng : int, generator or None
            Draws the noise.

        Returns
        -------
        Posterior
            With samples (n, *image), or (m, n, *image) of a batch.

        Raises
        ------
        TypeError, ValueError
            If the observation does not fit the problem.
        RuntimeError
            If the model is not trained.

        Notes
        -----
        The solver takes all m n points in one pass, some thousand at a time. A warning names the
        first column of an observation that is outside the training observations by more than a
        tenth of their range: the posterior is extrapolated there. One column with heavy tails that
        is far out, even within that range, may spoil all parameters; checks such as `metrics.sbc`
        average over observations and do not find it.
        """
        observed = self._observed()
        batch, single = observed.batch(observation)
        samples = self._drawn(batch, check_count("n", n, minimum=2), rng)
        if single:
            return Posterior(samples[0], batch[0], self.problem)
        return Posterior(samples, batch, self.problem, batched=True)

    def log_prob(self, points: Any, observation: Any, *, n_steps: int | None = None) -> Floats:
        r"""Log-density of the posterior at vectors, in their units; -inf outside the bounds.

        .. math:: \log p(\theta \mid q) = \log p_z(T(\theta) - g(q) \mid q)
                  + \log |T'(\theta)|

        with the transform T of parameters, the regression g and the density of the flow.

        Parameters
        ----------
        points : array (n, d)
            Parameters.
        observation : array (*observation) or (m, *observation)
            One for all points; or a batch, of which there is one for each point if m = n and
            points are (n, d), and which are each combined with n points of an array (m, n, d).
        n_steps : int, optional
            Of the ODE solver, in place of the settings' `sampling_steps`.

        Returns
        -------
        array (n,) or (m, n)
            In nats.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            If points or observations do not fit; if the model is no `FlowMatching`, of images or
            of principal components, which have no density; or is not trained.

        Notes
        -----
        The network is differentiated d times a call: for small d. Outside the training
        observations it warns as `sample` does. Within about a thousandth of the width from a bound
        log_prob tends to be too high: |T'| grows without limit there, and is cancelled only by
        tails of the flow that few training points show.
        """
        observed, learned, model = self._observed(), self._learned, self.model
        known = () if model.fitted is None else model.fitted.description.shape
        if not isinstance(model, FlowMatching) or self.components is not None or len(known) != 1:
            raise ValueError(
                "log_prob needs a FlowMatching of vectors, without components, got "
                f"{type(model).__name__} of shape {known}, components={self.components}"
            )
        batch, single = observed.batch(observation)
        theta, shape = as_parameters(points, known[0], len(batch), single)
        self._warn_beyond(batch)
        rows = np.arange(len(theta)) * len(batch) // len(theta)
        logs = learned.log_density(
            theta,
            self._pairing.condition(batch)[0][rows],
            lambda z, given: np.asarray(model.log_likelihood(z, given, n_steps=n_steps)),
        )
        return logs.reshape(shape)

    def first_guess(self, observations: Any) -> Floats:
        """The first guess, to which samples add the output of the networks.

        Parameters
        ----------
        observations : array (m, *observation) or (*observation)
            Any number of them, or a single one.

        Returns
        -------
        array (m, d) or (m, C, H, W)
            Lifts or regressions, without the first axis for a single observation; for vectors
            without a regression, the middle of those of the training.

        Raises
        ------
        TypeError, ValueError
            If observations do not fit the problem.
        RuntimeError
            If the regression is not learned yet.
        """
        if self._fitted is None and self.guess == "lift" and self.problem is not None:
            lifted = self.problem.lift(as_host("observations", observations))
            if lifted.ndim > 2:
                return np.asarray(lifted)
        batch, single = self._observed().batch(observations, "observations")
        condition, lifts = self._pairing.condition(batch)
        guess = self._learned.guess(condition, lifts, self._shape(lifts))
        return guess[0] if single else guess

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
        problem: Problem | Operator | Callable[..., Any] | None = None,
        *,
        network: nn.Module | None = None,
        embedding: nn.Module | None = None,
        device: str | None = None,
    ) -> Self:
        """Read what `save` or `fit` wrote.

        Parameters
        ----------
        folder : path
            Of the run.
        problem : Problem, Operator or callable, optional
            In place of the folder's, which holds no code of functions.
        network, embedding : Module, optional
            Of the same layers, where the posterior was trained with one of the user's own.
        device : str, optional
            Device of the networks.

        Raises
        ------
        OSError, ValueError
            If there is no such run, it is damaged, or it holds no posterior.
        """
        RunFolder(folder).settings()
        path = Path(folder) / PROBLEM
        if not Learned.is_in(path.parent) or (problem is None and not path.is_file()):
            raise ValueError(f"{folder} holds no {PROBLEM}: it is no run of a posterior")
        model = load(folder, network=network, embedding=embedding, device=device)
        assert model.fitted is not None
        known = model.fitted.description
        if known.conditions is None:
            raise ValueError(f"{folder} holds a model without conditions: it is no posterior")
        how, learned = Learned.load(path.parent, math.prod(known.shape), known.conditions.shape)
        sampler = cls(read_problem(path) if problem is None else problem, model, **how)
        sampler._fitted = learned
        if learned.parameters is not None:
            sampler.bounds = learned.parameters.bounds
        return sampler

    @property
    def _pairing(self) -> Pairing:
        return Pairing(self.problem, self.crop)

    @property
    def _learned(self) -> Learned:
        """What was fitted; nothing besides the model, where that was given trained."""
        if self._fitted is not None:
            return self._fitted
        if self.model.fitted is None or self.guess == "regression" or self.components is not None:
            raise RuntimeError("this posterior is not trained: call fit, or load one")
        return Learned()

    def _observed(self) -> Observed:
        """The shape of one observation, by what was fitted or what the networks are of."""
        fitted = self.model.fitted
        if fitted is None or fitted.description.conditions is None:
            raise RuntimeError("this posterior is not trained: call fit, or load one")
        if self._learned.observed is not None:
            return Observed(self._learned.observed, any_size=self.crop is not None)
        return self._pairing.of_one(fitted.description.conditions.shape)

    def _warn_beyond(self, batch: Floats) -> None:
        """Warn once where vectors lie outside the training observations."""
        if self._learned.range is not None:
            self._learned.range.warn_beyond(batch)

    def _drawn(self, batch: Floats, n: int, rng: Rng) -> Floats:
        """Samples (m, n, *image) for observations (m, *observation)."""
        self._warn_beyond(batch)
        condition, lifted = self._pairing.condition(batch)
        learned, shape = self._learned, self._shape(lifted)
        base = learned.base(condition, lifted)
        condition = learned.seen(condition, base)
        together = max(1, _MOST_CONDITIONS // (n * condition[0].size))
        if len(batch) > together:
            rng = as_generator(rng)
        drawn = []
        for first in range(0, len(batch), together):
            some = condition[first : first + together]
            given = some[0] if len(some) == 1 else np.repeat(some, n, axis=0)
            z = np.asarray(self.model.sample(len(some) * n, given, rng))
            z = z.reshape(len(some), n, -1)
            drawn.append(learned.expanded(z, base[first : first + len(some)], shape))
        return np.concatenate(drawn)

    def _shape(self, lifted: Floats | None) -> tuple[int, ...]:
        """That of an image, or of a vector."""
        if self._learned.shape is not None and self.crop is None:
            return self._learned.shape
        if lifted is not None:
            return lifted.shape[1:]
        assert self.model.fitted is not None
        return (-1,) if self._learned.components else self.model.fitted.description.shape

    def _save_problem(self, folder: Path, learned: Learned) -> None:
        problem = self.problem
        known = problem is not None and not isinstance(problem.operator, Function)
        write_json(folder / PROBLEM, problem.settings() if problem and known else {})
        learned.save(folder, self.components, self.crop)
