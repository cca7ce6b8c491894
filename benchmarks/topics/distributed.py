"""One gradient by two processes beside one, each with one thread, in turns.

Every seed starts its processes anew: ratios differ more from start to start than from turn to turn.
A gradient that is wrong is not timed, and ends the run.
"""

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

import energyflow as ef

from ..runner import Line, Run, Topic

WANTED = 0.6  # seconds of two processes over those of one
PROCESSES = 2
ERROR = 1e-5  # relative, of the gradient: the products are the same, sums are not
ALONE = "one process"
Timings = dict[str, list[tuple[float, float]]]  # seconds and CPU seconds of each turn

TOPIC = Topic("distributed", "Two processes beside one", __doc__, threads=0, seeds=range(5))


def _rank(number: int, shape: tuple[int, int, int], seed: int, turns: int, folder: str) -> None:
    """One of the processes; the first one also computes alone, while the others wait."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", PROCESSES)
    dist.init_process_group(
        "gloo", store=store, rank=number, world_size=PROCESSES, timeout=timedelta(minutes=30)
    )
    n, d, p = shape
    rng = np.random.default_rng(seed)  # the same points in every process
    x, y = (rng.standard_normal((n, d)).astype(np.float32) for _ in range(2))
    y += np.float32(1 / d**0.5)
    with ef.distributed.sharded("particles"):
        own = [ef.distributed.shard(v).copy() for v in (x, y)]

    def gradient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return ef.sliced_energy_gradient(x, y, n_projections=p, rng=seed)

    def together(what: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        with ef.distributed.sharded(what):
            return gradient(x, y)

    ways: dict[str, Callable[[], Any]] = {
        ALONE: partial(gradient, x, y) if number == 0 else lambda: None,
        "two processes, slices shared": partial(together, "slices", x, y),
        "two processes, points shared": partial(together, "particles", *own),
    }
    gradients = {name: way() for name, way in ways.items()}
    if number == 0:
        for name, part in gradients.items():
            whole = gradients[ALONE][: len(part)]
            error = float(np.linalg.norm(part - whole) / np.linalg.norm(whole))
            if not error <= ERROR:
                raise SystemExit(f"{name}: relative error {error:.2g} of the gradient")
    timings: Timings = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            dist.barrier()
            start = perf_counter(), process_time()
            way()
            timings[name].append((perf_counter() - start[0], process_time() - start[1]))
    Path(folder, f"{number}.json").write_text(json.dumps(timings))
    dist.destroy_process_group()


@TOPIC("gradient")
def gradient(run: Run) -> Iterator[Line]:
    """Seconds and CPU seconds of the slower process, over those of one alone."""
    from torch.multiprocessing import start_processes

    for name in ("OMP", "OPENBLAS", "ENERGYFLOW"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    shape, turns = ((2000, 100, 64), 3) if run.quick else ((20_000, 784, 512), 15)
    load = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        arguments = shape, run.seed, turns, folder
        start_processes(_rank, arguments, nprocs=PROCESSES, start_method="spawn")
        everyones = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    slower = {
        name: np.max([timings[name] for timings in everyones], axis=0).min(axis=0)
        for name in everyones[0]
    }  # seconds and CPU seconds, by name
    for name, (seconds, cpu) in slower.items():
        numbers = {
            "seconds": seconds,
            "of one process": seconds / slower[ALONE][0],
            "CPU seconds": cpu,
            "CPU, of one process": cpu / slower[ALONE][1],
        }
        yield Line(
            f"gradient, float32, (N = M, d, P) = {shape}, one thread a process",
            name,
            numbers if name == ALONE else numbers | {"wanted": WANTED},
            f"least of {turns} turns; load of the machine before: {load:.1f}",
        )
