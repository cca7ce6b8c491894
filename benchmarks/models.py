"""All models beside each other: class by class on digits, after equal CPU time of training.

Writes models.csv and models.md; seeds that are not run keep their rows. One thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any
from unittest import mock

import numpy as np

from energyflow import datasets, metrics
from energyflow.datasets import Dataset
from energyflow.models import DMMD, FlowGenerator, FlowMatching, Model, save_grid

from .machine import use_threads
from .rows import Row, command, shown, write

Make = Callable[..., Model[Any]]


def main() -> None:
    parser = command("models", __doc__, EXPERIMENTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=180.0, help="of training, on the CPU")
    arguments = parser.parse_args()
    use_threads(1)
    for name in arguments.names or EXPERIMENTS:
        budget = 5.0 if arguments.quick else arguments.seconds
        rows = shown(EXPERIMENTS[name](arguments.seed, budget, arguments.out))
        write(arguments.out / "models.csv", "All models at equal budgets", rows)


def digits(seed: int, seconds: float, out: Path) -> Iterator[Row]:
    """The class asked for, and the energy distance over that of real data, for every model."""
    data = datasets.load("digits")
    for method, (train, calls) in METHODS.items():
        begun = process_time()
        model, tried = train(data, seed, seconds)
        took = process_time() - begun - tried
        report = metrics.evaluate(model, data, labels="data", rng=seed)
        note = f"{seconds:g} CPU seconds of training each"
        found = {row.measure: row for row in report.rows}
        numbers = {
            "samples of the class asked for": found["samples of the class asked for"].samples,
            "energy distance over that of real data": found[
                "energy distance over that of real data"
            ].samples,
            "accuracy when trained on samples": found["accuracy when trained on samples"].samples,
            "CPU s of training": took,
            "network calls a sample": calls(model),
        }
        for measure, value in numbers.items():
            yield Row("digits, class by class", method, seed, measure, value, note)
        given = np.arange(100) // 10
        name = method.lower().replace(",", "").replace(" ", "_")
        save_grid(out / f"models_digits_{name}.png", np.asarray(model.sample(100, given, rng=seed)))


def by_steps(make: Make) -> Callable[[Dataset, int, float], tuple[Model[Any], float]]:
    """Train by as many steps as fit the time, found by two trials: a schedule has a known end."""

    def train(data: Dataset, seed: int, seconds: float) -> tuple[Model[Any], float]:
        def fitted(n_steps: int) -> tuple[Model[Any], float]:
            begun = process_time()
            model = make(n_steps=n_steps, n_rounds=1, seed=seed, device="cpu")
            model.fit(data.train, data.train_labels, progress=False)
            return model, process_time() - begun

        warm = fitted(20)[1]
        few, many = (fitted(n)[1] for n in (20, 220))
        n_steps = max(1, int(20 + 200 * (seconds - few) / (many - few)))
        return fitted(n_steps)[0], warm + few + many

    return train


def by_budget(make: Make) -> Callable[[Dataset, int, float], tuple[Model[Any], float]]:
    """Train by the model's own budget, told in seconds of the CPU."""

    def train(data: Dataset, seed: int, seconds: float) -> tuple[Model[Any], float]:
        model = make(seed=seed, device="cpu")
        with mock.patch("energyflow.models.training.trainer.perf_counter", process_time):
            model.fit(data.train, data.train_labels, budget=seconds, progress=False)
        return model, 0.0

    return train


METHODS: dict[str, tuple[Any, Callable[[Any], int]]] = {
    "FlowGenerator": (
        by_budget(lambda **s: FlowGenerator(preset="digits", **s)),
        lambda m: m.n_trained,
    ),
    "DMMD, particles": (by_steps(DMMD), lambda m: 120),
    "FlowMatching, none": (by_steps(lambda **s: FlowMatching(coupling="none", **s)), lambda m: 40),
    "FlowMatching, conditional-ot": (
        by_steps(lambda **s: FlowMatching(coupling="conditional-ot", **s)),
        lambda m: 40,
    ),
}
EXPERIMENTS = {"digits": digits}

if __name__ == "__main__":
    main()
