"""Dask arrays that are not in memory: what one process, or each worker of a cluster, takes."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

import energyflow as ef

from ..machine import n_threads
from ..memory import MIB, alone, status, timed
from ..runner import Line, Run

D, CHUNK = 100, 20_000
N_PROJECTIONS = 32


def _made(block_id: tuple[int, int], seed: int, size: int, d: int) -> np.ndarray:
    rng = np.random.default_rng([seed, block_id[0]])
    return rng.standard_normal((size, d), dtype=np.float32)


def _points(n: int, seed: int) -> Any:
    """Normal points (n, D) that are made chunk by chunk, whenever they are asked for."""
    import dask.array as da

    size = min(CHUNK, n)
    return da.map_blocks(
        _made, chunks=((size,) * (n // size), (D,)), dtype=np.float32,
        meta=np.empty((0, 0), np.float32), seed=seed, size=size, d=D,
    )  # fmt: skip


def _task(n: int, together: int, what: str) -> list[Any]:
    """What is to be computed: of a gradient the sum of its sizes, so that none is brought back."""
    how = {"n_projections": N_PROJECTIONS, "chunk_size": together, "rng": 0}
    x, y = _points(n, 0), _points(n, 1)
    if what == "distance":
        return [ef.sliced_energy_distance(x, y, **how)]
    value, slopes = ef.sliced_energy_value_and_gradient(x, y, **how)
    return [value, abs(slopes).sum()]


def _in_threads(n: int, together: int, what: str) -> tuple[int, dict[str, float]]:
    import dask

    wanted = _task(n, together, what)
    with dask.config.set(scheduler="threads", num_workers=n_threads()):
        dask.compute(*_task(2000, together, what))
        return timed(lambda: dask.compute(*wanted))[1:]


def _in_cluster(n: int, together: int, what: str) -> tuple[int, float]:
    """Peak resident bytes that the worst worker of two added to those it began with; seconds."""
    import dask
    from distributed import Client, LocalCluster

    wanted = _task(n, together, what)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            memory_limit="2GiB",
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        dask.compute(*_task(2000, together, what))
        before = client.run(status, "VmHWM")
        start = perf_counter()
        dask.compute(*wanted)
        seconds = perf_counter() - start
        after = client.run(status, "VmHWM")
    return max(after[worker] - before[worker] for worker in after), seconds


def rows(run: Run) -> Iterator[Line]:
    """Memory over the size of the data and over the slices of a group."""
    cases = [
        (250_000, 8, "distance"), (1_000_000, 8, "distance"), (4_000_000, 8, "distance"),
        (1_000_000, 4, "distance"), (1_000_000, 32, "distance"), (1_000_000, 8, "gradient"),
    ]  # fmt: skip
    if run.quick:
        cases = [(40_000, 8, "distance"), (40_000, 8, "gradient")]
    for n, together, what in cases:
        peak, seconds = alone(_in_threads, n, together, what)
        most, wall = alone(_in_cluster, n, together, what)
        numbers = {
            "data, MiB": 2 * 4 * n * D / MIB,
            "rows, MiB": 2 * 4 * n * together / MIB,
            "threads: peak extra, MiB": peak / MIB,
            "threads: s": seconds["s"],
            "threads: s of all CPUs": seconds["s of all CPUs"],
            "2 processes: peak extra of one, MiB": most / MIB,
            "2 processes: s": wall,
        }
        yield Line(
            f"Dask, d = {D}, {N_PROJECTIONS} slices, chunks of {CHUNK} points",
            f"{what}, {n} points each, {together} slices at once", numbers,
        )  # fmt: skip
