"""Posteriors of small digits, half seen or by class.

Posteriors are not known here: samples are scored beside the lifted observation and the prior.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

from energyflow import datasets, inverse
from energyflow.models import MLP, FlowGenerator, save_grid

from ..runner import Experiments, Line, Run
from ._image_posteriors import scores

EXPERIMENTS = Experiments()
_SAMPLES = 50


@EXPERIMENTS("inpainting")
def inpainting(run: Run) -> Iterator[Line]:
    """Digits of 8 x 8 pixels, of which the lowest three rows are seen."""
    digits = datasets.load("digits")
    problem = inverse.Mask.rows((8, 8), 5, 8) + inverse.Gaussian(0.05)
    truths = digits.test[: 10 if run.quick else 100]
    sampler = inverse.PosteriorFlow(problem, **_digit_settings(run), seed=run.seed, device="cpu")
    begun = perf_counter()
    sampler.fit(digits.train, rng=run.seed, progress=False)
    note = trained(sampler.model, begun)
    rng = np.random.default_rng([run.seed, 1])
    seen = problem.simulate(truths, rng)
    posteriors = [sampler.sample(y, _SAMPLES, rng) for y in seen]
    posteriors[0].save_picture(run.out / "posterior_inpainting.png", truths[0])
    samples = np.stack([posterior.samples for posterior in posteriors])
    prior = digits.train[rng.integers(len(digits.train), size=samples.shape[:2])]
    yield from scores(
        "inpainting", problem, truths, seen,
        {"posterior": samples, "prior": prior}, {"lift": problem.lift(seen)}, note,
    )  # fmt: skip


@EXPERIMENTS("classes")
def classes(run: Run) -> Iterator[Line]:
    """Digits for each label: samples beside real ones, and whether a classifier agrees."""
    from sklearn.neighbors import KNeighborsClassifier

    digits = datasets.load("digits")
    model = FlowGenerator(**_digit_settings(run), seed=run.seed, device="cpu")
    begun = perf_counter()
    model.fit(digits.train, digits.train_labels, progress=False)
    note = trained(model, begun)

    def flat(images: np.ndarray) -> np.ndarray:
        return np.asarray(images).reshape(len(images), -1)

    labels = np.repeat(np.arange(10), 10)
    save_grid(run.out / "posterior_classes.png", model.sample(len(labels), labels, rng=run.seed))
    nearest = KNeighborsClassifier(3).fit(flat(digits.train), digits.train_labels)
    labels = np.repeat(np.arange(10), 30)
    samples = model.sample(len(labels), labels, rng=run.seed + 1)
    for method, images, expected in (
        ("class-conditional flow", samples, labels),
        ("real digits", digits.test, digits.test_labels),
    ):
        share = np.mean(nearest.predict(flat(images)) == expected)
        yield Line("digits by class", method, {"3 neighbours agree": share}, note)


def trained(model: Any, begun: float) -> str:
    """How many networks were trained, and how long that took."""
    return f"{model.n_trained} networks, {perf_counter() - begun:.0f} s of training"


def _digit_settings(run: Run) -> dict[str, Any]:
    particles, blocks, steps = (1000, 4, 200) if run.quick else (3000, 10, 500)
    return {
        "n_particles": particles, "n_projections": 64, "n_blocks": blocks, "n_steps": steps,
        "architecture": MLP(width=192, depth=2),
    }  # fmt: skip
