"""Posteriors that are known: a linear Gaussian, Gaussian mixtures, toys, and a theorem's table."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

import energyflow as ef
from energyflow import inverse
from energyflow.models import MLP

from ..pictures import ASIDE, REACHED, figure
from ..runner import Experiments, Line, Run
from ._mixtures import Mixture, mean_differences

EXPERIMENTS = Experiments()
_SHOWN = 1.8  # how far pictures of particles reach


@EXPERIMENTS("linear")
def linear_gaussian(run: Run) -> Iterator[Line]:
    """X ~ N(0, 1) seen with noise, by the defaults of the flow: slope and sd of X given Y."""
    n, steps = (400, 800) if run.quick else (1000, 1500)
    for noise in (0.5, 0.1, 0.02):
        rng = np.random.default_rng([run.seed, 6])
        x = rng.normal(size=(n, 1))
        y = x + noise * rng.normal(size=(n, 1))
        begun = perf_counter()
        flow = ef.ConditionalFlow(x, y, rng=run.seed)
        start = rng.normal(size=(n, 1))
        reached = flow.run(start, y, steps, record_every=steps, progress=False).particles
        note = f"N = {n}, {steps} steps, {perf_counter() - begun:.0f} s"
        for method, points in (("sample", x), ("flow", reached)):
            slope, level = np.polyfit(y[:, 0], points[:, 0], 1)
            sd = np.std(points[:, 0] - slope * y[:, 0] - level)
            numbers = {"slope": slope, "sd": sd}
            yield Line(f"linear Gaussian, noise {noise}", method, numbers, note)


@EXPERIMENTS("mixture", kind="mixture", title="Gaussian mixture")
@EXPERIMENTS("sharp", kind="sharp", title="Gaussian mixture, sharper")
def mixture(run: Run, kind: str, title: str) -> Iterator[Line]:
    """Sinkhorn divergence and energy distance of samples to the true posterior, means over
    observations.
    """
    task = Mixture(kind, run.seed)
    rng = np.random.default_rng([run.seed, 8])
    sampler = inverse.PosteriorFlow(task.problem, **mixture_settings(run))
    begun = perf_counter()
    sampler.fit(task.prior(10_000, rng).astype(np.float32), rng=run.seed, progress=False)
    note = f"{sampler.model.n_trained} networks, {perf_counter() - begun:.0f} s of training"
    draws = {
        "floor (truth)": lambda y: task.posterior(y, 1000, rng),
        "prior": lambda y: task.prior(1000, rng),
        "conditional flow": lambda y: sampler.sample(y, 1000, rng).samples,
    }
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {method: [] for method in draws}
    for y in task.problem.simulate(task.prior(10 if run.quick else 100, rng), rng):
        truth = task.posterior(y, 1000, rng)
        for method, draw in draws.items():
            pairs[method].append((draw(y), truth))
    for method, samples in pairs.items():
        yield Line(title, method, mean_differences(samples), note)


def mixture_settings(run: Run) -> dict[str, Any]:
    """Settings of the generator for the mixtures.

    The weight of the conditions is half of what the data-driven one would be: they are mostly
    noise, and a smaller weight shows the narrow components to more of the slices.
    """
    small: dict[str, Any] = {"n_particles": 2000, "n_blocks": 3, "n_steps": 200}
    return {
        "n_particles": 10_000, "n_projections": 32, "n_blocks": 6, "n_steps": 700,
        "first_exponent": 4, "momentum": 0.9, "step_size": 0.4, "step_decay": 0.85,
        "condition_weight": 0.135, "architecture": MLP(width=128), "seed": run.seed,
        "device": "cpu", **(small if run.quick else {}),
    }  # fmt: skip


@EXPERIMENTS("toys")
def toys(run: Run) -> Iterator[Line]:
    """A ring and two moons, of which one coordinate is seen with noise: slices of posteriors."""
    from sklearn.datasets import make_moons

    n = 500 if run.quick else 2000
    rng = np.random.default_rng([run.seed, 2])
    angle = rng.uniform(0, 2 * np.pi, 50 * n)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.05 * rng.normal(size=(50 * n, 2))
    moons = make_moons(50 * n, noise=0.05, random_state=run.seed)[0] - np.array([0.5, 0.25])
    with figure(run.out / "posterior_toys.png", 11, 5) as drawn:
        for panels, name, points in zip(
            drawn.subplots(2, 4), ("ring", "two moons"), (ring, moons), strict=True
        ):
            yield from _toy(run, panels, name, points, n, rng)


def _toy(
    run: Run, panels: Any, name: str, points: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[Line]:
    steps = 300 if run.quick else 1000
    observed = points[:, :1] + 0.1 * rng.normal(size=(len(points), 1))
    fresh = observed[n : 2 * n]
    flow = ef.ConditionalFlow(points[:n], observed[:n], rng=run.seed)
    start = rng.normal(size=(n, 2))
    reached = flow.run(start, fresh, steps, record_every=steps, progress=False).particles
    strays = np.mean(np.abs(reached).max(axis=1) > _SHOWN)
    panels[0].scatter(*reached.T, s=2)
    panels[0].set_title(f"{name}: particles ({strays:.1%} outside)", fontsize="small")
    panels[0].set(xlim=(-_SHOWN, _SHOWN), ylim=(-_SHOWN, _SHOWN), aspect="equal")
    values: dict[str, list[float]] = {"conditional flow": [], "floor (truth)": [], "prior": []}
    shown = {"bins": np.linspace(-1.3, 1.3, 40), "density": True}
    for axes, level in zip(panels[1:], (-0.7, 0.0, 0.7), strict=True):
        mine = reached[np.abs(fresh[:, 0] - level) < 0.1]
        truth = points[n:][np.abs(observed[n:, 0] - level) < 0.1]
        pairs = (
            (mine, truth),
            (truth[: len(mine)], truth[len(mine) :]),
            (points[: len(mine)], truth),
        )
        for distances, (x, y) in zip(values.values(), pairs, strict=True):
            distances.append(float(ef.energy_distance(x, y[:4000], estimator="U")))
        axes.hist(truth[:, 1], **shown, color=ASIDE, alpha=0.5, label="truth")
        axes.hist(mine[:, 1], **shown, color=REACHED, histtype="step", label="flow")
        axes.set_title(f"second coordinate, seen {level:g}", fontsize="small")
    panels[1].legend(fontsize="x-small")
    note = f"N = {n}, {steps} steps; mean over three slices"
    for method, distances in values.items():
        numbers = {"energy distance (U)": float(np.mean(distances))}
        yield Line(f"toy: {name}", method, numbers, note)


@EXPERIMENTS("joint")
def joint_table(run: Run) -> Iterator[Line]:
    """Joint and posterior error of a Gaussian over dimension, particles and steps.

    X ~ N(0, I) in R^d, Y = X + N(0, I) / 4. The posterior error is over the 50 particles nearest
    to each of 40 observations, brought to that observation and standardised; beside it that of as
    many true samples, and of the prior taken as the posterior.
    """
    sizes = ((1, 500), (1, 2000), (2, 500), (2, 2000), (5, 2000))
    for d, n in ((1, 500), (2, 500)) if run.quick else sizes:
        rng = np.random.default_rng([run.seed, d, n])
        x, start = rng.normal(size=(2, n, d))
        y = x + 0.5 * rng.normal(size=(n, d))
        flow = ef.ConditionalFlow(x, y, rng=run.seed)
        result: Any = start
        done = 0
        for steps in (50, 200, 400) if run.quick else (50, 200, 1000):
            result = flow.run(result, y, steps - done, record_every=steps, progress=False)
            done = steps
            pair = np.hstack([result.particles, y]), np.hstack([x, y])
            fresh = rng.normal(size=(n, d))
            other = np.hstack([fresh, fresh + 0.5 * rng.normal(size=(n, d))])
            numbers = {
                "joint sqrt(E) to the target": np.sqrt(ef.energy_distance(*pair)),
                "joint sqrt(E) to fresh pairs": np.sqrt(ef.energy_distance(pair[0], other)),
            }
            for name, points in (
                ("posterior sqrt(E)", result.particles),
                ("of true samples", 0.8 * y + np.sqrt(0.2) * rng.normal(size=(n, d))),
                ("of the prior", rng.normal(size=(n, d))),
            ):
                numbers[name] = _posterior_error((points - 0.8 * y) / np.sqrt(0.2), y, rng)
            yield Line("joint and posterior error", f"d = {d}, N = {n}, {steps} steps", numbers)


def _posterior_error(white: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Root of the mean E (V) of standardised posteriors near 40 observations to N(0, I)."""
    normal = rng.normal(size=(2000, white.shape[1]))
    near = (np.argsort(((y - centre) ** 2).sum(1))[:50] for centre in y[:40])
    return float(np.sqrt(np.mean([ef.energy_distance(white[k], normal) for k in near])))
