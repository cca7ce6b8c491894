"""Independence and two-sample tests: level, power, and time beside dcor and hyppo."""

import resource
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import stats

import energyflow as ef

from ..memory import alone
from ..runner import Line, Run, Topic
from ..timing import cpu_seconds

TOPIC = Topic("dependence", "Dependence", __doc__, threads=1, by_method=True)
ALPHA = 0.05
Points = np.ndarray[Any, np.dtype[np.float64]]
Draw = Callable[[np.random.Generator, int], tuple[Points, Points]]
Pvalue = Callable[[Points, Points, int], float]

RESAMPLES = 39
INDEPENDENCE: dict[str, Mapping[str, Any]] = {
    "independence, exact": {"method": "exact"},
    "independence, U": {"method": "exact", "estimator": "U"},
    "independence, sliced": {"method": "sliced", "n_projections": 16},
    "independence, strata": {"strata": np.arange(20) % 2},
}
TWO_SAMPLES: dict[str, tuple[Callable[..., Any], Mapping[str, Any]]] = {
    "energy, exact": (ef.energy_test, {"method": "exact"}),
    "energy, sliced": (ef.energy_test, {"method": "sliced", "n_projections": 16}),
    "energy, sd": (ef.energy_test, {"scale": "sd"}),
    "energy, rank": (ef.energy_test, {"scale": "rank"}),
    "energy, pairs": (ef.energy_test, {"strata": [np.arange(20)] * 2}),
    "kernel, median": (ef.kernel_test, {}),
    "kernel, aggregate": (ef.kernel_test, {"bandwidth": "aggregate"}),
}


COLUMNS = "columns, smallest p-value"


def _tests() -> dict[str, Pvalue]:
    """The p-value of each test, for two samples and a seed."""

    def independence(how: Mapping[str, Any], x: Points, y: Points, seed: int) -> float:
        return ef.independence_test(x, y, n_resamples=RESAMPLES, rng=seed, **how).pvalue

    def two_samples(
        test: Callable[..., Any], how: Mapping[str, Any], x: Points, y: Points, seed: int
    ) -> float:
        return float(test(x, y, n_resamples=RESAMPLES, rng=seed, **how).pvalue)

    def columns(x: Points, y: Points, seed: int) -> float:
        return float(ef.column_tests(x, y, n_resamples=RESAMPLES, rng=seed).pvalues.min())

    return {
        COLUMNS: columns,
        **{name: partial(independence, how) for name, how in INDEPENDENCE.items()},
        **{name: partial(two_samples, *how) for name, how in TWO_SAMPLES.items()},
    }


TESTS = _tests()


def level(run: Run, *, name: str) -> Iterator[Line]:
    """Rejections of true null hypotheses at 0.05, and the interval that all must lie in.

    It has the probability 99% after a correction for the number of shares. Discrete laws, whose
    p-values have ties, may lie below it.
    """
    n_trials = 20 if run.quick else 1000
    laws: dict[str, Draw] = {
        "normal, d = 1": lambda rng, n: tuple(rng.normal(size=(2, n, 1))),
        "normal, d = 5": lambda rng, n: tuple(rng.normal(size=(2, n, 5))),
        "whole numbers": lambda rng, n: tuple(rng.poisson(1.0, size=(2, n, 2)).astype(float)),
    }
    tail = 0.005 / (len(laws) * len(TESTS))
    low, high = (stats.binom(n_trials, ALPHA).ppf(q) / n_trials for q in (tail, 1 - tail))
    note = (
        f"{n_trials} trials, 20 + 20 points, {RESAMPLES} resamples; "
        f"99% after correction {low:.3f}-{high:.3f}"
    )
    shares = {}
    for law, draw in laws.items():
        if name == COLUMNS and law == "normal, d = 1":
            continue
        rejected = 0
        for k in range(n_trials):
            rng = np.random.default_rng([run.seed, k])
            rejected += TESTS[name](*draw(rng, 20), k) <= ALPHA
        shares[law] = rejected / n_trials
        if shares[law] > high or (law != "whole numbers" and shares[law] < low):
            run.failures.append(f"level of {name}, {law}: {shares[law]}")
    yield Line("level", name, shares, note)


for _name in TESTS:
    TOPIC(f"level of {_name}", name=_name)(level)


