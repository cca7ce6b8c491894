"""Deep MMD flows: their samples beside flows with given kernels, and both ways of sampling.

Writes dmmd.csv and dmmd.md; experiments that are not run keep their rows.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energyflow import datasets, metrics
from energyflow._core import pictures as _pictures
from energyflow.datasets import Dataset
from energyflow.models import DMMD, DMMDSettings, save_grid
from energyflow.models.data.scaling import Scaling
from energyflow.models.dmmd.noise_schedule import weights_at
from energyflow.models.dmmd.sampler import FeaturesAt, Sampler
from energyflow.models.dmmd.settings import Sampling

from .machine import use_threads
from .memory import peak_memory
from .rows import RESULTS, Row, command, read, shown, write

_TOY_SAMPLES = 2000
_STEPS = 120  # those of `DMMD.sample`: 10 levels of 10, and 20
_LEAST_WIDTH = 0.1

Draw = Callable[[int], np.ndarray]


def main() -> None:
    parser = command("dmmd", __doc__, EXPERIMENTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    for name in arguments.names or EXPERIMENTS:
        rows = shown(EXPERIMENTS[name](arguments.seed, arguments.quick, arguments.out))
        write(arguments.out / "dmmd.csv", "Deep MMD flows", rows)


def samples(name: str, seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """All methods on one data set: energy distance (V) to held-out data, floor, cost."""
    data = datasets.load(name) if name == "digits" else datasets.load(name, n=10_000, seed=seed)
    n = len(data.train) if name == "digits" else _TOY_SAMPLES
    n = min(n, 300) if quick else n
    drawn: dict[str, np.ndarray] = {}
    for method, (draw, trained, evaluations) in _methods(data, seed, quick).items():
        begun = process_time()
        drawn[method] = draw(n)
        seconds = process_time() - begun
        found = _measured(drawn[method], data, seed)
        near = metrics.nearest_neighbours(drawn[method], data.train, data.test)
        numbers = {
            "energy distance": found.distance,
            "floor": found.floor,
            "ratio": found.ratio,
            "above the floor": found.distance - found.floor,
            "nearest training point": near.median,
            "that of real data": near.held_out_median,
            "copies": near.copies,
            "CPU s of training": trained,
            "CPU s of sampling": seconds,
            "gradients a sample": evaluations,
        }
        for measure, value in numbers.items():
            yield Row(name, method, seed, measure, value, f"{n} samples")
    if name == "digits":
        yield from _generator(seed)
    best = drawn["DMMD, particles"]
    if best.ndim == 4:
        for method in ("DMMD, particles", "DMMD, independent", "RBF, best step size"):
            save_grid(out / f"dmmd_{name}_{_file_name(method)}.png", drawn[method][:100])
    else:
        target = np.asarray(data.train)[:1500]
        _pictures.save_scatter(out / f"dmmd_{name}.png", best[:1500], target)


def _file_name(method: str) -> str:
    return method.lower().replace(",", "").replace(" ", "_")


def _methods(data: Dataset, seed: int, quick: bool) -> dict[str, tuple[Draw, float, float]]:
    """What draws samples, CPU seconds of its training, and gradients a sample costs."""
    found: dict[str, tuple[Draw, float, float]] = {}
    for name, (settings, features, how) in _given_kernels(data, seed).items():
        found[name] = (partial(_flow, data, seed, settings, features, how), 0.0, _STEPS)
    small = {"n_steps": 20, "n_rounds": 1} if quick else {}
    for kernel in ("energy", "linear") if data.name == "digits" else ("energy",):
        model, trained = _trained(DMMD(kernel=kernel, seed=seed, device="cpu", **small), data)
        name = "DMMD" if kernel == "energy" else "DMMD linear"
        found[f"{name}, particles"] = (partial(model.sample, rng=seed), trained, _STEPS)
        alone = partial(model.sample, rng=seed, method="independent")
        found[f"{name}, independent"] = (alone, trained, 100)
        if kernel == "energy":
            polished = partial(alone, denoise=20)
            found[f"{name}, independent, then 20 together"] = (polished, trained, _STEPS)
        else:
            kale = partial(model.sample, rng=seed, objective="kale")
            found["D-KALE linear, particles"] = (kale, trained, _STEPS)
    return found


def _trained(model: Any, data: Dataset) -> tuple[Any, float]:
    begun = process_time()
    model.fit(data.train, progress=False)
    return model, process_time() - begun


def _given_kernels(
    data: Dataset, seed: int
) -> dict[str, tuple[DMMDSettings, FeaturesAt, Sampling]]:
    """Flows without a network, whose features are the points themselves."""
    points, _ = _standard(data)
    some = points[:2000].flatten(1)
    width = float(torch.pdist(some).median())
    fixed = DMMDSettings(kernel="rbf", bandwidths=(width,), seed=seed)
    unit = DMMDSettings(kernel="rbf", bandwidths=(1.0,), seed=seed)

    def scheduled(x: Tensor, t: float) -> Tensor:
        beta = float(weights_at("cosine", torch.tensor(t))[1])
        return x.flatten(1) / (width * max(beta, _LEAST_WIDTH))

    def plain(x: Tensor, t: float) -> Tensor:
        return x.flatten(1)

    steps = {
        factor: Sampling(n_levels=1, n_steps=_STEPS, step_size=factor * width**2, denoise=0)
        for factor in (1.0, 2.0, 4.0, 8.0)
    }
    best = min(steps, key=lambda factor: _reached(data, seed, fixed, plain, steps[factor]))
    return {
        "RBF, best step size": (fixed, plain, steps[best]),
        "RBF, steps by noise level": (fixed, plain, Sampling()),
        "RBF, bandwidth by noise level": (unit, scheduled, Sampling()),
        "energy distance, no network": (DMMDSettings(seed=seed), plain, Sampling()),
    }


def _reached(
    data: Dataset, seed: int, settings: DMMDSettings, features: FeaturesAt, how: Sampling
) -> float:
    """The energy distance to the training data that a flow reaches."""
    found = _flow(data, seed, settings, features, how, 1000)
    flat = np.asarray(data.train)[:2000].reshape(-1, found[0].size)
    return metrics.energy_distance_report(found.reshape(len(found), -1), flat, n_repeats=1).distance


def _flow(
    data: Dataset,
    seed: int,
    settings: DMMDSettings,
    features: FeaturesAt,
    how: Sampling,
    n: int,
) -> np.ndarray:
    points, scaling = _standard(data)
    drawn = Sampler(features, points, settings, how).draw(n, np.random.default_rng(seed))
    return scaling.undo(drawn).numpy()


def _standard(data: Dataset) -> tuple[Tensor, Scaling]:
    points = torch.from_numpy(np.asarray(data.train)).float()
    scaling = Scaling.standard(points)
    return scaling.apply(points), scaling


def _measured(found: np.ndarray, data: Dataset, seed: int) -> Any:
    strata = None
    if data.stratified and data.train_labels is not None:
        strata = np.concatenate([np.asarray(data.test_labels), np.asarray(data.train_labels)])
    return metrics.energy_distance_report(found, data.test, seed, real=data.train, strata=strata)


def sampling(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Particles and independent samples of digits: quality, time and memory, by their number."""
    data = datasets.load("digits")
    small = {"n_steps": 20, "n_rounds": 1} if quick else {}
    model, _ = _trained(DMMD(seed=seed, device="cpu", **small), data)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        yield from _ways(Path(folder), data, seed, (100, 300) if quick else (500, 2000))


