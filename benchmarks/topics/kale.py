"""KALE flows to three rings: how fast they reach the values of the published runs.

Draws kale.png. The published iteration runs beside ours for some hundred steps, in turns;
it is checked that both take the same path where ours has its settings, and its time to the
published value is its time a step over the published number of steps.
"""

from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import energyflow as ef

from ..pictures import ASIDE, REACHED, figure
from ..runner import Line, Run, Topic
from ._kale_published import ITERATIONS, STEP_SIZES, PublishedFlow

TOPIC = Topic("kale", "KALE flows", __doc__, threads=1)
WIDTH = 0.1  # the kernel is exp(-|x - y|^2 / WIDTH)
KERNEL = ef.kernels.Gauss((WIDTH / 2) ** 0.5)
_TURN = 10  # steps of one method before it is the other's turn
_SHOWN = (0, 50, 200)


def three_rings() -> np.ndarray:
    """3 x 80 points of radius 0.3, centres 0.75 apart."""
    angle = np.arange(80) * (2 * np.pi / 80)
    ring = 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([ring - np.array([0, 0.75 * k]) for k in range(3)])


def start(seed: int) -> np.ndarray:
    """240 particles near the foot of the first ring."""
    return np.random.default_rng(seed).normal((0, -0.3), 0.01, (240, 2))


def step_seconds(regularization: float, seed: int, n_steps: int) -> tuple[float, float]:
    """Median seconds a step of the published iteration and of ours, in turns on one path."""
    import torch

    rings = three_rings()
    published = PublishedFlow(
        torch.asarray(start(seed)), torch.asarray(rings), WIDTH, regularization
    )
    size = STEP_SIZES[regularization]
    same = ef.KALEFlow(rings, KERNEL, regularization=regularization, step_size=size)
    reached: Any = start(seed)
    taken: tuple[list[float], list[float]] = [], []
    for _ in range(n_steps // _TURN):
        begun = perf_counter()
        for _ in range(_TURN):
            published.step()
        between = perf_counter()
        reached = same.run(reached, _TURN, record_every=_TURN, progress=False)
        taken[0].append((between - begun) / _TURN)
        taken[1].append((perf_counter() - between) / _TURN)
    values = published.step(), float(reached.history_distance[-1])
    if not np.isclose(*values, rtol=1e-3):
        raise RuntimeError(f"both must take the same path, but KALE is {values}")
    return median(taken[0]), median(taken[1])


TASKS: tuple[dict[str, Any], ...] = (
    # steps and momentum grow: from afar, large ones throw particles where the kernel is zero
    {
        "regularization": 1e-3, "goal": 3.45e-5,
        "step_size": lambda k: 1e-4 * min(1 + k / 50, 4),
        "momentum": lambda k: min(0.8 + k / 1000, 0.95),
    },
    {
        "regularization": 1e4, "goal": 1.67e-4,
        "step_size": lambda k: 1e-3 * min(1 + k / 25, 40),
        "momentum": lambda k: min(0.8 + k / 1500, 0.95),
    },
)  # fmt: skip


@TOPIC("rings")
def rings(run: Run) -> Iterator[Line]:
    """Steps and seconds until the published value, for a small and a large lambda."""
    with figure(run.out / "kale.png", 11, 8) as drawn:
        grid = drawn.subplots(len(TASKS), len(_SHOWN) + 2, width_ratios=[1, 1, 1, 1, 1.6])
        for panels, task in zip(grid, TASKS, strict=True):
            yield from _reach(run, panels, **task)


def _reach(
    run: Run, panels: Any, regularization: float, goal: float, **settings: Any
) -> Iterator[Line]:
    n_timed = 20 if run.quick else 100
    theirs, ours = step_seconds(regularization, run.seed, n_timed)
    along: dict[int, np.ndarray] = {}

    def callback(step: int, particles: np.ndarray, distance: float) -> bool:
        if step in _SHOWN:
            along[step] = particles
        return distance <= goal

    flow = ef.KALEFlow(three_rings(), KERNEL, regularization=regularization, **settings)
    begun = perf_counter()
    result = flow.run(
        start(run.seed), 50 if run.quick else 5000, record_every=1, callback=callback,
        progress=False,
    )  # fmt: skip
    seconds = perf_counter() - begun
    n_steps, last = int(result.state["step"]), float(result.history_distance[-1])
    if last > goal and not run.quick:
        run.failures.append(f"KALE must reach {goal:g}, but is {last:g} after {n_steps} steps")
    _draw(panels, goal, result, along | {n_steps: result.particles})
    panels[0].set_ylabel(f"lambda = {regularization:g}")
    apart = np.linalg.norm(result.particles[:, None] - three_rings(), axis=2).min(axis=1)
    note = (
        f"first value {result.history_distance[0]:.4g}; {np.sum(apart > 0.5)} of 240 particles end "
        f"more than 0.5 from the target; of the published iteration, ms a step are measured over "
        f"{n_timed} steps, KALE and steps are what the published run prints, s is their product"
    )
    published = theirs * ITERATIONS
    for method, value, steps, a_step, total in (
        ("published iteration", goal, ITERATIONS, theirs, published),
        ("energyflow", last, n_steps, ours, seconds),
    ):
        numbers = {"KALE": value, "steps": steps, "ms a step": 1000 * a_step, "s": total}
        yield Line(
            f"three rings, lambda = {regularization:g}, to KALE = {goal:g}",
            method, numbers | {"times faster": published / total}, note,
        )  # fmt: skip


def _draw(panels: Any, goal: float, result: ef.FlowResult, along: dict[int, np.ndarray]) -> None:
    """Particles over the target along the way and at the end, and KALE over the steps."""
    for axes, (step, particles) in zip(panels[:-1], along.items(), strict=False):
        axes.scatter(*three_rings().T, s=3, color=ASIDE, linewidths=0)
        axes.scatter(*particles.T, s=3, color=REACHED, linewidths=0)
        axes.set(title=f"step {step}", aspect="equal", xlim=(-0.6, 0.6), ylim=(-2.0, 0.5))
    panels[-1].plot(result.history_step, result.history_distance, color=REACHED)
    panels[-1].axhline(goal, color=ASIDE, linestyle="--")
    panels[-1].set(yscale="log", xlabel="step", ylabel="KALE")
