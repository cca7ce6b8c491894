"""How far sliced sums are from exact ones, by family of directions: at equal P and at equal time.

Draws directions.svg.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import energyflow as ef
from energyflow._core.random import as_source
from energyflow._slices.directions import sampled_projector

from ..competitors import papers
from ..measure import fitted_exponent, verdict
from ..pictures import WIDTH, curves, figure
from ..rows import Line, Row
from ..runner import Run, Topic
from ..timing import host_clock, medians

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
NORMS = f"Error of sliced norms at P = {NORM_SLICES[-1]}"
RATES = "Rate r of that error, P^-r"
GRADIENTS = f"Error of N times the gradient at P = {SLICES[-1]}, N = M = {ERROR_POINTS}"
FASTER = f"Times faster than the papers' algorithm (iid, P = {PAPERS_SLICES}) at its error"
OVER_P = "Error of N times the gradient, d = {}"
MS_OVER_P = "Milliseconds, d = {}"


def families_in(d: int) -> tuple[str, ...]:
    """The families worth trying in d dimensions."""
    return ("equispaced", "iid", "orthogonal", "sobol") if d == 2 else FAMILIES


def _pictures(rows: list[Row], out: Path) -> None:
    """Error of each family over the slices and over the time, one line a dimension."""
    dimensions = [d for d in DIMENSIONS if any(r.experiment == OVER_P.format(d) for r in rows)]
    if not dimensions:
        return
    with figure(out / "directions.svg", WIDTH, 2.3 * len(dimensions)) as drawn:
        panels = drawn.subplots(len(dimensions), 2, squeeze=False)
        shown: dict[str, Any] = {}
        named: dict[str, int] = {}  # the colour of each family
        for d, (left, right) in zip(dimensions, panels, strict=True):
            errors, times = (
                {(r.method, r.measure): r.value for r in rows if r.experiment == title.format(d)}
                for title in (OVER_P, MS_OVER_P)
            )
            own: dict[str, list[tuple[float, float, float]]] = {}
            for (family, slices), error in errors.items():
                number = float(slices.removeprefix("P = "))
                own.setdefault(family, []).append((number, times[family, slices], error))
            for axes, at, x in ((left, 0, "slices"), (right, 1, "ms")):
                lines = {name: [(v[at], v[2]) for v in line] for name, line in own.items()}
                colours = [f"C{named.setdefault(name, len(named))}" for name in lines]
                curves(axes, lines, colours=colours, x=x, title=f"d = {d}")
                shown |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        drawn.legend(shown.values(), shown, loc="outside upper center", ncols=3)
        drawn.supylabel("error of N times the gradient")


OPTIONS = {
    "points": "N = M of what is timed",
    "draws": "of directions, for every error",
    "seconds": "time a method and P",
}
TOPIC = Topic("directions", "Directions", __doc__, pictures=_pictures, options=OPTIONS)


@TOPIC("norms")
def norms(run: Run) -> Iterator[Line]:
    """Mean absolute error of sliced norms of 0.1 N(0, I), and the rate at which it falls with P."""
    errors = {
        (d, family): [_norm_error(d, family, p, 2 if run.quick else 10) for p in NORM_SLICES]
        for d in (DIMENSIONS[:2] if run.quick else DIMENSIONS)
        for family in families_in(d)
    }
    for title, number in (
        (NORMS, lambda own: own[-1]),
        (RATES, lambda own: -fitted_exponent(NORM_SLICES, own)),
    ):
        for family in ("equispaced", *FAMILIES):
            own = {f"d = {d}": number(e) for (d, name), e in errors.items() if name == family}
            yield Line(title, family, own)


def _norm_error(d: int, family: str, slices: int, runs: int) -> float:
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
        rng = np.random.default_rng([n, d])
        self.n, self.d = n, d
        x, y = rng.standard_normal((2, n, d))
        y += 1 / math.sqrt(d)
        self.exact = ef.energy_gradient(x, y)
        self.x, self.y = x.astype(np.float32), y.astype(np.float32)

    def error(self, call: Callable[[int], Any], draws: int) -> float:
        """Mean error of N times the gradient of F = E / 2 over draws of directions."""
        off = (self.n / 2 * (np.asarray(call(seed)) - self.exact) for seed in range(draws))
        return float(np.mean([np.linalg.norm(v, axis=1).mean() for v in off]))

    def ours(self, family: str, slices: int, seed: int = 0) -> np.ndarray:
        return ef.sliced_energy_gradient(
            self.x, self.y, n_projections=slices, slicing=family, rng=seed
        )

    def papers(self, seed: int = 0) -> Any:
        """With directions drawn as the papers draw them, normal and then normalised."""
        import torch

        directions = torch.randn(PAPERS_SLICES, self.d)
        directions /= directions.norm(dim=1, keepdim=True)
        return papers(torch.from_numpy(self.x), torch.from_numpy(self.y), directions)


@TOPIC("gradients")
def gradients(run: Run, *, draws: int = 10) -> Iterator[Line]:
    """Errors of gradients of few points at the largest P."""
    for d in DIMENSIONS[:2] if run.quick else DIMENSIONS:
        problem = Problem(ERROR_POINTS, d)
        for family in families_in(d):
            error = problem.error(partial(problem.ours, family, SLICES[-1]), draws)
            yield Line(GRADIENTS, family, {f"d = {d}": error})


@TOPIC("times")
def times(run: Run, *, points: int = 5000, draws: int = 10, seconds: float = 0.1) -> Iterator[Line]:
    """Errors and times of all families at all P, and when they reach the papers' error."""
    for d in DIMENSIONS[:2] if run.quick else DIMENSIONS:
        problem = Problem(500 if run.quick else points, d)
        known = [(family, p) for family in families_in(d) for p in SLICES]
        ways = {key: partial(problem.ours, *key) for key in known}
        errors = {key: problem.error(way, draws) for key, way in ways.items()}
        goal = problem.error(problem.papers, draws)
        calls = {"papers": problem.papers} | {str(key): way for key, way in ways.items()}
        taken = medians(calls, host_clock, seconds=seconds, turns=5)
        reached = {}
        for family in families_in(d):
            own = {f"P = {p}": errors[family, p] for p in SLICES}
            ms = {f"P = {p}": 1000 * taken[str((family, p))] for p in SLICES}
            yield Line(OVER_P.format(d), family, own)
            yield Line(MS_OVER_P.format(d), family, ms)
            until = seconds_to(goal, zip(own.values(), ms.values(), strict=True)) / 1000
            reached[family] = taken["papers"] / until
        at = f"P = {PAPERS_SLICES}"
        yield Line(OVER_P.format(d), "papers", {at: goal})
        yield Line(MS_OVER_P.format(d), "papers", {at: 1000 * taken["papers"]})
        notes = dict(_verdicts(d, reached))
        for family, ratio in reached.items():
            yield Line(FASTER, family, {f"d = {d}": ratio}, notes.get(family, ""))


def _verdicts(d: int, reached: dict[str, float]) -> Iterator[tuple[str, str]]:
    """The fastest family of each kind that has a target, and whether it is met."""
    for what, limits in WANTED.items():
        able = [f for f in reached if (f == "hadamard") == (what == "hadamard")]
        best = max(able, key=lambda f: np.nan_to_num(reached[f]), default=None)
        if d in limits and best:
            text = f"{reached[best]:.3g} times faster at d = {d} with {what}, {best}"
            yield best, verdict(text, reached[best], limits[d], least=True)


def seconds_to(error: float, points: Any) -> float:
    """Time until an error, on straight lines in logarithms between points (error, time).

    NaN where no number of slices reached it.
    """
    logs = sorted((math.log(e), math.log(t)) for e, t in points)
    target = math.log(error)
    if target >= logs[-1][0]:
        return math.exp(logs[-1][1])  # fewer slices were not tried
    if target < logs[0][0]:
        return math.nan
    return float(np.exp(np.interp(target, *zip(*logs, strict=True))))