def _ways(folder: Path, data: Dataset, seed: int, numbers: Sequence[int]) -> Iterator[Row]:
    """Each in a process of its own, for memory that was used once is kept."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for n, method in product(numbers, ("particles", "independent")):
            found, seconds, extra = pool.submit(_drawn_alone, folder, n, method, seed).result()
            name = f"{method}, {n}"
            yield Row("sampling", name, seed, "ratio", _measured(found, data, seed).ratio)
            yield Row("sampling", name, seed, "CPU s", seconds)
            yield Row("sampling", name, seed, "extra MB at the peak", extra / 1e6)


def _drawn_alone(folder: Path, n: int, method: Any, seed: int) -> tuple[np.ndarray, float, int]:
    use_threads(1)
    model = DMMD.load(folder, device="cpu")
    model.sample(1, rng=seed, method="independent", n_levels=1, n_steps=1)
    begun = process_time()
    found, extra = peak_memory(partial(model.sample, n, rng=seed, method=method))
    return np.asarray(found), process_time() - begun, extra


def _generator(seed: int) -> Iterator[Row]:
    """What `benchmarks.generative` has found for digits, measured in the same way."""
    names = {
        "energy distance to held-out data": "energy distance",
        "energy distance over that of real data": "ratio",
        "distance to nearest training point": "nearest training point",
    }
    for row in read(RESULTS / "generative.csv"):
        known = (row.experiment, row.method, row.seed) == ("digits", "samples", seed)
        if known and row.measure in names:
            yield Row("digits", "FlowGenerator", seed, names[row.measure], row.value)


_NAMES = ("digits", "moons", "eight-gaussians", "checkerboard")
EXPERIMENTS: dict[str, Any] = {name: partial(samples, name) for name in _NAMES} | {
    "sampling": sampling
}


if __name__ == "__main__":
    main()
