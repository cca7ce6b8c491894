"""The README's posterior at less and more training: two normal numbers whose sum is seen.

Given the sum y, seen with noise of variance 1/4, both have mean 4 y / 9, standard deviation
sqrt(5) / 3 and correlation -4/5, and their sum has standard deviation sqrt(2) / 3.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from energyflow import inverse

from ..runner import Experiments, Line, Run
from ..timing import cpu_seconds

EXPERIMENTS = Experiments()
OBSERVED = (0.0, 1.0, 3.0)
CAP = 2500  # network steps of a posterior from 2000 pairs, by default
FRESH = 5000  # pairs on which intervals are tried
DRAWN = 19  # samples for an interval: as many ranks as samples, and one


@EXPERIMENTS("sum")
def observed_sum(run: Run) -> Iterator[Line]:
    """Largest errors over three observations, and the share of intervals of the sum that hold."""
    for share in (0.5, 1.0):
        yield from _trained(run, f"{share:g} times the steps", int(share * CAP))
    yield from _trained(run, "4 times, no early stopping", 4 * CAP, early_stopping=False)


def _trained(run: Run, method: str, n_steps: int, **settings: Any) -> Iterator[Line]:
    rng = np.random.default_rng([run.seed, 9])
    problem = inverse.Linear([[1.0, 1.0]]) + inverse.Gaussian(0.5)
    points = np.random.default_rng(run.seed).normal(size=(2000, 2)).astype(np.float32)
    flow = inverse.PosteriorFlow(
        problem, n_steps=60 if run.quick else n_steps, seed=run.seed, device="cpu", **settings
    )
    _, seconds = cpu_seconds(lambda: flow.fit(points, rng=run.seed, progress=False))
    errors = [_errors(flow, y, run.seed) for y in OBSERVED]
    numbers = {f"mean at {y:g}": e.pop("mean") for y, e in zip(OBSERVED, errors, strict=True)}
    numbers |= {name: max(error[name] for error in errors) for name in errors[0]}
    covered = _coverage(flow, rng, 100 if run.quick else FRESH)
    yield Line(
        "the sum of two numbers, 2000 pairs", method, numbers | covered | {"CPU s": seconds},
        "errors; those of sd in shares of the exact one, and the largest of three observations",
    )  # fmt: skip


def _errors(flow: inverse.PosteriorFlow, y: float, seed: int) -> dict[str, float]:
    """Of the moments of 20,000 samples."""
    samples = flow.sample(np.array([y]), 20_000, rng=seed).samples.astype(np.float64)
    sd, total = samples.std(axis=0), samples.sum(axis=1).std()
    return {
        "mean": np.abs(samples.mean(axis=0) - 4 * y / 9).max(),
        "sd": np.abs(sd / (np.sqrt(5) / 3) - 1).max(),
        "correlation": abs(np.corrcoef(samples.T)[0, 1] + 0.8),
        "sd of the sum": abs(total / (np.sqrt(2) / 3) - 1),
    }


def _coverage(flow: inverse.PosteriorFlow, rng: np.random.Generator, n: int) -> dict[str, float]:
    """Shares of n fresh pairs whose sum is in the interval that holds so much of its samples."""
    assert flow.problem is not None
    truths = rng.normal(size=(n, 2)).astype(np.float32)
    seen = flow.problem.simulate(truths, rng)
    sums = flow.sample(seen, DRAWN, rng=rng).samples.sum(axis=2)
    places = (np.sum(sums < truths.sum(axis=1)[:, None], axis=1) + 0.5) / (DRAWN + 1)
    return {
        f"coverage of {level:.0%}": float(np.mean(np.abs(places - 0.5) < level / 2))
        for level in (0.5, 0.9)
    }
