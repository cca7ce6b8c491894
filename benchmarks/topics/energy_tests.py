"""Two-sample tests: level, power, time and memory, beside dcor and hyppo where installed."""

import resource
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from time import perf_counter

import numpy as np
from scipy import stats

import energyflow as ef

from ..memory import alone
from ..runner import Line, Run, Topic

TOPIC = Topic("energy_tests", "Energy tests", __doc__)
ALPHA = 0.05
Pvalue = Callable[[np.ndarray, np.ndarray, int, int], float]


def _ours(method: str, x: np.ndarray, y: np.ndarray, n_resamples: int, seed: int) -> float:
    return ef.energy_test(x, y, n_resamples=n_resamples, method=method, rng=seed).pvalue


def _dcor(x: np.ndarray, y: np.ndarray, n_resamples: int, seed: int) -> float:
    from dcor.homogeneity import energy_test

    return float(energy_test(x, y, num_resamples=n_resamples, random_state=seed).pvalue)


def _hyppo(x: np.ndarray, y: np.ndarray, n_resamples: int, seed: int) -> float:
    from hyppo.ksample import Energy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(Energy().test(x, y, reps=n_resamples, auto=False, random_state=seed)[1])


SLICED = "sliced, P = 128"
METHODS: dict[str, Pvalue] = {"exact": partial(_ours, "exact"), SLICED: partial(_ours, "sliced")}
OTHERS = {name: call for name, call in (("dcor", _dcor), ("hyppo", _hyppo)) if find_spec(name)}


def _rejections(
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]],
    pvalue: Pvalue,
    trials: int,
    resamples: int,
) -> float:
    """The share of trials that reject at ALPHA."""
    return float(np.mean([pvalue(*draw(k), resamples, k) <= ALPHA for k in range(trials)]))


@TOPIC("level")
def level(run: Run) -> Iterator[Line]:
    """Rejections of true null hypotheses at 0.05, and the binomial 99% interval around it."""
    n_trials = 20 if run.quick else 1000
    low, high = (stats.binom(n_trials, ALPHA).ppf(q) / n_trials for q in (0.005, 0.995))
    note = f"{n_trials} trials, 20 + 20 points, 99 resamples; 99% {low:.3f}-{high:.3f}"
    draws = {
        "normal": lambda rng, d: rng.normal(size=(2, 20, d)),
        "whole numbers, many ties": lambda rng, d: rng.poisson(1.0, size=(2, 20, d)).astype(float),
    }
    for kind, draw in draws.items():
        for method, pvalue in METHODS.items():
            shares = {
                f"d = {d}": _rejections(
                    lambda k, d=d, draw=draw: draw(np.random.default_rng([run.seed, d, k]), d),
                    pvalue, n_trials, 99,
                )
                for d in (1, 2, 10, 100)
            }  # fmt: skip
            yield Line(f"level, {kind}", method, shares, note)


@TOPIC("power")
def power(run: Run) -> Iterator[Line]:
    """Rejections of false null hypotheses, on the same samples for all methods."""
    n_trials = 20 if run.quick else 500
    note = f"{n_trials} trials (hyppo {min(n_trials, 100)}), 50 + 50 points"
    chol = {d: np.linalg.cholesky(0.6 * np.ones((d, d)) + 0.4 * np.eye(d)) for d in (2, 10)}
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "mean shift": lambda y: y + 0.5 / np.sqrt(y.shape[1]),
        "scale": lambda y: y * (1 + 0.5 / np.sqrt(y.shape[1])),
        "dependence": lambda y: y @ chol[y.shape[1]].T,
    }

    def draw(
        change: Callable[[np.ndarray], np.ndarray], d: int, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.random.default_rng([run.seed, d, k, 1]).normal(size=(2, 50, d))
        return x, change(y)

    for kind, change in changes.items():
        for method, pvalue in (METHODS | OTHERS).items():
            trials = min(n_trials, 100) if method == "hyppo" else n_trials
            shares = {
                f"d = {d}": _rejections(partial(draw, change, d), pvalue, trials, 199)
                for d in (2, 10)
            }
            yield Line(f"power, {kind}", method, shares, note)


@TOPIC("speed")
def speed(run: Run) -> Iterator[Line]:
    """All methods in one run: 2 x 2000 points in ten dimensions."""
    n, n_resamples = (300, 19) if run.quick else (2000, 99)
    x, y = np.random.default_rng(run.seed).normal(size=(2, n, 10))
    seconds = {}
    for method, pvalue in (METHODS | OTHERS).items():
        pvalue(x[:20], y[:20], 5, 0)  # compiled
        times = []
        for repeat in range(1 if method in OTHERS else 3):
            begun = perf_counter()
            pvalue(x, y, n_resamples, repeat)
            times.append(perf_counter() - begun)
        seconds[method] = min(times)
    for method, taken in seconds.items():
        faster = {f"times faster than {o}": seconds[o] / taken for o in OTHERS if method in METHODS}
        name = f"time, 2 x {n} points, d = 10, {n_resamples} resamples"
        yield Line(name, method, {"seconds": taken} | faster)


@TOPIC("large")
def large(run: Run) -> Iterator[Line]:
    """2 x 100,000 points in ten dimensions with 999 resamples: seconds and peak memory."""
    n, n_resamples = (2000, 99) if run.quick else (100_000, 999)
    name = f"large, 2 x {n} points, d = 10, {n_resamples} resamples"
    yield Line(name, SLICED, alone(_large, n, n_resamples, run.seed))


def _large(n: int, n_resamples: int, seed: int) -> dict[str, float]:
    x, y = np.random.default_rng(seed).normal(size=(2, n, 10))
    _ours("sliced", x[:50], y[:50], 9, 0)
    begun = perf_counter()
    _ours("sliced", x, y, n_resamples, seed)
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "peak memory of the process in GiB": peak}