@TOPIC("power, exact", method="exact")
@TOPIC("power, sliced", method="sliced")
def power(run: Run, *, method: str) -> Iterator[Line]:
    """Dependences found at 0.05 by all pairs or by 128 slices, on the same samples."""
    n_trials, n = (10, 100) if run.quick else (200, 150)

    def ten(rng: np.random.Generator, n: int) -> tuple[Points, Points]:
        x = rng.normal(size=(n, 10))
        return x, 0.2 * x + rng.normal(size=(n, 10))

    def circle(rng: np.random.Generator, n: int) -> tuple[Points, Points]:
        angle = rng.uniform(0, 2 * np.pi, n)
        x, y = 0.1 * rng.normal(size=(2, n, 2))
        x[:, 0] += np.cos(angle)
        y[:, 0] += np.sin(angle)
        return x, y

    def sine(rng: np.random.Generator, n: int) -> tuple[Points, Points]:
        x = rng.uniform(-1, 1, (n, 2))
        return x, np.sin(4 * x) + 0.5 * rng.normal(size=(n, 2))

    def linear(rng: np.random.Generator, n: int) -> tuple[Points, Points]:
        x = rng.normal(size=(n, 3))
        return x, 0.3 * x + rng.normal(size=(n, 3))

    laws: dict[str, Draw] = {
        "linear, d = 3": linear, "circle, d = 2": circle, "sine, d = 2": sine, "d = 10": ten,
    }  # fmt: skip
    note = f"{n_trials} trials, {n} pairs, 99 resamples"
    shares = {}
    for law, draw in laws.items():
        rejected = 0
        for k in range(n_trials):
            x, y = draw(np.random.default_rng([run.seed, k, 2]), n)
            test = ef.independence_test(x, y, method=method, n_resamples=99, rng=k)
            rejected += test.pvalue <= ALPHA
        shares[law] = rejected / n_trials
    yield Line("power", method, shares, note)


@TOPIC("dcor")
def agreement(run: Run) -> Iterator[Line]:
    """Largest difference from dcor, relative to the product of deviations, over random cases."""
    import dcor

    n_cases = 5 if run.quick else 50
    rng = np.random.default_rng([run.seed, 3])
    largest: dict[str, float] = {}
    for _ in range(n_cases):
        n, d, e = int(rng.integers(5, 60)), *(int(v) for v in rng.integers(1, 5, 2))
        x, y, z = rng.normal(size=(n, d)), rng.normal(size=(n, e)), rng.normal(size=(n, 2))
        y = y + x[:, :1]
        unit = float(dcor.distance_covariance_sqr(x, x) * dcor.distance_covariance_sqr(y, y)) ** 0.5
        values = {
            "covariance, V": (
                ef.distance_covariance_squared(x, y), dcor.distance_covariance_sqr(x, y),
            ),
            "covariance, U": (
                ef.distance_covariance_squared(x, y, estimator="U"),
                dcor.u_distance_covariance_sqr(x, y),
            ),
            "correlation, V": (
                ef.distance_correlation_squared(x, y), dcor.distance_correlation_sqr(x, y),
            ),
            "correlation, bias-corrected": (
                ef.distance_correlation_squared(x, y, estimator="U"),
                dcor.u_distance_correlation_sqr(x, y),
            ),
            "partial covariance": (
                ef.partial_distance_covariance(x, y, z), dcor.partial_distance_covariance(x, y, z),
            ),
            "partial correlation": (
                ef.partial_distance_correlation(x, y, z),
                dcor.partial_distance_correlation(x, y, z),
            ),
        }  # fmt: skip
        for name, (ours, theirs) in values.items():
            error = abs(float(ours) - float(theirs)) / (unit if "covariance" in name else 1)
            largest[name] = max(largest.get(name, 0.0), error)
    run.failures.extend(f"{name}: {error}" for name, error in largest.items() if error > 1e-12)
    for name, error in largest.items():
        yield Line("dcor", name, {"largest difference": error}, f"{n_cases} random cases")


