"""Gaussian mixtures seen with noise, whose posteriors are known, and how far samples are."""

from collections.abc import Iterable

import numpy as np

import energyflow as ef
from energyflow import inverse

PROBLEMS = {"mixture": (0.1, 0.1), "sharp": (1.0, 0.05)}  # strength of the operator, noise


class Mixture:
    """Ten Gaussians of variance 0.01 in R^5, seen through a diagonal with normal noise."""

    def __init__(self, kind: str, seed: int) -> None:
        strength, self.noise = PROBLEMS[kind]
        rng = np.random.default_rng([seed, 5])
        self.means = rng.uniform(-1, 1, (10, 5))
        self.variance = 0.01
        self.diagonal = strength / np.arange(1, 6)
        self.problem = inverse.Linear(self.diagonal) + inverse.Gaussian(self.noise)

    def prior(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Samples (n, 5)."""
        noise = rng.normal(size=(n, 5)) * self.variance**0.5
        return self.means[rng.integers(10, size=n)] + noise

    def posterior(self, y: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """Samples (n, 5) given one observation (5,), in closed form."""
        precision = self.diagonal**2 / self.noise**2 + 1 / self.variance  # (5,)
        means = (self.diagonal * y / self.noise**2 + self.means / self.variance) / precision
        weights = (means**2 * precision).sum(1) / 2 - (self.means**2).sum(1) / (2 * self.variance)
        weights = np.exp(weights - weights.max())
        chosen = rng.choice(10, size=n, p=weights / weights.sum())
        return means[chosen] + rng.normal(size=(n, 5)) / np.sqrt(precision)


def differences(samples: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Of samples and the truth: divergence, distance and moments."""
    import torch
    from geomloss import SamplesLoss

    pair = samples.astype(np.float64), truth.astype(np.float64)
    loss = SamplesLoss("sinkhorn", p=2, blur=0.05, backend="tensorized")
    return {
        "Sinkhorn divergence": float(loss(*(torch.from_numpy(v).float() for v in pair))),
        "energy distance (U)": float(ef.energy_distance(*pair, estimator="U")),
        "error of the mean": float(np.linalg.norm(pair[0].mean(0) - pair[1].mean(0))),
        "error of the sd": float(np.linalg.norm(pair[0].std(0) - pair[1].std(0))),
    }


def mean_differences(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Means over pairs of samples and truths."""
    measured = [differences(samples, truth) for samples, truth in pairs]
    return {name: float(np.mean([m[name] for m in measured])) for name in measured[0]}
