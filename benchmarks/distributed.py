"""One gradient by two processes beside one, each with one thread, in turns.

Every seed starts its processes anew: ratios differ more from start to start than from turn to turn.

Writes distributed.csv and distributed.md. A gradient that is wrong is not timed, and ends the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

import energyflow as ef

from .rows import Row, command, shown, write

SHAPE = (20_000, 784, 512)  # N = M, d, P
QUICK = (2_000, 100, 64)
WANTED = 0.6  # seconds of two processes over those of one
PROCESSES = 2
SEEDS = (0, 1, 2, 3, 4)
TURNS = 15
ERROR = 1e-5  # relative, of the gradient: the products are the same, sums are not
Timings = dict[str, list[tuple[float, float]]]  # seconds and CPU seconds of each turn


def points(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same in every process."""
    n, d, _ = shape
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((n, d)).astype(np.float32) for _ in range(2))
    return x, y + np.float32(1 / d**0.5)


def rank(
    number: int, shape: tuple[int, int, int], seed: int, turns: int, store: str, out: Connection
) -> None:
    """One of the processes; the first one also computes alone, while the others wait."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, PROCESSES), rank=number, world_size=PROCESSES,
        timeout=timedelta(minutes=30),
    )  # fmt: skip
    x, y = points(shape, seed)
    with ef.distributed.sharded("particles"):
        own_x, own_y = (ef.distributed.shard(v).copy() for v in (x, y))

    def gradient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return ef.sliced_energy_gradient(x, y, n_projections=shape[2], rng=seed)

    def together(what: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        with ef.distributed.sharded(what):
            return gradient(x, y)

    ways: dict[str, Callable[[], Any]] = {
        "one process": partial(gradient, x, y) if number == 0 else lambda: None,
        "two processes, slices shared": partial(together, "slices", x, y),
        "two processes, points shared": partial(together, "particles", own_x, own_y),
    }
    found = {name: way() for name, way in ways.items()}
    if number == 0:
        whole = found["one process"]
        for name, part in found.items():
            mine = whole[: len(part)]
            error = float(np.linalg.norm(part - mine) / np.linalg.norm(mine))
            if not error <= ERROR:
                raise SystemExit(f"{name}: relative error {error:.2g} of the gradient")
    timings: Timings = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            dist.barrier()
            start = perf_counter(), process_time()
            way()
            timings[name].append((perf_counter() - start[0], process_time() - start[1]))
    everyones: list[Any] = [None] * PROCESSES
    dist.all_gather_object(everyones, timings)
    if number == 0:
        out.send(everyones)
    dist.destroy_process_group()


def timed(shape: tuple[int, int, int], seed: int, turns: int) -> list[Timings]:
    """What each of two new processes measures."""
    context = get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    with TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        ranks = [
            context.Process(target=rank, args=(number, shape, seed, turns, store, send))
            for number in range(PROCESSES)
        ]
        for process in ranks:
            process.start()
        send.close()
        try:
            everyones: list[Timings] = receive.recv()
        finally:
            for process in ranks:
                process.join()
    return everyones


def experiment(quick: bool, seeds: Iterable[int]) -> Iterator[Row]:
    """Least seconds of each way over the turns; of shared work, those of the slower process."""
    shape, turns = (QUICK, 3) if quick else (SHAPE, TURNS)
    for name in ("OMP", "OPENBLAS", "ENERGYFLOW"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    n, d, p = shape
    title = f"gradient, float32, (N = M, d, P) = ({n}, {d}, {p}), one thread a process"
    for seed in seeds:
        before = os.getloadavg()[0]
        everyones = timed(shape, seed, turns)
        note = f"least of {turns} turns; load of the machine before: {before:.1f}"
        alone = None
        for name in everyones[0]:
            ours = [timings[name] for timings in everyones]
            slower = np.array(ours).max(axis=0)  # (turns, 2)
            seconds, cpu = slower.min(axis=0)
            alone = alone or (seconds, cpu)
            yield Row(title, name, seed, "seconds", seconds, note)
            yield Row(title, name, seed, "of one process", seconds / alone[0], note)
            yield Row(title, name, seed, "CPU seconds", cpu, note)
            yield Row(title, name, seed, "CPU, of one process", cpu / alone[1], note)
            if name != "one process":
                yield Row(title, name, seed, "wanted", WANTED, note)


def main() -> None:
    parser = command("distributed", __doc__, ())
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS, help="one start for each")
    arguments = parser.parse_args()
    found = shown(experiment(arguments.quick, arguments.seeds))
    write(arguments.out / "distributed.csv", "Two processes beside one", found)


if __name__ == "__main__":
    main()