@TOPIC("hyppo")
def noise(run: Run) -> Iterator[Line]:
    """How far p-values lie from hyppo's, in standard deviations of permutations' noise."""
    if not find_spec("hyppo"):
        return
    n_cases, n_resamples = (3, 99) if run.quick else (30, 999)
    rng = np.random.default_rng([run.seed, 4])
    distances = []
    for k in range(n_cases):
        x, z = rng.normal(size=(2, 40, 3))
        y = z + rng.uniform(0, 0.4) * x
        ours = ef.independence_test(x, y, estimator="U", n_resamples=n_resamples, rng=k).pvalue
        theirs = _hyppo(x, y, n_resamples)
        mean = (ours + theirs) / 2
        distances.append((ours - theirs) / np.sqrt(2 * mean * (1 - mean) / n_resamples))
    mean_square = float(np.mean(np.square(distances)))
    low, high = stats.chi2(n_cases).ppf([0.005, 0.995]) / n_cases
    if mean_square > high:
        run.failures.append(f"p-values beside hyppo's: mean square {mean_square}")
    numbers = {"mean square": mean_square, "largest": float(np.max(np.abs(distances)))}
    note = f"{n_cases} cases, {n_resamples} resamples; 99% of mean squares {low:.2f}-{high:.2f}"
    yield Line("hyppo", "independence, U", numbers, note)


@TOPIC("line")
def line(run: Run) -> Iterator[Line]:
    """Squared distance covariance of pairs on the line: CPU seconds of one thread."""
    import dcor

    n = 5000 if run.quick else 100_000
    rng = np.random.default_rng(run.seed)
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    calls: dict[str, Callable[[], float]] = {
        "energyflow": lambda: float(ef.distance_covariance_squared(x, y)),
        "dcor, AVL": lambda: float(dcor.distance_covariance_sqr(x, y, method="avl")),
        "dcor, merge sort": lambda: float(dcor.distance_covariance_sqr(x, y, method="mergesort")),
    }
    values = {name: call() for name, call in calls.items()}  # compiled
    taken = dict.fromkeys(calls, np.inf)
    for _ in range(3 if run.quick else 7):
        for name, call in calls.items():
            taken[name] = min(taken[name], cpu_seconds(call)[1])
    for name, seconds in taken.items():
        if abs(values[name] / values["energyflow"] - 1) > 1e-9:
            run.failures.append(f"{name}: {values[name]}")
        ratio = seconds / taken["energyflow"]
        yield Line(f"{n} pairs on the line", name, {"seconds": seconds, "ratio": ratio})


def _dcor(x: Points, y: Points, n_resamples: int) -> float:
    from dcor.independence import distance_covariance_test

    test = distance_covariance_test(x, y, num_resamples=n_resamples, random_state=0)
    return float(test.pvalue)


def _hyppo(x: Points, y: Points, n_resamples: int) -> float:
    from hyppo.independence import Dcorr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(Dcorr().test(x, y, reps=n_resamples, workers=1, auto=False)[1])


def _ours(method: str, x: Points, y: Points, n_resamples: int) -> float:
    return ef.independence_test(x, y, n_resamples=n_resamples, method=method, rng=0).pvalue


@TOPIC("test")
def test(run: Run) -> Iterator[Line]:
    """Independence of pairs in ten dimensions: CPU seconds of one thread, and the peak memory."""
    n, n_resamples = (200, 19) if run.quick else (2000, 199)
    methods = ["energyflow", "energyflow, sliced"]
    methods += [name for name in ("dcor", "hyppo") if find_spec(name)]
    ours = 0.0
    for name in methods:
        numbers = alone(_one_test, name, n, n_resamples, run.seed)
        ours = ours or numbers["seconds"]
        ratio = {"ratio": numbers["seconds"] / ours}
        yield Line(f"{n} pairs, d = 10, {n_resamples} resamples", name, numbers | ratio)


def _one_test(name: str, n: int, n_resamples: int, seed: int) -> dict[str, float]:
    calls: dict[str, Callable[[Points, Points, int], float]] = {
        "energyflow": partial(_ours, "exact"), "energyflow, sliced": partial(_ours, "sliced"),
        "dcor": _dcor, "hyppo": _hyppo,
    }  # fmt: skip
    x, y = np.random.default_rng(seed).normal(size=(2, n, 10))
    calls[name](x[:40], y[:40], 9)  # compiled
    pvalue, seconds = cpu_seconds(lambda: calls[name](x, y, n_resamples))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "p-value": pvalue, "peak memory of the process in GiB": peak}


@TOPIC("memory")
def memory(run: Run) -> Iterator[Line]:
    """Peak memory where one matrix of distances takes more than 1 GiB."""
    n = 1000 if run.quick else 12_000
    for name in ("energyflow", "energyflow, sliced"):
        yield Line(f"memory, {n} pairs, d = 10", name, alone(_one_test, name, n, 9, run.seed))
