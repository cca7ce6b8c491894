"""How far sliced sums are from exact ones, by family of directions: at equal P and at equal time.

Writes directions.csv, directions.md and directions.svg.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import energyflow as ef
from energyflow._core.random import as_source
from energyflow._slices.directions import sampled_projector

from . import plots
from .competitors import papers
from .machine import record, use_threads
from .methods import exact_gradient
from .timing import host_clock, medians

RESULTS = Path(__file__).parent / "results"
DIMENSIONS = (2, 3, 10, 50, 100, 784)
FAMILIES = ("iid", "orthogonal", "sobol", "distance", "hadamard")
SLICES = (16, 32, 64, 128, 256, 512, 1000)  # gradients, and times
NORM_SLICES = (40, 80, 160, 320, 640)
PAPERS_SLICES = 1000
ERROR_POINTS = 500  # N = M of the table of errors
# wanted: times faster than the papers' algorithm with iid directions at its error, at least
WANTED = {
    "a matrix of directions": {2: 50, 3: 50, 10: 50, 100: 25, 784: 10},
    "hadamard": {784: 15},
}


@dataclass(frozen=True)
class Point:
    """One family at one number of slices."""

    d: int
    family: str
    slices: int
    error: float  # of N times the gradient of F = E / 2, mean over the points
    seconds: float


def norm_error(d: int, family: str, slices: int, runs: int = 10) -> float:
    """Mean absolute error of sliced norms of 0.1 N(0, I)."""
    errors = []
    for run in range(runs):
        x = 0.1 * np.random.default_rng([run, d]).standard_normal((1000, d))
        projector = sampled_projector(slices, d, family, as_source(run))
        sliced = projector.constant(1.0) * np.abs(projector.project(x)).mean(axis=0)
        errors.append(np.abs(sliced - np.linalg.norm(x, axis=1)).mean())
    return float(np.mean(errors))


class Problem:
    """N = M points of N(0, I) and of the same shifted by 1 in all, and the exact gradient."""

    def __init__(self, n: int, d: int) -> None:
        import torch

        rng = np.random.default_rng([n, d])
        self.n, self.d = n, d
        x, y = rng.standard_normal((2, n, d))
        y += 1 / math.sqrt(d)
        self.exact = exact_gradient(*(torch.from_numpy(v) for v in (x, y))).numpy()
        self.x, self.y = x.astype(np.float32), y.astype(np.float32)

    def error(self, gradient: np.ndarray) -> float:
        off = self.n / 2 * (gradient - self.exact)
        return float(np.linalg.norm(off, axis=1).mean())

    def ours(self, family: str, slices: int, seed: int = 0) -> np.ndarray:
        return ef.sliced_energy_gradient(
            self.x, self.y, None, None, slices, slicing=family, rng=seed
        )

    def papers(self) -> Any:
        """With directions drawn as the papers draw them, normal and then normalised."""
        import torch

        directions = torch.randn(PAPERS_SLICES, self.d)
        directions /= directions.norm(dim=1, keepdim=True)
        return papers(torch.from_numpy(self.x), torch.from_numpy(self.y), directions)


def families_in(d: int) -> tuple[str, ...]:
    """The families worth trying in d dimensions."""
    return ("equispaced", "iid", "orthogonal", "sobol") if d == 2 else FAMILIES


def gradient_error(problem: Problem, family: str, slices: int, draws: int) -> float:
    """Mean error of N times the gradient over draws of directions."""
    return float(
        np.mean([problem.error(problem.ours(family, slices, seed)) for seed in range(draws)])
    )


def measure(n: int, d: int, draws: int, seconds: float) -> tuple[list[Point], Point]:
    """All families at all P, and the papers' algorithm: everything is timed in turns."""
    problem = Problem(n, d)
    calls: dict[str, Callable[[], Any]] = {"papers": problem.papers}
    errors = {}
    for family in families_in(d):
        for slices in SLICES:
            errors[family, slices] = gradient_error(problem, family, slices, draws)
            calls[f"{family} {slices}"] = partial(problem.ours, family, slices)
    papers_error = float(np.mean([problem.error(problem.papers().numpy()) for _ in range(draws)]))
    times = medians(calls, host_clock, seconds=seconds, turns=5)
    points = [
        Point(d, family, slices, error, times[f"{family} {slices}"])
        for (family, slices), error in errors.items()
    ]
    return points, Point(d, "papers", PAPERS_SLICES, papers_error, times["papers"])


def seconds_to(error: float, points: list[Point]) -> float:
    """Seconds until an error, between the points on straight lines in logarithms.

    NaN where no number of slices reached it.
    """
    logs = sorted((math.log(p.error), math.log(p.seconds)) for p in points)
    target = math.log(error)
    if target >= logs[-1][0]:
        return math.exp(logs[-1][1])  # fewer slices were not tried
    k = next((k for k, (e, _) in enumerate(logs) if e >= target), 0)
    if k == 0:
        return math.nan
    (e0, t0), (e1, t1) = logs[k - 1], logs[k]
    return math.exp(t0 + (target - e0) * (t1 - t0) / (e1 - e0))


