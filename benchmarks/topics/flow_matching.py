"""Conditional Wasserstein distances, and flow matching with three couplings.

Draws conditional_wasserstein.png and flow_matching_<what>.png. Times are those of the process on
one thread, so that other work does not count.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import energyflow as ef
from energyflow import inverse

from ..pictures import ASIDE, REACHED, curves, figure
from ..rows import Line, Row
from ..runner import Run, Topic
from . import _flow_matching_plain, _flow_matching_times
from ._flow_matching_posteriors import Posteriors

METHODS: dict[str, dict[str, Any]] = {
    "none": {"coupling": "none"},
    "ot": {"coupling": "ot", "coupling_size": 256},
    "conditional-ot, beta 4": {"coupling": "conditional-ot", "beta": 4.0},
    "conditional-ot, beta 20": {"coupling": "conditional-ot", "beta": 20.0},
}
COLOURS = (ASIDE, "#777777", REACHED, "#6fa8dc")
STEPS = (1, 2, 3, 5, 10, 20, 50)


def _pictures(rows: list[Row], out: Path) -> None:
    """Energy distance over Euler steps, means over seeds, and the course of a plain loop."""
    for title in {row.experiment for row in rows if row.experiment.endswith("3000 steps: Euler")}:
        lines: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
        for method, k in ((method, k) for method in METHODS for k in STEPS):
            key = title, method, f"E (U) at {k}"
            values = [r.value for r in rows if (r.experiment, r.method, r.measure) == key]
            lines[method] += [(k, float(np.mean(values)))] if values else []
        with figure(out / f"flow_matching_steps_{title.partition(',')[0]}.png", 5.6, 3.6) as drawn:
            axes = drawn.add_subplot()
            y = "energy distance (U) to the true posterior"
            curves(axes, lines, colours=COLOURS, x="Euler steps", y=y)
            axes.legend(frameon=False)
    _flow_matching_plain.draw_course(rows, out / "flow_matching_plain.png")


TITLE = "Conditional transport and flow matching"
TOPIC = Topic(
    "flow_matching", TITLE, __doc__, threads=0, by_method=True, pictures=_pictures,
    options={"couplings": f"of {'; '.join(METHODS)}, with semicolons between them"},
)  # fmt: skip
torch.set_num_threads(1)  # and no fewer CPUs, for couplings are found in the background


@TOPIC("counterexample")
def counterexample(run: Run) -> Iterator[Line]:
    """Conditions 0, 1/n, ...; x is 1 and -1 in turn, z is -x: near jointly, opposite given y."""
    n = 40
    y = np.arange(n)[:, None] / n
    x = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
    place = np.arange(n)

    def distance(**how: Any) -> float:
        return float(ef.conditional_wasserstein_distance(x, y, -x, y, **how))

    exact = distance()
    grouped = ef.conditional_wasserstein_distance(x, None, -x, None, groups=(place, place))
    energy = float(ef.energy_distance(np.hstack([x, y]), np.hstack([-x, y])))
    numbers = {
        "W_2 of x alone (beta 0)": distance(beta=0),
        "W_2 of the joint (beta 1)": distance(beta=1),
        "sqrt(E) of the joint": math.sqrt(energy),
        "conditional W_2": exact,
        "conditional W_2, by groups": float(grouped),
    }
    yield Line("counterexample", f"{n} conditions", numbers)
    betas = np.geomspace(0.1, 1000, 17 if run.quick else 65)
    with figure(run.out / "conditional_wasserstein.png", 5.6, 3.6) as drawn:
        axes = drawn.add_subplot()
        axes.plot(
            betas, [distance(beta=b) for b in betas], color=REACHED, label="relaxed, over beta"
        )
        axes.axhline(exact, color=ASIDE, linestyle="--", label="conditional (mean over y)")
        axes.set(xscale="log", xlabel="beta", ylabel="W")
        axes.legend(frameon=False)


@TOPIC("mixture", problem="mixture", n_steps=3000)
@TOPIC("longer", problem="mixture", n_steps=12_000)
@TOPIC("sharp", problem="sharp", n_steps=3000)
def posteriors(
    run: Run, problem: str, n_steps: int, *, couplings: str = ";".join(METHODS)
) -> Iterator[Line]:
    """Differences to the true posteriors for some couplings, and few-step sampling."""
    work = Posteriors(problem, run.seed, 2 if run.quick else 100)
    title = f"{problem}, {n_steps} steps"
    for method, scores in work.references().items():
        yield Line(title, method, scores)
    for method in couplings.split(";"):
        flow, seconds = work.fitted(run.seed, 100 if run.quick else n_steps, **METHODS[method])
        yield Line(title, method, {"CPU s": seconds} | work.scores(flow))
        errors = {f"E (U) at {k}": work.energy(flow, k, 20) for k in STEPS}
        yield Line(f"{title}: Euler", method, errors)


@TOPIC("defaults")
def defaults(run: Run) -> Iterator[Line]:
    """Differences to the true posteriors of both problems by `PosteriorFlow` as it is."""
    for problem in ("mixture", "sharp"):
        work = Posteriors(problem, run.seed, 2 if run.quick else 100)
        small = {"n_steps": 100} if run.quick else {}
        flow = inverse.PosteriorFlow(work.problem, seed=run.seed, device="cpu", **small)
        title = f"{problem}, by the defaults"
        for method, scores in work.references().items():
            yield Line(title, method, scores)
        yield Line(title, "PosteriorFlow", {"CPU s": work.fit(flow)} | work.scores(flow))


@TOPIC("betas")
def betas(run: Run) -> Iterator[Line]:
    """Few-step sampling over beta."""
    work = Posteriors("mixture", run.seed, 2 if run.quick else 10)
    n_steps = 100 if run.quick else 2000
    for beta in (2.0,) if run.quick else (0.5, 1.0, 2.0, 4.0):
        flow, _ = work.fitted(run.seed, n_steps, coupling="conditional-ot", beta=beta)
        errors = {f"E (U) at {k}": work.energy(flow, k, 10) for k in (1, 2, 3, 5, 20)}
        yield Line(f"mixture: beta, {n_steps} steps", f"{beta:g}", errors)


TOPIC.update(_flow_matching_plain.EXPERIMENTS | _flow_matching_times.EXPERIMENTS)
