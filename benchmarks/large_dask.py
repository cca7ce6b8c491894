"""Dask arrays that are not in memory: what one process, or each worker of a cluster, takes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

import energyflow as ef

from .machine import n_threads, use_threads
from .memory import HostMemory, peak_memory
from .rows import Row

MIB = 2**20
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


def _task(n: int, together: int, *, gradient: bool) -> list[Any]:
    """What is to be computed: of a gradient the sum of its sizes, so that none is brought back."""
    how = {"n_projections": N_PROJECTIONS, "chunk_size": together, "rng": 0}
    x, y = _points(n, 0), _points(n, 1)
    if not gradient:
        return [ef.sliced_energy_distance(x, y, **how)]
    value, slopes = ef.sliced_energy_value_and_gradient(x, y, **how)
    return [value, abs(slopes).sum()]


def _in_threads(n: int, together: int, gradient: bool, threads: int) -> tuple[int, float, float]:
    import dask

    use_threads(threads)
    wanted = _task(n, together, gradient=gradient)
    with dask.config.set(scheduler="threads", num_workers=threads):
        dask.compute(*_task(2000, together, gradient=gradient))
        wall, busy = perf_counter(), process_time()
        _, peak = peak_memory(lambda: dask.compute(*wanted))
    return peak, perf_counter() - wall, process_time() - busy


def _worker_peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(v for v in lines if v.startswith("VmHWM")).split()[1])


def _in_cluster(n: int, together: int, gradient: bool, threads: int) -> tuple[int, float]:
    """Peak resident bytes that the worst worker of two added to those it began with."""
    import dask
    from distributed import Client, LocalCluster

    wanted = _task(n, together, gradient=gradient)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            memory_limit="2GiB",
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        dask.compute(*_task(2000, together, gradient=gradient))
        before = client.run(_worker_peak)
        start = perf_counter()
        dask.compute(*wanted)
        seconds = perf_counter() - start
        after = client.run(_worker_peak)
    return max(after[worker] - before[worker] for worker in after), seconds


def rows(seed: int, quick: bool) -> Iterator[Row]:
    """Memory over the size of the data and over the slices of a group."""
    threads = n_threads()
    cases = [
        (250_000, 8, False), (1_000_000, 8, False), (4_000_000, 8, False),
        (1_000_000, 4, False), (1_000_000, 32, False), (1_000_000, 8, True),
    ]  # fmt: skip
    if quick:
        cases = [(40_000, 8, False), (40_000, 8, True)]
    for n, together, gradient in cases:
        what = "gradient" if gradient else "distance"
        method = f"{what}, {n} points each, {together} slices at once"
        name = f"Dask, d = {D}, {N_PROJECTIONS} slices, chunks of {CHUNK} points"
        with HostMemory(threads) as host:
            peak, wall, busy = host.run(_in_threads, n, together, gradient, threads)
        yield Row(name, method, seed, "data, MiB", 2 * 4 * n * D / MIB)
        yield Row(name, method, seed, "rows, MiB", 2 * 4 * n * together / MIB)
        yield Row(name, method, seed, "threads: peak extra, MiB", peak / MIB)
        yield Row(name, method, seed, "threads: s", wall)
        yield Row(name, method, seed, "threads: s of all CPUs", busy)
        peak, wall = _apart(n, together, gradient, threads)
        yield Row(name, method, seed, "2 processes: peak extra of one, MiB", peak / MIB)
        yield Row(name, method, seed, "2 processes: s", wall)


def _apart(*arguments: Any) -> tuple[int, float]:
    """In a process that may have children, as those of a pool may not."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_send, args=(queue, *arguments))
    process.start()
    found: tuple[int, float] = queue.get()
    process.join()
    return found


def _send(queue: Any, *arguments: Any) -> None:
    queue.put(_in_cluster(*arguments))