def fitted_rate(slices: tuple[int, ...], errors: list[float]) -> float:
    """The r in error = const P^-r, by least squares in logarithms."""
    return -float(np.polyfit(np.log(slices), np.log(errors), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.directions", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--threads", type=int, help="threads of every method (default: all CPUs)")
    parser.add_argument("--points", type=int, default=5000, help="N = M of what is timed")
    parser.add_argument("--draws", type=int, default=10, help="of directions, for every error")
    parser.add_argument("--seconds", type=float, default=0.1, help="time a method and P")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    about = record("cpu", 0)
    norms: dict[tuple[int, str], list[float]] = {}
    gradients: dict[tuple[int, str], float] = {}
    points: list[Point] = []
    rivals: list[Point] = []
    for d in DIMENSIONS:
        print(f"d = {d}", flush=True)
        for family in families_in(d):
            norms[d, family] = [norm_error(d, family, slices) for slices in NORM_SLICES]
        small = Problem(ERROR_POINTS, d)
        for family in families_in(d):
            gradients[d, family] = gradient_error(small, family, SLICES[-1], arguments.draws)
        found, rival = measure(arguments.points, d, arguments.draws, arguments.seconds)
        points += found
        rivals.append(rival)
    _write_csv(arguments.out / "directions.csv", norms, [*points, *rivals], about)
    plots.plot_errors(arguments.out / "directions.svg", _curves([*points, *rivals]))
    text = "\n".join(_markdown(norms, gradients, points, rivals, about))
    (arguments.out / "directions.md").write_text(text)
    print(text)


def _curves(points: list[Point]) -> dict[int, dict[str, dict[str, list[float]]]]:
    curves: dict[int, dict[str, dict[str, list[float]]]] = {}
    for point in points:
        empty: dict[str, list[float]] = {"slices": [], "seconds": [], "error": []}
        curve = curves.setdefault(point.d, {}).setdefault(point.family, empty)
        for name, value in zip(curve, (point.slices, point.seconds, point.error), strict=True):
            curve[name].append(value)
    return curves


def _write_csv(
    path: Path,
    norms: dict[tuple[int, str], list[float]],
    points: list[Point],
    about: dict[str, str],
) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "d", "family", "slices", "error", "median_seconds", *about])
        for (d, family), errors in norms.items():
            for slices, error in zip(NORM_SLICES, errors, strict=True):
                writer.writerow(["norm", d, family, slices, f"{error:.4g}", "", *about.values()])
        for p in points:
            cells = [p.d, p.family, p.slices, f"{p.error:.4g}", f"{p.seconds:.4g}"]
            writer.writerow(["gradient", *cells, *about.values()])


def _markdown(
    norms: dict[tuple[int, str], list[float]],
    gradients: dict[tuple[int, str], float],
    points: list[Point],
    rivals: list[Point],
    about: dict[str, str],
) -> list[str]:
    names = ("equispaced", *FAMILIES)
    lines = ["# Directions", "", *(f"- {key}: {value}" for key, value in about.items()), ""]

    def table(title: str, cell: Callable[[int, str], str]) -> None:
        lines.extend([f"## {title}", "", "| d | " + " | ".join(names) + " |"])
        lines.append("|---:|" + "---:|" * len(names))
        for d in DIMENSIONS:
            cells = [cell(d, name) if name in families_in(d) else "" for name in names]
            lines.append(f"| {d} | " + " | ".join(cells) + " |")
        lines.append("")

    at = {(p.d, p.family, p.slices): p for p in points}
    own = {key: [p for p in points if (p.d, p.family) == key] for key in norms}
    of_papers = {p.d: p for p in rivals}

    def faster(d: int, name: str) -> float:
        return of_papers[d].seconds / seconds_to(of_papers[d].error, own[d, name])

    table(f"Error of sliced norms at P = {NORM_SLICES[-1]}", lambda d, f: f"{norms[d, f][-1]:.2g}")
    table("Rate r of that error, P^-r", lambda d, f: f"{fitted_rate(NORM_SLICES, norms[d, f]):.2f}")
    last = SLICES[-1]
    table(
        f"Error of N times the gradient at P = {last}, N = M = {ERROR_POINTS}",
        lambda d, f: f"{gradients[d, f]:.2g}",
    )
    table(
        f"Milliseconds at P = {last}, N = M as in the command",
        lambda d, f: f"{1000 * at[d, f, last].seconds:.3g}",
    )
    table(
        f"Times faster than the papers' algorithm (iid, P = {PAPERS_SLICES}) at its error",
        lambda d, f: "-" if math.isnan(faster(d, f)) else f"{faster(d, f):.3g}",
    )
    for what, limits in WANTED.items():
        for d, wanted in limits.items():
            able = [f for f in families_in(d) if (f == "hadamard") == (what == "hadamard")]
            reached = [(faster(d, f), f) for f in able if not math.isnan(faster(d, f))]
            best, name = max(reached, default=(math.nan, "none"))
            verdict = "met" if best >= wanted else "not met"
            lines.append(
                f"- {verdict}: {best:.3g} times faster at d = {d} with {what}, {name} "
                f"(wanted: {wanted})"
            )
    return [*lines, ""]


if __name__ == "__main__":
    main()
