"""Posteriors of a mixture in R^5 that flow matching learns: the pairs, and how far samples are."""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

import energyflow as ef
from energyflow import inverse
from energyflow.models import FlowMatching

from ..timing import cpu_seconds
from ._mixtures import Mixture, mean_differences

PAIRS = 10_000
SAMPLES = 1000  # for each observation


class Posteriors:
    """Pairs of a mixture problem to learn from, and observations with known posteriors."""

    def __init__(self, name: str, seed: int, n_observed: int) -> None:
        self.task = Mixture(name, seed)
        self.problem = self.task.problem
        rng = np.random.default_rng([seed, 8])
        self.x = self.task.prior(PAIRS, rng).astype(np.float32)
        self.y = np.asarray(self.problem.simulate(self.x, rng), np.float32)
        self.observed = self.problem.simulate(self.task.prior(100, rng), rng)[:n_observed]
        self.truths = [self.task.posterior(y, SAMPLES, rng) for y in self.observed]
        self._rng = rng

    def scores(
        self, draw: inverse.PosteriorFlow | Callable[[np.ndarray], np.ndarray], **how: Any
    ) -> dict[str, float]:
        """Mean differences to the true posteriors, of what is drawn, with other arguments of the
        model's `sample`.
        """
        if isinstance(draw, inverse.PosteriorFlow):
            draw = partial(_sampled, draw, how)
        pairs = zip(map(draw, self.observed), self.truths, strict=True)
        return mean_differences((np.asarray(samples), truth) for samples, truth in pairs)

    def references(self) -> dict[str, dict[str, float]]:
        """The least that can be reached, and the prior."""
        return {
            "floor (truth)": self.scores(lambda y: self.task.posterior(y, SAMPLES, self._rng)),
            "prior": self.scores(lambda y: self.task.prior(SAMPLES, self._rng)),
        }

    def fitted(
        self, seed: int, n_steps: int, **settings: Any
    ) -> tuple[inverse.PosteriorFlow, float]:
        """By flow matching, and the CPU seconds of its training."""
        model = FlowMatching(
            n_steps=n_steps, n_rounds=1, seed=seed, device="cpu", preset="toy", **settings
        )
        sampler = inverse.PosteriorFlow(self.problem, model)
        return sampler, self.fit(sampler)

    def fit(self, sampler: inverse.PosteriorFlow) -> float:
        """Train on the pairs: the CPU seconds that it takes."""
        return cpu_seconds(lambda: sampler.fit(self.x, self.y, progress=False))[1]

    def energy(self, sampler: inverse.PosteriorFlow, n_steps: int, n_observed: int) -> float:
        """Mean energy distance (U) to the true posteriors by so many Euler steps."""
        distances = []
        for y, truth in zip(self.observed[:n_observed], self.truths, strict=False):
            drawn = _sampled(sampler, {"solver": "euler", "n_steps": n_steps}, y)
            distance = ef.energy_distance(drawn.astype(np.float64), truth, estimator="U")
            distances.append(float(distance))
        return float(np.mean(distances))


def _sampled(sampler: inverse.PosteriorFlow, how: dict[str, Any], y: np.ndarray) -> np.ndarray:
    model = sampler.model
    with mock.patch.object(model, "sample", partial(model.sample, **how)):
        return np.asarray(sampler.sample(y.astype(np.float32), SAMPLES, rng=1).samples)
