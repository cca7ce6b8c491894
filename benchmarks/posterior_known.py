"""Posteriors that are known: a linear Gaussian, Gaussian mixtures, toys, and the theorem's table.

Each experiment gives rows and, where it draws something, writes a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import energyflow as ef
from energyflow import inverse
from energyflow._core import pictures as _pictures
from energyflow.models import MLP

from .rows import Row

_SHOWN = 1.8  # how far pictures of particles reach


def linear_gaussian(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """X ~ N(0, 1) seen with noise, by the defaults of the flow: slope and sd of X given Y."""
    n, steps = (400, 800) if quick else (1000, 1500)
    for noise in (0.5, 0.1, 0.02):
        rng = np.random.default_rng([seed, 6])
        x = rng.normal(size=(n, 1))
        y = x + noise * rng.normal(size=(n, 1))
        begun = perf_counter()
        flow = ef.ConditionalFlow(x, y, rng=seed)
        start = rng.normal(size=(n, 1))
        reached = flow.run(start, y, steps, record_every=steps, progress=False).particles
        note = f"N = {n}, {steps} steps, {perf_counter() - begun:.0f} s"
        for method, points in (("sample", x), ("flow", reached)):
            slope, level = np.polyfit(y[:, 0], points[:, 0], 1)
            sd = np.std(points[:, 0] - slope * y[:, 0] - level)
            yield Row(f"linear Gaussian, noise {noise}", method, seed, "slope", slope, note)
            yield Row(f"linear Gaussian, noise {noise}", method, seed, "sd", float(sd), note)


class Mixture:
    """Ten Gaussians of variance 0.01 in R^5, seen through a diagonal with normal noise."""

    def __init__(self, strength: float, noise: float, seed: int) -> None:
        rng = np.random.default_rng([seed, 5])
        self.means = rng.uniform(-1, 1, (10, 5))
        self.variance = 0.01
        self.diagonal = strength / np.arange(1, 6)
        self.noise = noise

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


def mixture(
    strength: float, noise: float, name: str, seed: int, quick: bool, out: Path
) -> Iterator[Row]:
    """Sinkhorn divergence and energy distance of samples to the true posterior, means over
    observations.
    """
    task = Mixture(strength, noise, seed)
    rng = np.random.default_rng([seed, 8])
    problem = inverse.Linear(task.diagonal) + inverse.Gaussian(noise)
    sampler = inverse.PosteriorFlow(problem, **mixture_settings(seed, quick))
    begun = perf_counter()
    sampler.fit(task.prior(10_000, rng).astype(np.float32), rng=seed, progress=False)
    note = f"{sampler.model.n_trained} networks, {perf_counter() - begun:.0f} s of training"
    found: dict[tuple[str, str], list[float]] = {}
    for y in problem.simulate(task.prior(10 if quick else 100, rng), rng):
        truth = task.posterior(y, 1000, rng)
        samples = {
            "floor (truth)": task.posterior(y, 1000, rng),
            "prior": task.prior(1000, rng),
            "conditional flow": sampler.sample(y, 1000, rng).samples,
        }
        for method, points in samples.items():
            for measure, value in differences(points, truth).items():
                found.setdefault((method, measure), []).append(value)
    for (method, measure), values in found.items():
        yield Row(name, method, seed, measure, float(np.mean(values)), note)


def mixture_settings(seed: int, quick: bool) -> dict[str, Any]:
    """Settings of the generator for the mixtures.

    The weight of the conditions is half of what the data-driven one would be: they are mostly
    noise, and a smaller weight shows the narrow components to more of the slices.
    """
    small: dict[str, Any] = {"n_particles": 2000, "n_blocks": 3, "network_steps": 200}
    return {
        "n_particles": 10_000, "n_projections": 32, "n_blocks": 6, "network_steps": 700,
        "first_exponent": 4, "momentum": 0.9, "step_size": 0.4, "step_decay": 0.85,
        "condition_weight": 0.135, "architecture": MLP(width=128), "seed": seed, "device": "cpu",
        **(small if quick else {}),
    }  # fmt: skip


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


def toys(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """A ring and two moons, of which one coordinate is seen with noise: slices of posteriors."""
    from sklearn.datasets import make_moons

    n, steps = (500, 300) if quick else (2000, 1000)
    noise = 0.1
    rng = np.random.default_rng([seed, 2])
    angle = rng.uniform(0, 2 * np.pi, 50 * n)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.05 * rng.normal(size=(50 * n, 2))
    moons = make_moons(50 * n, noise=0.05, random_state=seed)[0] - np.array([0.5, 0.25])
    figure = _pictures._figure(11, 5)
    panels = figure.subplots(2, 4)
    for row, (name, plenty) in enumerate((("ring", ring), ("two moons", moons))):
        plenty_seen = plenty[:, :1] + noise * rng.normal(size=(len(plenty), 1))
        x, y = plenty[:n], plenty_seen[:n]
        flow = ef.ConditionalFlow(x, y, rng=seed)
        fresh = plenty_seen[n : 2 * n]
        reached = flow.run(
            rng.normal(size=(n, 2)), fresh, steps, record_every=steps, progress=False
        ).particles
        strays = np.mean(np.abs(reached).max(axis=1) > _SHOWN)
        panels[row, 0].scatter(*reached.T, s=2)
        panels[row, 0].set_title(f"{name}: particles ({strays:.1%} outside)", fontsize="small")
        panels[row, 0].set(xlim=(-_SHOWN, _SHOWN), ylim=(-_SHOWN, _SHOWN), aspect="equal")
        distances, floors, priors = [], [], []
        for k, level in enumerate((-0.7, 0.0, 0.7)):
            near = np.abs(fresh[:, 0] - level) < 0.1
            like = np.abs(plenty_seen[n:, 0] - level) < 0.1
            true = plenty[n:][like]
            mine = reached[near]
            distances.append(_energy(mine, true))
            floors.append(_energy(true[: len(mine)], true[len(mine) :]))
            priors.append(_energy(plenty[: len(mine)], true))
            axes = panels[row, k + 1]
            bins = np.linspace(-1.3, 1.3, 40)
            shown = {"bins": bins, "density": True}
            axes.hist(true[:, 1], **shown, color=_pictures.ASIDE, alpha=0.5, label="truth")
            axes.hist(mine[:, 1], **shown, color=_pictures.REACHED, histtype="step", label="flow")
            axes.set_title(f"second coordinate, seen {level:g}", fontsize="small")
        panels[row, 1].legend(fontsize="x-small")
        for method, values in (
            ("conditional flow", distances), ("floor (truth)", floors), ("prior", priors),
        ):  # fmt: skip
            note = f"N = {n}, {steps} steps; mean over three slices"
            yield Row(
                f"toy: {name}", method, seed, "energy distance (U)", float(np.mean(values)), note
            )
    _pictures._save(figure, out / "posterior_toys.png")


def _energy(x: np.ndarray, y: np.ndarray) -> float:
    return float(ef.energy_distance(x, y[:4000], estimator="U"))


_JOINT = "joint and posterior error"


def joint_table(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Joint and posterior error of a Gaussian over dimension, particles and steps.

    X ~ N(0, I) in R^d, Y = X + N(0, I) / 4. The posterior error is over the 50 particles nearest
    to each of 40 observations, brought to that observation and standardised; beside it that of as
    many true samples, and of the prior taken as the posterior.
    """
    sizes = ((1, 500), (2, 500)) if quick else ((1, 500), (1, 2000), (2, 500), (2, 2000), (5, 2000))
    for d, n in sizes:
        rng = np.random.default_rng([seed, d, n])
        x, start = rng.normal(size=(2, n, d))
        y = x + 0.5 * rng.normal(size=(n, d))
        flow = ef.ConditionalFlow(x, y, rng=seed)
        result: Any = start
        done = 0
        for steps in (50, 200, 400) if quick else (50, 200, 1000):
            result = flow.run(result, y, steps - done, record_every=steps, progress=False)
            done = steps
            pair = np.hstack([result.particles, y]), np.hstack([x, y])
            fresh = rng.normal(size=(n, d))
            other = np.hstack([fresh, fresh + 0.5 * rng.normal(size=(n, d))])
            method = f"d = {d}, N = {n}, {steps} steps"
            joint = float(np.sqrt(ef.energy_distance(*pair)))
            yield Row(_JOINT, method, seed, "joint sqrt(E) to the target", joint)
            held_out = float(np.sqrt(ef.energy_distance(pair[0], other)))
            yield Row(_JOINT, method, seed, "joint sqrt(E) to fresh pairs", held_out)
            for name, points in (
                ("posterior sqrt(E)", result.particles),
                ("of true samples", 0.8 * y + np.sqrt(0.2) * rng.normal(size=(n, d))),
                ("of the prior", rng.normal(size=(n, d))),
            ):
                white = (points - 0.8 * y) / np.sqrt(0.2)
                yield Row(_JOINT, method, seed, name, _posterior_error(white, y, rng))


def _posterior_error(white: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Root of the mean E (V) of standardised posteriors near 40 observations to N(0, I)."""
    normal = rng.normal(size=(2000, white.shape[1]))
    near = (np.argsort(((y - centre) ** 2).sum(1))[:50] for centre in y[:40])
    return float(np.sqrt(np.mean([ef.energy_distance(white[k], normal) for k in near])))


EXPERIMENTS = {
    "linear": linear_gaussian,
    "mixture": partial(mixture, 0.1, 0.1, "Gaussian mixture"),
    "sharp": partial(mixture, 1.0, 0.05, "Gaussian mixture, sharper"),
    "toys": toys,
    "joint": joint_table,
}
