"""How good samples of flow generators are: digits, toys in the plane, and what each setting does.

Writes generative.csv and generative.md; experiments that are not run keep their rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from energyflow import datasets, metrics, sliced_energy_distance
from energyflow._core import pictures as _pictures
from energyflow.datasets import Dataset
from energyflow.models import FlowGenerator, save_grid
from energyflow.models.training.run_folder import RunFolder

from .rows import Row, command, shown, write

RATIO = "energy distance over floor"


def main() -> None:
    parser = command("generative", __doc__, EXPERIMENTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, help="folder of runs on digits, kept and gone on with")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for name in arguments.names or EXPERIMENTS:
            with tempfile.TemporaryDirectory() as scratch:
                runs = arguments.runs or Path(scratch)
                rows = shown(EXPERIMENTS[name](seed, arguments.quick, runs, arguments.out))
            write(arguments.out / "generative.csv", "Flow generators", rows)


def digits(by_class: bool, seed: int, quick: bool, runs: Path, out: Path) -> Iterator[Row]:
    """The preset, as `energyflow train flow --data digits` runs it, for 15 or for 10 minutes."""
    data = datasets.load("digits")
    name = "digits-labels" if by_class else "digits"
    small = {"n_particles": 500, "n_blocks": 2, "network_steps": 50} if quick else {}
    model = FlowGenerator(preset="digits", seed=seed, device="cpu", **small)
    labels = data.train_labels if by_class else None
    run = RunFolder(runs / name)
    model.fit(
        data.train, labels, out=run.path, resume=True, budget="10m" if by_class else "15m",
        name="digits", progress=False,
    )  # fmt: skip
    given = np.arange(100) // 10 if by_class else None
    save_grid(out / f"generative_{name}.png", np.asarray(model.sample(100, given, rng=seed)))
    report = metrics.evaluate(model, data, labels="data" if by_class else None, rng=seed)
    note = f"{model.n_trained} networks, {run.records()[-1].seconds:.0f} s of training"
    experiment = "digits, class by class" if by_class else "digits"
    for row in report.rows:
        yield Row(experiment, "samples", seed, row.measure, row.samples, note)
        yield Row(experiment, "real data", seed, row.measure, row.real, note)


def toy(name: str, seed: int, quick: bool, runs: Path, out: Path) -> Iterator[Row]:
    """The preset for vectors on a toy: what 10,000 samples reach against as many new points."""
    n = 1000 if quick else 10_000
    small = {"n_particles": 1000, "n_blocks": 2, "network_steps": 100} if quick else {}
    data = datasets.load(name, seed=seed).train
    model = FlowGenerator(preset="toy", seed=seed, device="cpu", **small)
    begun = process_time()
    model.fit(data, progress=False)
    seconds = process_time() - begun
    new = datasets.load(name, n=20 * n, seed=seed + 1000)
    _, floor = _distance(new.train, new.test, n)
    clouds = {"samples": np.asarray(model.sample(20 * n, rng=seed)), "training data": data}
    _pictures.save_scatter(out / f"generative_{name}.png", clouds["samples"][:1500], data[:1500])
    note = f"{model.n_trained} networks; what sets of {n} points have on average"
    for method, cloud in clouds.items():
        error, noise = _distance(cloud, new.test, n)
        yield Row(f"toy: {name}", method, seed, "energy distance", error + noise, note)
        yield Row(f"toy: {name}", method, seed, RATIO, (error + noise) / floor, note)
    yield Row(f"toy: {name}", "real data", seed, "energy distance", floor, note)
    yield Row(f"toy: {name}", "samples", seed, "CPU seconds of training", seconds, note)


def _distance(x: np.ndarray, y: np.ndarray, n: int) -> tuple[float, float]:
    """Energy distance (U), and what the noise of n points of each adds to its V estimate.

    V exceeds U by E|x - x'| / N + E|y - y'| / M. Directions stand at equal angles, which is nearly
    exact in the plane.
    """
    m = min(len(x), len(y))
    pair = x[:m].astype(np.float64), y[:m].astype(np.float64)
    angles = np.pi * (np.arange(60) + 0.5) / 60
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    u, v = (
        float(sliced_energy_distance(*pair, projections=directions, estimator=estimator))
        for estimator in "UV"
    )
    return u, (v - u) * m / n


ABLATIONS: dict[str, dict[str, Any]] = {
    "all as it is": {},
    "momentum 0": {"momentum": 0.0},
    "16 slices": {"n_projections": 16},
    "256 slices": {"n_projections": 256},
    "independent slices": {"slicing": "iid"},
    "orthogonal slices": {"slicing": "orthogonal"},
    "one network for all blocks": {"one_network": True},
    "particles where the network put them": {"particles": "network"},
    "particles where the flow put them": {"particles": "flow"},
}


def ablations(seed: int, quick: bool, runs: Path, out: Path) -> Iterator[Row]:
    """Digits with one setting changed; blocks and network steps are the same for all.

    Unless a method says otherwise: momentum 0.7, 64 slices, a network a block, new noise a block.
    "Particles" are those of the last block, where the flow has put them (or the network, if the
    next block would go on from there).
    """
    data = datasets.load("digits")
    settings: dict[str, Any] = {"n_particles": 1500, "n_blocks": 4, "block_cap": 32}
    settings["network_steps"] = 300
    if quick:
        settings |= {"n_particles": 300, "n_blocks": 2, "network_steps": 20}
    for method, change in ABLATIONS.items():
        model = FlowGenerator(preset="digits", seed=seed, device="cpu", **(settings | change))
        with tempfile.TemporaryDirectory() as scratch:
            run = RunFolder(Path(scratch) / "run")
            begun = process_time()
            model.fit(data.train, out=run.path, progress=False)
            seconds = process_time() - begun
            state = run.state(model.n_trained - 1)
        particles = state["particles"] * state["data.scale"] + state["data.offset"]
        clouds = {
            "samples": np.asarray(model.sample(len(data.train), rng=seed)),
            "particles": particles.numpy()[: len(data.train)],
        }
        for cloud, points in clouds.items():
            yield Row("ablations", method, seed, f"{RATIO}, {cloud}", _ratio(points, data, seed))
        yield Row("ablations", method, seed, "CPU seconds", seconds)


def _ratio(samples: np.ndarray, data: Dataset, seed: int) -> float:
    """Energy distance to held-out data over that of real data, as `evaluate` measures it."""
    strata = np.concatenate([np.asarray(data.test_labels), np.asarray(data.train_labels)])
    report = metrics.energy_distance_report(
        samples, data.test, seed, real=data.train, strata=strata
    )
    return report.ratio


EXPERIMENTS: dict[str, Any] = {
    "digits": partial(digits, False),
    "digits-labels": partial(digits, True),
    "moons": partial(toy, "moons"),
    "eight-gaussians": partial(toy, "eight-gaussians"),
    "checkerboard": partial(toy, "checkerboard"),
    "ablations": ablations,
}


if __name__ == "__main__":
    main()
