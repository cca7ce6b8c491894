"""Conditional Wasserstein distances, and flow matching with three couplings.

Writes flow_matching.csv and flow_matching.md with pictures beside; experiments that are not run
keep their rows. Times are those of the process on one thread, so that other work does not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import energyflow as ef
from energyflow._core import pictures as _pictures

from .flow_matching_plain import OURS, PLAIN, beside_plain, draw_course, plain
from .flow_matching_posteriors import Posteriors
from .flow_matching_times import times
from .rows import Row, command, read, shown, write

METHODS: dict[str, dict[str, Any]] = {
    "none": {"coupling": "none"},
    "ot": {"coupling": "ot", "coupling_size": 256},
    "conditional-ot, beta 4": {"coupling": "conditional-ot", "beta": 4.0},
    "conditional-ot, beta 20": {"coupling": "conditional-ot", "beta": 20.0},
}
COLOURS = (_pictures.ASIDE, "#777777", _pictures.REACHED, "#6fa8dc")
STEPS = (1, 2, 3, 5, 10, 20, 50)


def counterexample(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Conditions 0, 1/n, ...; x is 1 and -1 in turn, z is -x: near jointly, opposite given y."""
    n = 40
    y = np.arange(n)[:, None] / n
    x = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
    betas = np.geomspace(0.1, 1000, 17 if quick else 65)
    values = [float(ef.conditional_wasserstein_distance(x, y, -x, y, beta=b)) for b in betas]
    plain = float(ef.conditional_wasserstein_distance(x, y, -x, y, beta=0))
    exact = float(ef.conditional_wasserstein_distance(x, y, -x, y))
    place = np.arange(n)
    grouped = float(ef.conditional_wasserstein_distance(x, None, -x, None, groups=(place, place)))
    near = float(ef.conditional_wasserstein_distance(x, y, -x, y, beta=1))
    energy = float(ef.energy_distance(np.hstack([x, y]), np.hstack([-x, y])))
    for measure, value in (
        ("W_2 of x alone (beta 0)", plain), ("W_2 of the joint (beta 1)", near),
        ("sqrt(E) of the joint", math.sqrt(energy)), ("conditional W_2", exact),
        ("conditional W_2, by groups", grouped),
    ):  # fmt: skip
        yield Row("counterexample", f"{n} conditions", seed, measure, value)
    figure = _pictures._figure(5.6, 3.6)
    axes = figure.add_subplot()
    axes.plot(betas, values, color=_pictures.REACHED, label="relaxed, over beta")
    axes.axhline(exact, color=_pictures.ASIDE, linestyle="--", label="conditional (mean over y)")
    axes.set_xscale("log")
    axes.set_xlabel("beta")
    axes.set_ylabel("W")
    axes.legend(frameon=False)
    _pictures._save(figure, out / "conditional_wasserstein.png")


def posteriors(name: str, n_steps: int, seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Differences to the true posteriors for the three couplings, and few-step sampling."""
    work = Posteriors(name, seed, 2 if quick else 100)
    title = f"{name}, {n_steps} steps"
    for method, scores in work.references().items():
        for measure, value in scores.items():
            yield Row(title, method, seed, measure, value)
    for method, settings in METHODS.items():
        yield from trained(work, title, method, settings, n_steps, seed, quick)


def trained(
    work: Posteriors, title: str, method: str, settings: dict[str, Any], n_steps: int, seed: int,
    quick: bool,
) -> Iterator[Row]:  # fmt: skip
    """Differences after training with one coupling, and over the number of Euler steps."""
    model, seconds = work.fitted(seed, 100 if quick else n_steps, **settings)
    scores = work.scores(lambda y: model.sample(1000, y.astype(np.float32), 1))
    for measure, value in ({"CPU s": seconds} | scores).items():
        yield Row(title, method, seed, measure, value)
    for k in STEPS:
        yield Row(f"{title}: Euler", method, seed, f"E (U) at {k}", work.energy(model, k, 20))


def draw_steps(rows: list[Row], path: Path) -> None:
    """Energy distance over the number of Euler steps, means over seeds."""
    figure = _pictures._figure(5.6, 3.6)
    axes = figure.add_subplot()
    for colour, method in zip(COLOURS, METHODS, strict=True):
        found = [
            [r.value for r in rows if (r.method, r.measure) == (method, f"E (U) at {k}")]
            for k in STEPS
        ]
        if all(found):
            axes.plot(STEPS, [np.mean(v) for v in found], "o-", color=colour, label=method)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("Euler steps")
    axes.set_ylabel("energy distance (U) to the true posterior")
    axes.legend(frameon=False)
    _pictures._save(figure, path)


def betas(name: str, seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Few-step sampling over beta."""
    work = Posteriors(name, seed, 2 if quick else 10)
    for beta in (2.0,) if quick else (0.5, 1.0, 2.0, 4.0):
        n_steps = 100 if quick else 2000
        model, _ = work.fitted(seed, n_steps, coupling="conditional-ot", beta=beta)
        for k in (1, 2, 3, 5, 20):
            value = work.energy(model, k, 10)
            yield Row(f"{name}: beta, {n_steps} steps", f"{beta:g}", seed, f"E (U) at {k}", value)


EXPERIMENTS = {
    "counterexample": counterexample,
    "mixture": partial(posteriors, "mixture", 3000),
    "longer": partial(posteriors, "mixture", 12_000),
    "sharp": partial(posteriors, "sharp", 3000),
    "betas": partial(betas, "mixture"),
    "plain": plain,
    "beside-plain": beside_plain,
    "times": times,
}


def main() -> None:
    parser = command("flow_matching", __doc__, EXPERIMENTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.out / "flow_matching.csv"
    for name, seed in product(arguments.names or EXPERIMENTS, arguments.seeds):
        rows = shown(EXPERIMENTS[name](seed, arguments.quick, arguments.out))
        write(path, "Conditional transport and flow matching", rows)
        for title in {row.experiment for row in rows}:
            same = [row for row in read(path) if row.experiment == title]
            if title in (PLAIN, OURS):
                draw_course(read(path), arguments.out / "flow_matching_plain.png")
            elif title.endswith(": Euler"):
                problem = title.partition(",")[0]
                draw_steps(same, arguments.out / f"flow_matching_steps_{problem}.png")


if __name__ == "__main__":
    main()
