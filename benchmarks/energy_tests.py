"""Two-sample tests: level, power, time and memory, beside dcor and hyppo where installed.

Writes energy_tests.csv and energy_tests.md; experiments that are not run keep their rows.
"""

from __future__ import annotations

import resource
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np
from scipy import stats

import energyflow as ef

from .rows import Row, command, shown, write

ALPHA = 0.05
Pvalue = Callable[[np.ndarray, np.ndarray, int, int], float]


def _ours(method: str) -> Pvalue:
    def pvalue(x: np.ndarray, y: np.ndarray, n_resamples: int, seed: int) -> float:
        return ef.energy_test(x, y, n_resamples=n_resamples, method=method, rng=seed).pvalue

    return pvalue


def _dcor(x: np.ndarray, y: np.ndarray, n_resamples: int, seed: int) -> float:
    from dcor.homogeneity import energy_test

    return float(energy_test(x, y, num_resamples=n_resamples, random_state=seed).pvalue)


def _hyppo(x: np.ndarray, y: np.ndarray, n_resamples: int, seed: int) -> float:
    from hyppo.ksample import Energy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(Energy().test(x, y, reps=n_resamples, auto=False, random_state=seed)[1])


METHODS: dict[str, Pvalue] = {"exact": _ours("exact"), "sliced, P = 128": _ours("sliced")}
OTHERS: dict[str, Pvalue] = {
    name: call for name, call in (("dcor", _dcor), ("hyppo", _hyppo)) if find_spec(name)
}


def level(seed: int, quick: bool) -> Iterator[Row]:
    """Rejections of true null hypotheses at 0.05, and the binomial 99% interval around it."""
    n_trials = 100 if quick else 1000
    low, high = (stats.binom(n_trials, ALPHA).ppf(q) / n_trials for q in (0.005, 0.995))
    draws = {
        "normal": lambda rng, d: rng.normal(size=(2, 20, d)),
        "whole numbers, many ties": lambda rng, d: rng.poisson(1.0, size=(2, 20, d)).astype(float),
    }
    for d in (1, 2, 10, 100):
        for kind, draw in draws.items():
            for method, pvalue in METHODS.items():
                rejected = 0
                for k in range(n_trials):
                    x, y = draw(np.random.default_rng([seed, d, k]), d)
                    rejected += pvalue(x, y, 99, k) <= ALPHA
                note = f"{n_trials} trials, 20 + 20 points, 99 resamples; 99% {low:.3f}-{high:.3f}"
                yield Row(f"level, {kind}", method, seed, f"d = {d}", rejected / n_trials, note)


def power(seed: int, quick: bool) -> Iterator[Row]:
    """Rejections of false null hypotheses, on the same samples for all methods."""
    n_trials = 40 if quick else 500
    chol = {d: np.linalg.cholesky(0.6 * np.ones((d, d)) + 0.4 * np.eye(d)) for d in (2, 10)}
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "mean shift": lambda y: y + 0.5 / np.sqrt(y.shape[1]),
        "scale": lambda y: y * (1 + 0.5 / np.sqrt(y.shape[1])),
        "dependence": lambda y: y @ chol[y.shape[1]].T,
    }
    for d in (2, 10):
        for kind, change in changes.items():
            for method, pvalue in (METHODS | OTHERS).items():
                trials = min(n_trials, 100) if method == "hyppo" else n_trials
                rejected = 0
                for k in range(trials):
                    x, y = np.random.default_rng([seed, d, k, 1]).normal(size=(2, 50, d))
                    rejected += pvalue(x, change(y), 199, k) <= ALPHA
                note = f"{n_trials} trials (hyppo {min(n_trials, 100)}), 50 + 50 points"
                yield Row(f"power, {kind}", method, seed, f"d = {d}", rejected / trials, note)


def speed(seed: int, quick: bool) -> Iterator[Row]:
    """All methods in one run: 2 x 2000 points in ten dimensions."""
    n, n_resamples = (300, 19) if quick else (2000, 99)
    x, y = np.random.default_rng(seed).normal(size=(2, n, 10))
    name = f"time, 2 x {n} points, d = 10, {n_resamples} resamples"
    seconds = {}
    for method, pvalue in (METHODS | OTHERS).items():
        pvalue(x[:20], y[:20], 5, 0)  # compiled
        times = []
        for repeat in range(1 if method in OTHERS else 3):
            begun = perf_counter()
            pvalue(x, y, n_resamples, repeat)
            times.append(perf_counter() - begun)
        seconds[method] = min(times)
        yield Row(name, method, seed, "seconds", seconds[method])
    for method in OTHERS:
        for own in METHODS:
            ratio = seconds[method] / seconds[own]
            yield Row(name, own, seed, f"times faster than {method}", ratio)


def large(seed: int, quick: bool) -> Iterator[Row]:
    """2 x 100,000 points in ten dimensions with 999 resamples: seconds and peak memory."""
    n, n_resamples = (2000, 99) if quick else (100_000, 999)
    with get_context("spawn").Pool(1) as pool:
        seconds, peak = pool.apply(_large, (n, n_resamples, seed))
    name = f"large, 2 x {n} points, d = 10, {n_resamples} resamples"
    yield Row(name, "sliced, P = 128", seed, "seconds", seconds)
    yield Row(name, "sliced, P = 128", seed, "peak memory of the process in GiB", peak)


def _large(n: int, n_resamples: int, seed: int) -> tuple[float, float]:
    x, y = np.random.default_rng(seed).normal(size=(2, n, 10))
    _ours("sliced")(x[:50], y[:50], 9, 0)
    begun = perf_counter()
    _ours("sliced")(x, y, n_resamples, seed)
    seconds = perf_counter() - begun
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


EXPERIMENTS: dict[str, Any] = {"level": level, "power": power, "speed": speed, "large": large}


def main() -> None:
    parser = command("energy_tests", __doc__, EXPERIMENTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.names or EXPERIMENTS:
        rows = shown(EXPERIMENTS[name](arguments.seed, arguments.quick))
        write(arguments.out / "energy_tests.csv", "Energy tests", rows)


if __name__ == "__main__":
    main()
