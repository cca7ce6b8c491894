"""Networks that sample the posterior of an inverse problem for any observation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .._core.checks import check_array, check_choice, check_count
from .._core.files import read_json, write_json
from .._core.random import as_generator
from ..models import FlowGenerator, Model, RunFolder, load
from ._base import Problem
from ._components import Components, checked_share
from ._posterior import Posterior
from ._regression import Regression

PROBLEM = "problem.json"
GUESS = "guess.json"
REGRESSION = "regression.npz"
COMPONENTS = "components.npz"
_GUESSES = ("lift", "regression")
Floats = NDArray[np.floating]


class PosteriorFlow:
    r"""A conditional model of pairs that a problem simulates.

    Vectors p are learned with their observations q as conditions. Of images it is the difference
    to the lifted observation that is learned, with the lift as the condition:

    .. math:: (p - A^\dagger q, \; A^\dagger q) , \qquad \text{sample} = A^\dagger q + z .

    Given q that is a shift of the posterior; the flow need not learn what the lift shows already,
    and the networks see every condition on the grid of the image. With ``guess="regression"`` it
    is the difference to a linear regression of the images on their lifts, see `Regression`, and of
    vectors on their observations.

    Parameters
    ----------
    problem : Problem
        How images are observed.
    model : FlowGenerator, optional
        What learns; made of the settings when not given.
    guess : "lift" or "regression"
        What is learned is the difference to it. A regression is the better guess of small images,
        and costs O(d^3) for d pixels.
    components : float, optional
        The flow moves the principal components of what is learned that keep this share of its
        variance, each in units of its own spread: 0.99 is good for images without a UNet. All
        pixels when not given.
    **settings
        Of `FlowGenerator`.

    Raises
    ------
    TypeError, ValueError
        Settings that are unknown or out of range; a model and settings.

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
        guess: Literal["lift", "regression"] = "lift",
        components: float | None = None,
        **settings: Any,
    ) -> None:
        if model is not None and settings:
            raise ValueError(f"settings belong to the model, got both: {', '.join(settings)}")
        self.problem = problem
        self.model: Model[Any] = FlowGenerator(**settings) if model is None else model
        self.guess = check_choice("guess", guess, _GUESSES)
        self.components = checked_share(components)
        self._regression: Regression | None = None
        self._components: Components | None = None

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
            Of the images; simulated when not given.
        held_out : array (m, *image), optional
            Images that samples are compared with after each stage.
        rng : int
            Seed of the simulated noise.
        out : path, optional
            The run's folder; the problem is kept in it too.
        **how
            Of `Model.fit`: `resume`, `budget`, `patience`, `name`, `progress`.

        Returns
        -------
        PosteriorFlow
            Itself.

        Raises
        ------
        TypeError, ValueError, OSError
            As `Model.fit`, and images that the problem cannot observe.
        """
        generator = as_generator(rng)
        if observations is None:
            observations = self.problem.simulate(images, generator)
        points, condition = self._pairs(images, observations)
        if self.guess == "regression":
            self._regression, points = Regression.fit(points, condition)
        if self.components is not None:
            self._components = Components.of(points, self.components)
        judges: dict[str, Any] = {}
        if held_out is not None:
            check_array("held_out", held_out)
            seen = self.problem.simulate(held_out, generator)
            if held_out.shape[1:] != images.shape[1:]:
                raise ValueError(
                    f"held_out must be of the images' shape {images.shape[1:]}, "
                    f"got {held_out.shape[1:]}"
                )
            condition_held, lifted = self._seen(seen)
            points_held = held_out - self._guess(condition_held, lifted)
            judges = {"held_out": self._reduced(points_held), "held_out_condition": condition_held}
        self.model._begun = self._save_problem
        try:
            self.model.fit(self._reduced(points), condition, **judges, out=out, **how)
        finally:
            del self.model._begun
        return self

    def sample(
        self, observation: Floats, n: int = 100, rng: int | np.random.Generator | None = None
    ) -> Posterior:
        """Samples of the posterior, given an observation.

        Parameters
        ----------
        observation : NumPy array (*observation)
            A single one.
        n : int
            How many samples.
        rng : int, numpy.random.Generator or None
            Where the noise comes from.

        Returns
        -------
        Posterior

        Raises
        ------
        TypeError, ValueError
            An observation that does not fit.
        RuntimeError
            The model is not trained.
        """
        n = check_count("n", n, minimum=2)
        check_array("observation", observation)
        one = np.asarray(observation, np.float32)[None]  # (1, *observation)
        condition, lifted = self._seen(one)
        beyond = np.asarray(self.model.sample(n, condition[0], rng))
        if self._components is not None:
            beyond = self._components.expand(beyond)
        guess = self._guess(condition, lifted)
        if guess.ndim > 2:
            beyond = beyond.reshape(n, *guess.shape[1:])
        return Posterior(guess + beyond, one[0], self.problem)

    def first_guess(self, observations: Floats) -> Floats:
        """What samples are the sum of, besides what the networks make.

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
            Observations that do not fit.
        RuntimeError
            The regression is not learned yet.
        """
        return self._guess(*self._seen(observations))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write model and problem to a new or empty folder.

        Raises
        ------
        OSError, ValueError, RuntimeError
            As `Model.save`.
        """
        with self.model._saving(folder) as new:
            self._save_problem(new)

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
            Where to put the networks.

        Raises
        ------
        OSError, ValueError
            There is no such run, it is damaged, or it holds no problem.
        """
        RunFolder(folder).settings()
        path = Path(folder) / PROBLEM
        if problem is None and not path.is_file():
            raise ValueError(f"{folder} holds no {PROBLEM}: it is no run of a posterior")
        model = load(folder, device=device)
        how = _read(path.with_name(GUESS))
        sampler = cls(problem or Problem.load(path), model, **how)
        if sampler.guess == "regression":
            sampler._regression = Regression.load(path.with_name(REGRESSION))
        if sampler.components is not None:
            sampler._components = Components.load(path.with_name(COMPONENTS))
        return sampler

    def _save_problem(self, folder: Path) -> None:
        write_json(folder / PROBLEM, self.problem.settings())
        write_json(folder / GUESS, {"guess": self.guess, "components": self.components})
        if self._regression is not None:
            self._regression.save(folder / REGRESSION)
        if self._components is not None:
            self._components.save(folder / COMPONENTS)

    def _reduced(self, points: Floats) -> Floats:
        """What the networks learn of points beyond the guess."""
        return points if self._components is None else self._components.reduce(points)

    def _pairs(self, images: Floats, observations: Floats) -> tuple[Floats, Floats]:
        """What is learned, and its conditions."""
        check_array("images", images)
        check_array("observations", observations)
        if len(images) != len(observations):
            raise ValueError(
                f"observations must be one for each of the {len(images)} images, "
                f"got {len(observations)}"
            )
        condition, lifted = self._seen(observations)
        if lifted.shape != images.shape:
            raise ValueError(
                f"observations must be of images of shape {images.shape[1:]}, "
                f"got those of shape {lifted.shape[1:]}"
            )
        return images if images.ndim == 2 else images - lifted, condition

    def _seen(self, observations: Floats) -> tuple[Floats, Floats]:
        """What the networks see (of vectors the observations, of images the lifts), and lifts."""
        lifted = self.problem.lift(observations)
        return observations if lifted.ndim == 2 else lifted, lifted

    def _guess(self, condition: Floats, lifted: Floats) -> Floats:
        vectors = lifted.ndim == 2
        base = np.zeros((len(condition), 1), condition.dtype) if vectors else lifted
        if self.guess == "lift":
            return base
        if self._regression is None:
            raise RuntimeError("the regression is not learned: call fit, or load a run")
        more = self._regression(condition)
        return base + (more if vectors else more.reshape(lifted.shape))


def _read(path: Path) -> dict[str, Any]:
    """What `_save_problem` wrote of the guess and its components."""
    try:
        found = read_json(path)
        check_choice("guess", found["guess"], _GUESSES)
        return {"guess": found["guess"], "components": checked_share(found["components"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: expected JSON with guess and components") from None
