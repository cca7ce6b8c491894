"""Deep MMD flows: their samples beside flows with given kernels, and both ways of sampling.

Draws dmmd_<experiment>.png.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from energyflow import datasets, metrics
from energyflow.datasets import Dataset
from energyflow.models import DMMD, DMMDSettings, save_grid
from energyflow.models.data.scaling import Scaling
from energyflow.models.dmmd.noise_schedule import weights_at
from energyflow.models.dmmd.sampler import Level, Sampler
from energyflow.models.dmmd.settings import Sampling

from ..memory import alone, peak_memory
from ..pictures import save_scatter
from ..rows import RESULTS, Line, read
from ..runner import Run, Topic
from ..timing import cpu_seconds

TOPIC = Topic("dmmd", "Deep MMD flows", __doc__, threads=1)
_STEPS = 120  # of the flow with one kernel
_LEAST_WIDTH = 0.1
_DRAWN = ("DMMD, particles", "DMMD, independent", "RBF, best step size")
Draw = Callable[[int], Any]


@TOPIC("digits", name="digits")
@TOPIC("moons", name="moons")
@TOPIC("eight-gaussians", name="eight-gaussians")
@TOPIC("checkerboard", name="checkerboard")
def samples(run: Run, name: str) -> Iterator[Line]:
    """All methods on one data set: energy distance (V) to held-out data, floor, cost."""
    is_digits = name == "digits"
    data = datasets.load(name) if is_digits else datasets.load(name, n=10_000, seed=run.seed)
    n = len(data.train) if is_digits else 2000
    n = min(n, 300) if run.quick else n
    drawn: dict[str, np.ndarray] = {}
    for method, (draw, trained) in _methods(data, run).items():
        with gradients() as counts:
            points, seconds = cpu_seconds(partial(draw, n))
        drawn[method] = np.asarray(points)
        report = _measured(drawn[method], data, run.seed)
        near = metrics.nearest_neighbours(drawn[method], data.train, data.test)
        numbers = {
            "energy distance": report.distance,
            "floor": report.floor,
            "ratio": report.ratio,
            "above the floor": report.distance - report.floor,
            "nearest training point": near.median,
            "that of real data": near.held_out_median,
            "copies": near.copies,
            "CPU s of training": trained,
            "CPU s of sampling": seconds,
            "gradients a sample": sum(counts) / n,
        }
        yield Line(name, method, numbers, f"{n} samples")
    if is_digits:
        yield from _generator(run.seed)
        for method in _DRAWN:
            file = method.lower().replace(",", "").replace(" ", "_")
            save_grid(run.out / f"dmmd_{name}_{file}.png", drawn[method][:100])
    else:
        target = np.asarray(data.train)[:1500]
        save_scatter(run.out / f"dmmd_{name}.png", drawn[_DRAWN[0]][:1500], target)


@contextmanager
def gradients() -> Iterator[list[int]]:
    """The numbers of particles whose gradients are taken inside, one for each step."""
    counts: list[int] = []
    pulled = Level._pulled

    def counted(self: Level, z: Tensor, measure: Any) -> tuple[Tensor, Tensor]:
        counts.append(len(z))
        return pulled(self, z, measure)

    with mock.patch.object(Level, "_pulled", counted):
        yield counts


def _methods(data: Dataset, run: Run) -> dict[str, tuple[Draw, float]]:
    """What draws samples, and CPU seconds of its training."""
    methods = {name: (flow, 0.0) for name, flow in _given_kernels(data, run.seed).items()}
    for kernel in ("energy", "linear") if data.name == "digits" else ("energy",):
        model, trained = _trained(data, run, kernel=kernel)
        name = "DMMD" if kernel == "energy" else "DMMD linear"
        methods[f"{name}, particles"] = (partial(model.sample, rng=run.seed), trained)
        alone = partial(model.sample, rng=run.seed, method="independent")
        methods[f"{name}, independent"] = (alone, trained)
        if kernel == "energy":
            polished = partial(alone, denoise=20)
            methods[f"{name}, independent, then 20 together"] = (polished, trained)
        else:
            kale = partial(model.sample, rng=run.seed, objective="kale")
            methods["D-KALE linear, particles"] = (kale, trained)
    return methods


def _trained(data: Dataset, run: Run, **settings: Any) -> tuple[Any, float]:
    small = {"n_steps": 20, "n_rounds": 1} if run.quick else {}
    model = DMMD(seed=run.seed, device="cpu", **settings, **small)
    return cpu_seconds(lambda: model.fit(data.train, progress=False))


def _given_kernels(data: Dataset, seed: int) -> dict[str, Draw]:
    """Flows without a network, whose features are the points themselves."""
    points = torch.from_numpy(np.asarray(data.train)).float()
    scaling = Scaling.standard(points)
    points = scaling.apply(points)
    width = float(torch.pdist(points[:2000].flatten(1)).median())
    fixed = DMMDSettings(kernel="rbf", bandwidths=(width,), seed=seed)
    unit = DMMDSettings(kernel="rbf", bandwidths=(1.0,), seed=seed)

    def scheduled(x: Tensor, t: float) -> Tensor:
        beta = float(weights_at("cosine", torch.tensor(t))[1])
        return x.flatten(1) / (width * max(beta, _LEAST_WIDTH))

    def plain(x: Tensor, t: float) -> Tensor:
        return x.flatten(1)

    def flow(settings: DMMDSettings, features: Any, how: Sampling, n: int) -> np.ndarray:
        drawn = Sampler(features, points, settings, how).draw(n, np.random.default_rng(seed))
        return scaling.undo(drawn).numpy()

    def reached(how: Sampling) -> float:
        """The energy distance to the training data."""
        drawn = flow(fixed, plain, how, 1000).reshape(1000, -1)
        train = np.asarray(data.train)[:2000].reshape(-1, drawn.shape[1])
        return metrics.energy_distance_report(drawn, train, n_repeats=1).distance

    steps = (
        Sampling(n_levels=1, n_steps=_STEPS, step_size=factor * width**2, denoise=0)
        for factor in (1.0, 2.0, 4.0, 8.0)
    )
    return {
        "RBF, best step size": partial(flow, fixed, plain, min(steps, key=reached)),
        "RBF, steps by noise level": partial(flow, fixed, plain, Sampling()),
        "RBF, bandwidth by noise level": partial(flow, unit, scheduled, Sampling()),
        "energy distance, no network": partial(flow, DMMDSettings(seed=seed), plain, Sampling()),
    }


def _measured(points: np.ndarray, data: Dataset, seed: int) -> Any:
    strata = None
    if data.stratified and data.train_labels is not None:
        strata = np.concatenate([np.asarray(data.test_labels), np.asarray(data.train_labels)])
    return metrics.energy_distance_report(points, data.test, seed, real=data.train, strata=strata)


def _generator(seed: int) -> Iterator[Line]:
    """What the topic `generative` has measured for digits in the same way."""
    names = {
        "energy distance to held-out data": "energy distance",
        "energy distance over that of real data": "ratio",
        "distance to nearest training point": "nearest training point",
    }
    known = {
        names[row.measure]: row.value
        for row in read(RESULTS / "generative.csv")
        if (row.experiment, row.method, row.seed) == ("digits", "samples", seed)
        and row.measure in names
    }
    yield Line("digits", "FlowGenerator", known)


@TOPIC("sampling")
def sampling(run: Run) -> Iterator[Line]:
    """Particles and independent samples of digits: quality, time and memory, by their number.

    Each in a process of its own, for memory that was used once is kept.
    """
    data = datasets.load("digits")
    model, _ = _trained(data, run)
    sizes = (100, 300) if run.quick else (500, 2000)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        for n, method in product(sizes, ("particles", "independent")):
            (points, extra), seconds = alone(_drawn_alone, Path(folder), n, method, run.seed)
            ratio = _measured(points, data, run.seed).ratio
            numbers = {"ratio": ratio, "CPU s": seconds, "extra MB at the peak": extra / 1e6}
            yield Line("sampling", f"{method}, {n}", numbers)


def _drawn_alone(folder: Path, n: int, method: Any, seed: int) -> tuple[tuple[Any, int], float]:
    model = DMMD.load(folder, device="cpu")
    model.sample(1, rng=seed, method="independent", n_levels=1, n_steps=1)
    call = partial(model.sample, n, rng=seed, method=method)
    return cpu_seconds(lambda: peak_memory(lambda: np.asarray(call())))
