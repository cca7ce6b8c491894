"""Large data on one machine: memory and time of gradients, mapped files, minibatches, Dask.

Writes large.csv, large.md and large.svg; experiments that are not run keep their rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

import energyflow as ef

from . import large_dask
from .machine import n_threads, use_threads
from .memory import HostMemory, peak_memory, peak_resident
from .plots import plot_memory
from .rows import Row, command, read, shown, write
from .shapes import Shape, problem

MIB, GIB = 2**20, 2**30
LIMIT = 8 * GIB  # wanted: peak resident memory of the largest cases
CURVE = "memory of one gradient, float32, 32 slices"


def bound(n: int, d: int, p: int) -> int:
    """What is documented for one gradient of N = M points: the result, and working memory."""
    result, directions, points = 4 * n * d, 4 * p * d, 2 * 4 * n * d
    return result + directions + max(64 * MIB, 16 * 4 * 2 * n + points // 8)


def _gradient(n: int, d: int, p: int, threads: int, seed: int) -> tuple[int, float, float]:
    """Peak extra bytes, seconds, and seconds of the CPUs of one gradient."""
    use_threads(threads)
    task = problem(Shape(n, d, p), seed)

    def call(count: int = n) -> Any:
        x, y, directions = task.arrays
        return ef.sliced_energy_gradient(x[:count], y[:count], projections=directions)

    call(1000)
    wall, busy = perf_counter(), process_time()
    _, peak = peak_memory(call)
    return peak, perf_counter() - wall, process_time() - busy


def memory(seed: int, quick: bool) -> Iterator[Row]:
    """Peak extra memory and time of one gradient over the number of points."""
    sizes = (1e5, 3e5, 1e6, 3e6, 1e7)
    cases = [(int(n), 2) for n in sizes] + [(int(n), 100) for n in sizes[:3]]
    threads = n_threads()
    with HostMemory(threads) as host:
        for n, d in [(10_000, 2), (10_000, 100)] if quick else cases:
            peak, wall, busy = host.run(_gradient, n, d, 32, threads, seed)
            where = CURVE, f"{n} points each, d = {d}", seed
            yield Row(*where, "peak extra, MiB", peak / MIB)
            yield Row(*where, "bound, MiB", bound(n, d, 32) / MIB)
            yield Row(*where, "of the bound", peak / bound(n, d, 32))
            yield Row(*where, "s", wall)
            yield Row(*where, "s of all CPUs", busy)


# -- mapped files --------------------------------------------------------------------------------


def _make_files(folder: Path, n: int, d: int, seed: int) -> None:
    """Normal points, x.npy and y.npy, float32, written part by part."""
    for k, name in enumerate(("x", "y")):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (n, d))
        rows = max(1, 2**22 // d)
        for start in range(0, n, rows):
            rng = np.random.default_rng([seed, k, start])
            part = file[start : start + rows]
            part[:] = rng.standard_normal(part.shape, dtype=np.float32) + np.float32(k / 2)


def _mapped(what: str, folder: Path, p: int, threads: int, seed: int) -> tuple[int, float, float]:
    """Peak resident bytes of the whole process, seconds, and seconds of the CPUs."""
    use_threads(threads)
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")
    how = {"n_projections": p, "rng": seed}

    def flow(batch_size: int | None) -> None:
        steps = ef.ParticleFlow(y, batch_size=batch_size, **how)
        steps.run(np.array(x), 3, record_every=3, progress=False)

    calls: dict[str, Callable[[], Any]] = {
        "distance": lambda: ef.sliced_energy_distance(x, y, **how),
        "gradient": lambda: ef.sliced_energy_gradient(x, y, **how),
        "flow, 3 steps": lambda: flow(None),
        "flow, 3 steps, a tenth of the target each": lambda: flow(len(y) // 10),
    }
    ef.sliced_energy_gradient(x[:1000], y[:1000], **how)
    wall, busy = perf_counter(), process_time()
    _, peak = peak_resident(calls[what])
    return peak, perf_counter() - wall, process_time() - busy


MAPPED = (
    "distance", "gradient", "flow, 3 steps", "flow, 3 steps, a tenth of the target each",
)  # fmt: skip


def mapped(seed: int, quick: bool) -> Iterator[Row]:
    """Resident memory of a whole process that reads x and y from mapped files."""
    cases = [(10_000, 2), (1000, 100)] if quick else [(10**7, 2), (10**6, 100)]
    threads, p = n_threads(), 16
    for n, d in cases:
        name = f"mapped files of {n} points each, d = {d}, {p} slices"
        with TemporaryDirectory() as folder, HostMemory(threads) as host:
            _make_files(Path(folder), n, d, seed)
            for what in MAPPED:
                peak, wall, busy = host.run(_mapped, what, Path(folder), p, threads, seed)
                yield Row(name, what, seed, "peak resident, GiB", peak / GIB)
                yield Row(name, what, seed, "of 8 GiB", peak / LIMIT)
                yield Row(name, what, seed, "files, GiB", 2 * 4 * n * d / GIB)
                yield Row(name, what, seed, "s", wall)
                yield Row(name, what, seed, "s of all CPUs", busy)


# -- minibatches ---------------------------------------------------------------------------------


def minibatches(seed: int, quick: bool) -> Iterator[Row]:
    """The bias of the recorded distance beside its formula, and where flows end."""
    draws, m, steps = (20, 500, 20) if quick else (1000, 20_000, 500)
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(size=(500, 2)), rng.uniform(size=(m, 2))
    directions = ef.sample_projections(64, 2, rng=seed)
    whole = float(ef.sliced_energy_distance(x, y, projections=directions))
    spread = _self_distance(y, directions)
    for size in (10, 30, 100, 300) if quick else (10, 30, 100, 300, 1000, 3000, 10_000):
        values = [
            float(
                ef.sliced_energy_distance(x, y[_some(m, size, [seed, k])], projections=directions)
            )
            for k in range(draws)
        ]
        where = "bias of a minibatch's distance", f"{size} of {m} points", seed
        yield Row(*where, "mean error", float(np.mean(values)) - whole)
        yield Row(*where, "standard error", float(np.std(values)) / math.sqrt(draws))
        yield Row(*where, "W (M - B) / (M B - B)", spread * (m - size) / (size * (m - 1)))
    start = rng.normal(size=(1000, 2))
    for size in (None, 100, 1000, 10_000) if not quick else (None, 100):
        flow = ef.ParticleFlow(
            y, n_projections=32, batch_size=size, rng=seed,
            step_size=lambda step: 0.5 / (1 + step / 50),
        )  # fmt: skip
        clock = process_time()
        particles = flow.run(start, steps, progress=False).particles
        busy = process_time() - clock
        where = f"flow of 1000 particles, {steps} steps", f"{size or 'all'} of {m} points", seed
        yield Row(*where, "distance to the target", float(ef.energy_distance(particles, y)))
        yield Row(*where, "ms of all CPUs a step", 1000 * busy / steps)
    other = rng.uniform(size=(1000, 2))
    yield Row(*where[:1], "1000 new points of the target", seed, "distance to the target",
              float(ef.energy_distance(other, y)))  # fmt: skip


def _self_distance(y: np.ndarray, directions: np.ndarray) -> float:
    """W: the sliced mean of |y_j - y_l|, from ranks."""
    places = 2 * np.arange(len(y)) + 1 - len(y)
    means = 2 / len(y) ** 2 * (places @ np.sort(y @ directions.T, axis=0))
    return float(ef.slicing_constant(y.shape[1]) * means.mean())


def _some(count: int, size: int, seed: list[int]) -> np.ndarray:
    return np.random.default_rng(seed).choice(count, size, replace=False)


# -- counters ------------------------------------------------------------------------------------


def _counted(values: int, times: int, shift: int, threads: int) -> tuple[float, float, int, float]:
    """Errors of value and gradient, peak extra bytes and seconds: whole numbers and shifted ones.

    The numbers 0, 1, ... come `times` each; with the distribution functions A and B, A - B rises
    to shift / values in steps, stays there, and falls.
    """
    use_threads(threads)
    x = np.repeat(np.arange(values, dtype=np.float32), times)[:, None]
    y = x + np.float32(shift)
    ef.sliced_energy_value_and_gradient(x[:1000], y[:1000])
    start = perf_counter()
    (value, gradient), peak = peak_memory(
        lambda: ef.sliced_energy_value_and_gradient(x, y, n_projections=1)
    )
    seconds = perf_counter() - start
    rising = math.fsum((k / values) ** 2 for k in range(1, shift))
    exact = 2 * (2 * rising + (values - shift + 1) * (shift / values) ** 2)
    inside = -4 * shift / values / len(x)
    middle = gradient[shift * times : (values - shift) * times]
    error = float(np.abs(middle / np.float32(inside) - 1).max())
    return abs(float(value) / exact - 1), error, peak, seconds


def counters(seed: int, quick: bool) -> Iterator[Row]:
    """Counts whose products pass 2^53: their distance is known."""
    values, times = (1000, 6) if quick else (16_000_000, 6)
    threads = n_threads()
    with HostMemory(threads) as host:
        found = host.run(_counted, values, times, 7, threads)
    n = values * times
    name = f"{n} points each on a line, N M = 2^{2 * math.log2(n):.1f}, float32"
    names = ("error of E", "largest error of the gradient", "peak extra, MiB", "s")
    numbers = (*found[:2], found[2] / MIB, found[3])
    for measure, number in zip(names, numbers, strict=True):
        yield Row("counters", name, seed, measure, number)


EXPERIMENTS = {
    "memory": memory,
    "mapped": mapped,
    "minibatches": minibatches,
    "counters": counters,
    "dask": large_dask.rows,
}


def main() -> None:
    arguments = command("large", __doc__, EXPERIMENTS).parse_args()
    out = arguments.out
    for name in arguments.names or EXPERIMENTS:
        write(out / "large.csv", "Large data", shown(EXPERIMENTS[name](0, arguments.quick)))
    plot_memory(out / "large.svg", [r for r in read(out / "large.csv") if r.experiment == CURVE])


if __name__ == "__main__":
    main()
