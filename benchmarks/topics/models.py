"""All models beside each other: class by class on digits, after equal CPU time of training.

Draws models_digits_<model>.png.
"""

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any
from unittest import mock

import numpy as np

from energyflow import datasets, metrics
from energyflow.datasets import Dataset
from energyflow.models import DMMD, FlowGenerator, FlowMatching, Model, save_grid

from ..runner import Line, Run, Topic
from ..timing import cpu_seconds

OPTIONS = {"seconds": "of training, on the CPU"}
TOPIC = Topic("models", "All models at equal budgets", __doc__, threads=1, options=OPTIONS)
Trained = tuple[Model[Any], float]  # and the CPU seconds that it took
MEASURES = (
    "samples of the class asked for",
    "energy distance over that of real data",
    "accuracy when trained on samples",
)


def _fitted(model: Model[Any], data: Dataset, **how: Any) -> Trained:
    return cpu_seconds(lambda: model.fit(data.train, data.train_labels, progress=False, **how))


def by_steps(make: Callable[..., Model[Any]], data: Dataset, seed: int, seconds: float) -> Trained:
    """Train by as many steps as fit the time, found by two trials: a schedule has a known end."""

    def fitted(n_steps: int) -> Trained:
        return _fitted(make(n_steps=n_steps, n_rounds=1, seed=seed, device="cpu"), data)

    _, few, many = (fitted(n)[1] for n in (20, 20, 220))  # the first one compiles
    return fitted(max(1, int(20 + 200 * (seconds - few) / (many - few))))


def by_budget(make: Callable[..., Model[Any]], data: Dataset, seed: int, seconds: float) -> Trained:
    """Train by the model's own budget, told in seconds of the CPU."""
    with mock.patch("energyflow.models.training.trainer.perf_counter", process_time):
        return _fitted(make(seed=seed, device="cpu"), data, budget=seconds)


METHODS: dict[str, tuple[Callable[..., Trained], Callable[..., Model[Any]], int | None]] = {
    "FlowGenerator": (by_budget, lambda **s: FlowGenerator(preset="digits", **s), None),
    "DMMD, particles": (by_steps, DMMD, 120),
    "FlowMatching, none": (by_steps, lambda **s: FlowMatching(coupling="none", **s), 40),
    "FlowMatching, conditional-ot": (
        by_steps, lambda **s: FlowMatching(coupling="conditional-ot", **s), 40,
    ),
}  # fmt: skip


@TOPIC("digits")
def digits(run: Run, *, seconds: float = 180.0) -> Iterator[Line]:
    """The class asked for, and the energy distance over that of real data, for every model."""
    data = datasets.load("digits")
    seconds = 5.0 if run.quick else seconds
    for method, (train, make, calls) in METHODS.items():
        model, taken = train(make, data, run.seed, seconds)
        report = metrics.evaluate(model, data, labels="data", rng=run.seed)
        values = {row.measure: row.samples for row in report.rows}
        numbers = {measure: values[measure] for measure in MEASURES}
        numbers["CPU s of training"] = taken
        numbers["network calls a sample"] = calls or model.n_trained
        note = f"{seconds:g} CPU seconds of training each"
        yield Line("digits, class by class", method, numbers, note)
        name = method.lower().replace(",", "").replace(" ", "_")
        grid = np.asarray(model.sample(100, np.arange(100) // 10, rng=run.seed))
        save_grid(run.out / f"models_digits_{name}.png", grid)
