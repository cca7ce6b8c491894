"""Trainings that are cut at random steps, again and again, and end as if never."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.rows import Line

from .signals import contents

EXPERIMENT = "trainings that are cut at random steps"
FAULTS = ("other ends", "other samples on the way")
MOST_CUTS = 20
_STEPS = {"n_steps": 40, "n_rounds": 4, "batch_size": 16}
_BLOCKS = {"n_particles": 60, "n_projections": 8, "n_blocks": 4, "n_steps": 10}


def _points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)


def _model(kind: str) -> Any:
    """A small one, whose trainings take 40 steps of four stages."""
    from energyflow import models

    small = {"architecture": models.MLP(width=4, depth=1), "ema": 0.9, "seed": 3}
    if kind == "FlowMatching":
        return models.FlowMatching(sampling_steps=2, **_STEPS, **small)
    if kind == "DMMD":
        return models.DMMD(n_features=3, levels_per_step=2, n_reference=20, **_STEPS, **small)
    return models.FlowGenerator(batch_size=16, first_exponent=1, **_BLOCKS, **small)


def fit(kind: str, out: Path, stop_after: str | None = None) -> Any:
    """Train, or resume; a posterior is trained with flow matching."""
    how = {"out": out, "resume": True, "stop_after": stop_after, "progress": False}
    if kind != "PosteriorFlow":
        return _model(kind).fit(_points(), np.arange(60) % 2, n_validation=50, **how)
    from energyflow import inverse

    problem = inverse.Problem(inverse.Linear(np.ones((1, 2))), inverse.Gaussian(0.5))
    sampler = inverse.PosteriorFlow(problem, _model("FlowMatching"), guess="regression")
    return sampler.fit(_points(), n_validation=50, **how)


def _samples(sampler: Any) -> np.ndarray:
    """Two, of a model or a posterior."""
    found = sampler.sample(np.zeros(1) if hasattr(sampler, "problem") else 2, *_given(sampler))
    return np.asarray(getattr(found, "samples", found))


def _given(sampler: Any) -> tuple[int, int]:
    """The other arguments of its `sample`: how many and a seed, or a label and a seed."""
    return (2, 0) if hasattr(sampler, "problem") else (1, 0)


def _loaded(kind: str, out: Path) -> Any:
    from energyflow import inverse, models

    return (inverse.PosteriorFlow if kind == "PosteriorFlow" else models).load(out)


def cut(kind: str, out: Path, rng: np.random.Generator) -> Iterator[Any]:
    """Train in calls of random lengths, the last one to the end; the model after each call."""
    for _ in range(int(rng.integers(1, MOST_CUTS + 1))):
        yield fit(kind, out, f"{rng.integers(1, 9)} steps")
    yield fit(kind, out)


def lines(n_runs: int, folder: Path, seed: int = 0) -> Iterator[Line]:
    """So many runs of each model that are cut, beside one that is not."""
    for kind in ("FlowMatching", "DMMD", "FlowGenerator", "PosteriorFlow"):
        with patch("energyflow._core.pictures.save_scatter"):  # which takes longer than training
            fit(kind, folder / kind)
            yield _compared(kind, n_runs, folder, np.random.default_rng(seed))


def _compared(kind: str, n_runs: int, folder: Path, rng: np.random.Generator) -> Line:
    whole, run, start = contents(folder / kind), folder / "run", process_time()
    tally: Counter[str] = Counter({"runs": n_runs})
    for number in range(n_runs):
        shutil.rmtree(run, ignore_errors=True)
        for call, model in enumerate(cut(kind, run, rng)):
            tally["calls"] += 1
            if call == number % 4:  # sampling takes longer than training
                same = np.array_equal(_samples(model), _samples(_loaded(kind, run)))
                tally["other samples on the way"] += not same
        end = contents(run)
        equal = end == whole
        tally["ends equal to uncut" if equal else "other ends"] += 1
        if not equal:
            names = sorted({*end.items()} ^ {*whole.items()})
            print(f"{kind}, run {number}: {names}", flush=True)
    seconds = (process_time() - start) / n_runs
    measures = ("runs", "calls", *FAULTS, "ends equal to uncut")
    numbers = {measure: tally[measure] for measure in measures}
    return Line(EXPERIMENT, kind, {**numbers, "CPU seconds a run": seconds})
