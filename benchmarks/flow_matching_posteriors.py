"""Posteriors of a mixture in R^5 that flow matching learns: the pairs, and how far samples are."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

import energyflow as ef
from energyflow import inverse
from energyflow.models import FlowMatching

from .posterior_known import Mixture, differences

PROBLEMS = {"mixture": (0.1, 0.1), "sharp": (1.0, 0.05)}  # strength of the operator, noise
PAIRS = 10_000
SAMPLES = 1000  # for each observation

Draw = Callable[[np.ndarray], np.ndarray]


class Posteriors:
    """Pairs of a mixture problem to learn from, and observations with known posteriors."""

    def __init__(self, name: str, seed: int, n_seen: int) -> None:
        strength, noise = PROBLEMS[name]
        self.task = Mixture(strength, noise, seed)
        rng = np.random.default_rng([seed, 8])
        self.problem = inverse.Linear(self.task.diagonal) + inverse.Gaussian(noise)
        self.x = self.task.prior(PAIRS, rng).astype(np.float32)
        self.y = np.asarray(self.problem.simulate(self.x, rng), np.float32)
        self.seen = self.problem.simulate(self.task.prior(100, rng), rng)[:n_seen]
        self.truths = [self.task.posterior(y, SAMPLES, rng) for y in self.seen]
        self._rng = rng

    def scores(self, draw: Draw) -> dict[str, float]:
        """Means over observations of what `differences` measures."""
        found = [
            differences(np.asarray(draw(y)), truth)
            for y, truth in zip(self.seen, self.truths, strict=True)
        ]
        return {measure: float(np.mean([f[measure] for f in found])) for measure in found[0]}

    def references(self) -> dict[str, dict[str, float]]:
        """Floor and prior."""
        return {
            "floor (truth)": self.scores(lambda y: self.task.posterior(y, SAMPLES, self._rng)),
            "prior": self.scores(lambda y: self.task.prior(SAMPLES, self._rng)),
        }

    def fitted(self, seed: int, n_steps: int, **settings: Any) -> tuple[FlowMatching, float]:
        """The model, and the CPU seconds of its training."""
        model = FlowMatching(
            n_steps=n_steps, n_rounds=1, seed=seed, device="cpu", preset="toy", **settings
        )
        sampler = inverse.PosteriorFlow(self.problem, model)
        begun = process_time()
        sampler.fit(self.x, self.y, progress=False)
        return model, process_time() - begun

    def energy(self, model: FlowMatching, n_steps: int, n_seen: int) -> float:
        """Mean energy distance (U) to the true posteriors by so many Euler steps."""
        distances = []
        for y, truth in zip(self.seen[:n_seen], self.truths, strict=False):
            drawn = model.sample(SAMPLES, y.astype(np.float32), 1, solver="euler", n_steps=n_steps)
            found = ef.energy_distance(drawn.astype(np.float64), truth, estimator="U")
            distances.append(float(found))
        return float(np.mean(distances))
