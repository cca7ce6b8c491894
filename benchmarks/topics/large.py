"""Large data on one machine: memory and time of gradients, mapped files, minibatches, Dask.

Draws large.svg.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np

import energyflow as ef

from ..memory import GIB, MIB, alone, peak_resident, timed
from ..pictures import WIDTH, curves, figure
from ..rows import Line, Row
from ..runner import Run, Topic
from ..shapes import Shape, problem
from . import _large_dask

LIMIT = 8 * GIB  # wanted: peak resident memory of the largest cases
CURVE = "memory of one gradient, float32, 32 slices"


def _pictures(rows: list[Row], out: Path) -> None:
    """Peak extra memory and time over the number of points, with what is promised of memory."""
    own: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        if row.experiment == CURVE:
            n, _, d = row.method.partition(" points each, ")
            own.setdefault(row.measure, {}).setdefault(d, []).append((float(n), row.value))
    if not own:
        return
    with figure(out / "large.svg", WIDTH, 7) as drawn:
        upper, lower = drawn.subplots(2, 1)
        for measure, style in (("peak extra, MiB", "o-"), ("bound, MiB", "--")):
            what = measure.partition(",")[0]
            lines = {f"{d}: {what}": points for d, points in own[measure].items()}
            curves(upper, lines, style, x="N = M", y="MiB")
        curves(lower, own["s of all CPUs"], x="N = M", y="s of all CPUs, 32 slices")
        drawn.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=2)


TOPIC = Topic("large", "Large data", __doc__, pictures=_pictures)


def bound(n: int, d: int, p: int) -> int:
    """What is documented for one gradient of N = M points: the result, and working memory."""
    result, directions, points = 4 * n * d, 4 * p * d, 2 * 4 * n * d
    return result + directions + max(64 * MIB, 16 * 4 * 2 * n + points // 8)


def _gradient(n: int, d: int, p: int, seed: int) -> tuple[int, dict[str, float]]:
    task = problem(Shape(n, d, p), seed)

    def call(count: int = n) -> Any:
        x, y, directions = task.arrays
        return ef.sliced_energy_gradient(x[:count], y[:count], projections=directions)

    call(1000)
    return timed(call)[1:]


@TOPIC("memory")
def memory(run: Run) -> Iterator[Line]:
    """Peak extra memory and time of one gradient over the number of points."""
    sizes = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
    cases = [(n, 2) for n in sizes] + [(n, 100) for n in sizes[:3]]
    for n, d in [(10_000, 2), (10_000, 100)] if run.quick else cases:
        peak, seconds = alone(_gradient, n, d, 32, run.seed)
        most = bound(n, d, 32)
        numbers = {"peak extra, MiB": peak / MIB, "bound, MiB": most / MIB}
        yield Line(
            CURVE, f"{n} points each, d = {d}", numbers | {"of the bound": peak / most} | seconds
        )


def _make_files(folder: Path, n: int, d: int, seed: int) -> None:
    """Normal points, x.npy and y.npy, float32, written part by part."""
    for k, name in enumerate(("x", "y")):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (n, d))
        rows = max(1, 2**22 // d)
        for start in range(0, n, rows):
            rng = np.random.default_rng([seed, k, start])
            part = file[start : start + rows]
            part[:] = rng.standard_normal(part.shape, dtype=np.float32) + np.float32(k / 2)


def _flow(y: np.ndarray, x: np.ndarray, batch_size: int | None, how: dict[str, Any]) -> None:
    steps = ef.ParticleFlow(y, batch_size=batch_size, **how)
    steps.run(np.array(x), 3, record_every=3, progress=False)


MAPPED: dict[str, Callable[..., Any]] = {
    "distance": lambda x, y, how: ef.sliced_energy_distance(x, y, **how),
    "gradient": lambda x, y, how: ef.sliced_energy_gradient(x, y, **how),
    "flow, 3 steps": lambda x, y, how: _flow(y, x, None, how),
    "flow, 3 steps, a tenth of the target each": lambda x, y, how: _flow(y, x, len(y) // 10, how),
}


def _mapped(what: str, folder: Path, how: dict[str, Any]) -> Any:
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")
    ef.sliced_energy_gradient(x[:1000], y[:1000], **how)
    return timed(partial(MAPPED[what], x, y, how), peak_resident)[1:]


@TOPIC("mapped")
def mapped(run: Run) -> Iterator[Line]:
    """Resident memory of a whole process that reads x and y from mapped files."""
    how = {"n_projections": 16, "rng": run.seed}
    for n, d in [(10_000, 2), (1000, 100)] if run.quick else [(10**7, 2), (10**6, 100)]:
        with TemporaryDirectory() as folder:
            _make_files(Path(folder), n, d, run.seed)
            for what in MAPPED:
                peak, seconds = alone(_mapped, what, Path(folder), how)
                numbers = {"peak resident, GiB": peak / GIB, "of 8 GiB": peak / LIMIT}
                numbers |= {"files, GiB": 2 * 4 * n * d / GIB} | seconds
                yield Line(f"mapped files of {n} points each, d = {d}, 16 slices", what, numbers)


@TOPIC("minibatches")
def minibatches(run: Run) -> Iterator[Line]:
    """The bias of the recorded distance beside its formula, and where flows end."""
    seed = run.seed
    draws, m, steps = (20, 500, 20) if run.quick else (1000, 20_000, 500)
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(size=(500, 2)), rng.uniform(size=(m, 2))
    directions = ef.sample_projections(64, 2, rng=seed)

    def distance(y: np.ndarray) -> float:
        return float(ef.sliced_energy_distance(x, y, projections=directions))

    whole, own = distance(y), _self_distance(y, directions)
    for size in (10, 30, 100, 300) if run.quick else (10, 30, 100, 300, 1000, 3000, 10_000):
        parts = (np.random.default_rng([seed, k]).choice(m, size, False) for k in range(draws))
        values = [distance(y[part]) for part in parts]
        numbers = {
            "mean error": float(np.mean(values)) - whole,
            "standard error": float(np.std(values)) / math.sqrt(draws),
            "W (M - B) / (M B - B)": own * (m - size) / (size * (m - 1)),
        }
        yield Line("bias of a minibatch's distance", f"{size} of {m} points", numbers)
    title = f"flow of 1000 particles, {steps} steps"
    start = rng.normal(size=(1000, 2))
    for size in (None, 100) if run.quick else (None, 100, 1000, 10_000):
        flow = ef.ParticleFlow(
            y, n_projections=32, batch_size=size, rng=seed,
            step_size=lambda step: 0.5 / (1 + step / 50),
        )  # fmt: skip
        clock = process_time()
        particles = flow.run(start, steps, progress=False).particles
        busy = process_time() - clock
        numbers = {"distance to the target": float(ef.energy_distance(particles, y))}
        numbers["ms of all CPUs a step"] = 1000 * busy / steps
        yield Line(title, f"{size or 'all'} of {m} points", numbers)
    other = float(ef.energy_distance(rng.uniform(size=(1000, 2)), y))
    yield Line(title, "1000 new points of the target", {"distance to the target": other})


def _self_distance(y: np.ndarray, directions: np.ndarray) -> float:
    """W: the sliced mean of |y_j - y_l|, from ranks."""
    places = 2 * np.arange(len(y)) + 1 - len(y)
    means = 2 / len(y) ** 2 * (places @ np.sort(y @ directions.T, axis=0))
    return float(ef.slicing_constant(y.shape[1]) * means.mean())


def _counted(values: int, times: int, shift: int) -> dict[str, float]:
    """Whole numbers and shifted ones: errors of value and gradient.

    The numbers 0, 1, ... come `times` each; with the distribution functions A and B, A - B rises
    to shift / values in steps, stays there, and falls.
    """
    x = np.repeat(np.arange(values, dtype=np.float32), times)[:, None]
    y = x + np.float32(shift)
    ef.sliced_energy_value_and_gradient(x[:1000], y[:1000])
    call = partial(ef.sliced_energy_value_and_gradient, x, y, n_projections=1)
    (value, gradient), peak, seconds = timed(call)
    rising = math.fsum((k / values) ** 2 for k in range(1, shift))
    exact = 2 * (2 * rising + (values - shift + 1) * (shift / values) ** 2)
    inside = -4 * shift / values / len(x)
    middle = gradient[shift * times : (values - shift) * times]
    return {
        "error of E": abs(float(value) / exact - 1),
        "largest error of the gradient": float(np.abs(middle / np.float32(inside) - 1).max()),
        "peak extra, MiB": peak / MIB,
        "s": seconds["s"],
    }


@TOPIC("counters")
def counters(run: Run) -> Iterator[Line]:
    """Counts whose products pass 2^53: their distance is known."""
    values, times = (1000, 6) if run.quick else (16_000_000, 6)
    n = values * times
    name = f"{n} points each on a line, N M = 2^{2 * math.log2(n):.1f}, float32"
    yield Line("counters", name, alone(_counted, values, times, 7))


TOPIC("dask")(_large_dask.rows)
