"""Distance covariance and tests of independence beside dcor and hyppo, in one process.

    python benchmarks/dependence.py [--out benchmarks/results/dependence.md]

dcor and hyppo must be installed. Times are of the CPU, the best of several, measured in turn.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import energyflow as ef


def best_times(
    runs: dict[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """The least CPU time of each, taken in turn, and what each gave; the first round warms up."""
    times: dict[str, float] = {}
    found: dict[str, Any] = {}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.process_time()
            found[name] = run()
            spent = time.process_time() - start
            if turn:
                times[name] = min(times.get(name, spent), spent)
    return times, found


def line() -> list[str]:
    import dcor

    rng = np.random.default_rng(0)
    x = rng.normal(size=100_000)
    y = x + rng.normal(size=100_000)
    runs = {
        "energyflow": lambda: float(ef.distance_covariance_squared(x, y)),
        "dcor, AVL": lambda: dcor.distance_covariance_sqr(x, y, method="avl"),
        "dcor, merge sort": lambda: dcor.distance_covariance_sqr(x, y, method="mergesort"),
    }
    times, found = best_times(runs, 7)
    assert all(abs(v / found["energyflow"] - 1) < 1e-9 for v in found.values()), found
    return [
        f"| {name} | {1000 * t:.1f} ms | {t / times['energyflow']:.1f} |"
        for name, t in times.items()
    ]


def test(quick: bool) -> list[str]:
    import dcor
    from hyppo.independence import Dcorr

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2000, 10))
    resamples = 19 if quick else 199
    few = slice(0, 40)
    Dcorr().test(x[few], y[few], reps=9, workers=1, auto=False)
    dcor.independence.distance_covariance_test(x[few], y[few], num_resamples=9, random_state=0)
    ef.independence_test(x, y, n_resamples=9, rng=0)
    rows, first = [], 0.0
    for name, run in {
        "energyflow": lambda: ef.independence_test(x, y, n_resamples=resamples, rng=0).pvalue,
        "energyflow, sliced": lambda: (
            ef.independence_test(x, y, n_resamples=resamples, rng=0, method="sliced").pvalue
        ),
        "dcor": lambda: (
            dcor.independence.distance_covariance_test(
                x, y, num_resamples=resamples, random_state=0
            ).pvalue
        ),
        "hyppo": lambda: Dcorr().test(x, y, reps=resamples, workers=1, auto=False)[1],
    }.items():
        start = time.process_time()
        pvalue = run()
        spent = time.process_time() - start
        first = first or spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append(f"| {name} | {spent:.2f} s | {spent / first:.1f} | {pvalue:.3f} | {peak:.2f} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    text = [
        "# Dependence",
        "",
        "CPU times, one process; `python benchmarks/dependence.py`, seed 0.",
        "",
        "## 100,000 pairs on the line: squared distance covariance",
        "",
        "| what | time | ratio |",
        "|---|---|---|",
        *line(),
        "",
        "## 2000 pairs in 10 dimensions: test of independence, 199 permutations",
        "",
        "The peak of memory (GiB) is that of the process so far.",
        "",
        "| what | time | ratio | p-value | peak |",
        "|---|---|---|---|---|",
        *test(options.quick),
        "",
    ]
    print("\n".join(text))
    if options.out:
        options.out.write_text("\n".join(text))


if __name__ == "__main__":
    main()
