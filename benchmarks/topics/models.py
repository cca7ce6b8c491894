"""All models beside each other: class by class on digits and on MNIST, at equal budgets.

Draws models_<data>_<model>.png.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from energyflow import datasets, metrics, sliced_energy_distance
from energyflow.datasets import Dataset
from energyflow.models import (
    DMMD,
    MODELS,
    FlowGenerator,
    FlowMatching,
    Model,
    RunFolder,
    UNet,
    load,
    save_grid,
)

from ..runner import Line, Run, Topic
from ..timing import cpu_seconds
from .dmmd import gradients

OPTIONS = {
    "seconds": "of training on digits, on the CPU",
    "mnist": "folder of MNIST's files",
    "budget": "of training on MNIST",
    "unconditional": "MNIST without its classes",
    "runs": "folder of runs on MNIST, such as dmmd-2m, dmmd-2m-1 of seed 1; missing ones are made",
}
TOPIC = Topic(
    "models", "All models at equal budgets", __doc__, threads=1, by_method=True, options=OPTIONS
)
Trained = tuple[Model[Any], float]  # and the CPU seconds that it took
MEASURES = (
    "samples of the class asked for",
    "energy distance over that of real data",
    "accuracy when trained on samples",
)


def trained(make: Callable[..., Model[Any]], data: Dataset, seed: int, seconds: float) -> Trained:
    """Train by as many steps as fit the time, found by two trials."""

    def fitted(n_steps: int) -> Trained:
        model, budget = make(seed=seed, device="cpu"), f"{n_steps} steps"
        return cpu_seconds(
            lambda: model.fit(data.train, data.train_labels, budget=budget, progress=False)
        )

    _, few, many = (fitted(n)[1] for n in (20, 20, 220))  # the first one compiles
    return fitted(max(1, int(20 + 200 * (seconds - few) / (many - few))))


METHODS: dict[str, tuple[Callable[..., Model[Any]], int | None]] = {
    "FlowGenerator": (lambda **s: FlowGenerator(preset="digits", **s), None),
    "DMMD, particles": (lambda **s: DMMD(n_rounds=1, **s), None),
    "FlowMatching, none": (lambda **s: FlowMatching(coupling="none", n_rounds=1, **s), 40),
    "FlowMatching, conditional-ot": (
        lambda **s: FlowMatching(coupling="conditional-ot", n_rounds=1, **s), 40,
    ),
}  # fmt: skip


@TOPIC("digits")
def digits(run: Run, *, seconds: float = 40.0) -> Iterator[Line]:
    """The class asked for, and the energy distance over that of real data, for every model."""
    data = datasets.load("digits")
    seconds = 5.0 if run.quick else seconds
    for method, (make, calls) in METHODS.items():
        model, taken = trained(make, data, run.seed, seconds)
        with gradients() as counts:
            report = metrics.evaluate(model, data, labels="data", rng=run.seed)
        values = {row.measure: row.samples for row in report.rows}
        numbers = {measure: values[measure] for measure in MEASURES}
        numbers["CPU s of training"] = taken
        if calls is None:
            calls = sum(counts) / report.n_samples if counts else model.n_trained
        numbers["network calls a sample"] = calls
        note = f"{seconds:g} CPU seconds of training each"
        yield Line("digits, class by class", method, numbers, note)
        name = method.lower().replace(",", "").replace(" ", "_")
        grid = np.asarray(model.sample(100, np.arange(100) // 10, rng=run.seed))
        save_grid(run.out / f"models_digits_{name}.png", grid)


@TOPIC("step")
def step(run: Run) -> Iterator[Line]:
    """A training step of images of 28 x 28 pixels beside a plain loop with the same network.

    The loop draws a batch at random and calls the network, AdamW and nothing else; no validation,
    no average of the weights. It also stands under autocast to bfloat16, as on GPUs, and with
    channels last. Turns of all, one after the other, after one that is not counted.
    """
    few, more, turns = (1, 3, 1) if run.quick else (5, 25, 5)
    rng = np.random.default_rng(run.seed)
    images = rng.random((2000, 1, 28, 28), np.float32)
    labels = rng.integers(10, size=len(images))

    def library(coupling: str, n_steps: int) -> None:
        FlowMatching(
            coupling=coupling, n_steps=n_steps, n_rounds=1, validation=0.0, sampling_steps=1,
            seed=run.seed, device="cpu",
        ).fit(images, labels, n_validation=2, progress=False)  # fmt: skip

    def plain(n_steps: int, *, mixed: bool = False, last: bool = False) -> None:
        x, given = torch.from_numpy(images), functional.one_hot(torch.from_numpy(labels)).float()
        order = torch.channels_last if last else torch.contiguous_format
        network = UNet(channels=16, residual_blocks=1).build((1, 28, 28), [(10,), (1,)])
        optimiser = torch.optim.AdamW(network.to(memory_format=order).parameters())
        for _ in range(n_steps):
            rows, t = torch.randint(len(x), (64,)), torch.rand(64, 1)
            noise, at = torch.randn(64, 1, 28, 28), t[:, :, None, None]
            point = torch.lerp(noise, x[rows], at).contiguous(memory_format=order)
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                velocity = network(point, given[rows], t)
            error = velocity.float() - (x[rows] - noise)
            optimiser.zero_grad()
            error.square().mean().backward()
            optimiser.step()

    loops: dict[str, Callable[[int], None]] = {
        "plain loop": plain,
        "plain loop, bfloat16": partial(plain, mixed=True),
        "plain loop, channels last": partial(plain, last=True),
        "FlowMatching, none": partial(library, "none"),
        "FlowMatching, conditional-ot": partial(library, "conditional-ot"),
    }
    taken: dict[str, list[float]] = {method: [] for method in loops}
    for turn in range(turns + 1):
        for method, loop in loops.items():
            seconds = [cpu_seconds(lambda n=n, loop=loop: loop(n))[1] for n in (few, more)]
            if turn:
                taken[method].append((seconds[1] - seconds[0]) / (more - few) / 64)
    medians = {method: float(np.median(values)) for method, values in taken.items()}
    for method, seconds in medians.items():
        over = seconds / medians["plain loop"]
        numbers = {"CPU ms an image": 1e3 * seconds, "over the plain loop": over}
        yield Line("a training step, 28 x 28 pixels", method, numbers)


@TOPIC("mnist-flow-matching", kind="flow-matching")
@TOPIC("mnist-flow-matching-uncoupled", kind="flow-matching", coupling="none")
@TOPIC("mnist-flow", kind="flow")
@TOPIC("mnist-dmmd", kind="dmmd")
def mnist(
    run: Run, kind: str, coupling: str = "", *, mnist: str = "", budget: str = "30m",
    unconditional: bool = False, runs: str = "",
) -> Iterator[Line]:  # fmt: skip
    """A run of `energyflow train <kind> --data <mnist> --condition labels --budget <budget>`.

    With `unconditional` without `--condition`; uncoupled with `--coupling none`. 5000 samples, of
    the classes of as many training digits, which stand beside them: their energy distance to 5000
    held-out digits, which are not quite like them, is what samples can reach. Left out without
    `mnist`.
    """
    if not mnist:
        print(f"{kind} on MNIST is left out: it needs --mnist")
        return
    data = datasets.load(mnist)
    n, budget = (100, "30s") if run.quick else (5000, budget)
    named = [kind, coupling and "uncoupled", unconditional and "unconditional", budget]
    name = "-".join(filter(None, named))
    with tempfile.TemporaryDirectory() if not runs else nullcontext(runs) as folder:
        kept = RunFolder(Path(folder) / (f"{name}-{run.seed}" if run.seed else name))
        if kept.path.exists():
            model = load(kept.path)
        else:
            given = {"coupling": coupling} if coupling else {}
            model = MODELS[kind](seed=run.seed, device="cpu", **given)
            model.fit(
                data.train, None if unconditional else data.train_labels, out=kept.path,
                budget=budget, name=mnist, progress=not run.quick,
            )  # fmt: skip
        finished = kept.records()
        unfinished = kept.inside(len(finished))  # a budget can end inside a stage
        record = unfinished[0] if unfinished else finished[-1]
    rng = np.random.default_rng([run.seed, 1])
    rows = rng.permutation(len(data.train))[:n]
    real, labels = data.train[rows], np.asarray(data.train_labels)[rows]
    held_out = data.test[rng.permutation(len(data.test))[:n]]
    asked = None if unconditional else labels
    samples, seconds = cpu_seconds(lambda: np.asarray(model.sample(n, asked, rng=run.seed)))
    by_class = np.concatenate([np.flatnonzero(labels == k)[:10] for k in range(10)])
    shown = samples[:100] if unconditional else samples[by_class]
    save_grid(run.out / f"models_mnist_{name}.png", shown)
    method = f"{kind} without coupling, {budget}" if coupling else f"{kind}, {budget}"
    note = f"{method}: {record.step} steps in {record.seconds:.0f} s"
    classifier = metrics.train_classifier(data.train, data.train_labels, seed=run.seed)
    compared = {"training digits": real, method: samples}
    measured = {k: _of_images(classifier, x, held_out) for k, x in compared.items()}
    floor = measured["training digits"]["energy distance"]
    for line, images in compared.items():
        numbers = measured[line]
        numbers["over that of training digits"] = numbers["energy distance"] / floor
        if not unconditional:
            shares = metrics.classifier_report(
                images, labels, data, classifier=classifier, seed=run.seed
            )
            numbers["samples of the class asked for"] = shares.asked
            numbers["accuracy when trained on samples"] = shares.trained_on_samples
        if line == method:
            near = metrics.nearest_neighbours(images, data.train, data.test)
            numbers["distance to nearest training digit"] = near.median
            numbers["that of held-out digits"] = near.held_out_median
            numbers["CPU ms a sample"] = 1e3 * seconds / n
        table = "MNIST, unconditional" if unconditional else "MNIST, class by class"
        yield Line(table, line, numbers, note if line == method else "")


def _of_images(classifier: Any, images: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """Energy distance (V) of images, and what the classifier's last hidden layer tells of them."""
    flat = (x.reshape(len(x), -1) for x in (images, held_out))
    x, y = classifier.features(images), classifier.features(held_out)
    precision, recall = metrics.precision_recall(y[:2500], x[:2500])
    return {
        "energy distance": float(sliced_energy_distance(*flat, n_projections=1000, rng=0)),
        "Fréchet distance": float(metrics.frechet_distance(x, y)),
        "kernel distance": float(metrics.kernel_distance(x, y)),
        "precision": float(precision),
        "recall": float(recall),
    }
