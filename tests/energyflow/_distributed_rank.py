"""One of several processes that share sums, which test_distributed.py forks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import energyflow_backends as backends
import numpy as np
import pytest

import energyflow as ef
from energyflow.distributed import gather, shard, sharded

N, M, D, P = 301, 211, 5, 37
CASES: dict[str, Callable[[], tuple[Any, ...]]] = {}


def data(d: int = D, dtype: type = np.float64) -> tuple[np.ndarray, ...]:
    """Points and weights, the same in every process."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, d)), rng.normal(size=(M, d)) + 1
    a, b = (rng.dirichlet(np.ones(count)) for count in (N, M))
    return tuple(v.astype(dtype) for v in (x, y, a, b))


def both(x: Any, y: Any, *weights: Any, **how: Any) -> tuple[Any, ...]:
    """Value and gradient of the whole, of points that are shared if they are to be."""
    value, gradient = ef.sliced_energy_value_and_gradient(
        *(shard(v) for v in (x, y, *weights)), **{"n_projections": P, "rng": 3, **how}
    )
    return value, gather(gradient)


def case(function: Callable[[], tuple[Any, ...]]) -> Callable[[], tuple[Any, ...]]:
    CASES[function.__name__] = function
    return function


def add(name: str, make: Callable[[], tuple[Any, ...]], **how: Any) -> None:
    CASES[name] = lambda: both(*make(), **how)


def of_library(name: str) -> Callable[[], tuple[Any, ...]]:
    def make() -> tuple[Any, ...]:
        if name == "torch":
            import torch as library
        elif name == "jax":
            import jax.numpy as library
        else:
            import array_api_strict as library
        return tuple(library.asarray(v) for v in data()[:2])

    return make


def grid() -> tuple[np.ndarray, ...]:
    """Many ties, and points that coincide."""
    rng = np.random.default_rng(1)
    return tuple(rng.integers(3, size=(count, 2)).astype(float) for count in (N, M))


def offset() -> tuple[np.ndarray, ...]:
    return tuple(v + 1e6 for v in data()[:2])


add("plain", lambda: data()[:2])
add("weights", data)
add("unbiased", data, estimator="U")
add("chunks", data, chunk_size=7)
add("small exponent", data, exponent=0.5)
add("large exponent", lambda: data()[:2], exponent=1.5)
add("ties", grid)
add("far away", offset)
add("line", lambda: data(1)[:2])
add("single slice", lambda: data()[:2], n_projections=1)
add("hadamard", lambda: data(33), slicing="hadamard", n_projections=70)
add("patches", lambda: data(36)[:2], slicing=ef.PatchSlicing((1, 6, 6), size=3, scales=(0, 1)))
add("frames", lambda: data(40)[:2], slicing="orthogonal", n_projections=100, chunk_size=9)
add("own directions", lambda: data(), projections=ef.sample_projections(12, D, rng=0),
    n_projections=12)  # fmt: skip
add("float32", lambda: data(dtype=np.float32))
for library in ("torch", "jax", "array-api-strict"):
    add(library, of_library(library))


@case
def batches() -> tuple[Any, ...]:
    """Sets with leading dimensions, whose points are shared too."""
    x, y = (np.stack([v, 2 * v]) for v in data()[:2])
    own = [np.stack([shard(part) for part in v]) for v in (x, y)]
    value, gradient = ef.sliced_energy_value_and_gradient(*own, n_projections=P, rng=3)
    return value, *(gather(g) for g in gradient)


def by_backend(name: str) -> Callable[[], tuple[Any, ...]]:
    def run() -> tuple[Any, ...]:
        with ef.use_backend(name):
            return both(*data(dtype=np.float32))

    return run


CASES["float32 in NumPy"] = by_backend("numpy")


@case
def autograd() -> tuple[Any, ...]:
    import torch

    x, y = (torch.asarray(shard(v)).requires_grad_() for v in data()[:2])
    value = ef.sliced_energy_distance(x, y, n_projections=P, rng=3)
    (3 * value).backward()
    return value.detach(), gather(x.grad), gather(y.grad)


@case
def flow() -> tuple[Any, ...]:
    x, y, _, b = data()
    moving = ef.ParticleFlow(shard(y), target_weights=shard(b), momentum=0.5, rng=5)
    result = gather(moving.run(shard(x), 20, progress=False))
    return () if result is None else (result.particles, result.velocity, result.history_distance)


@case
def flow_in_float32() -> tuple[Any, ...]:
    x, y = data(20, np.float32)[:2]
    moving = ef.ParticleFlow(shard(y), step_size=1.0, rng=5)
    result = gather(moving.run(shard(x), 10, progress=False))
    return () if result is None else (result.particles, result.history_distance)


@case
def conditional_flow() -> tuple[Any, ...]:
    x, y = data()[:2]
    moving = ef.ConditionalFlow(shard(y[:, :3]), shard(y[:, 3:]), n_projections=16, rng=5)
    result = gather(moving.run(shard(x[:, :3]), shard(x[:, 3:]), 20, progress=False))
    return () if result is None else (result.particles, result.history_distance)


@case
def minimum_of_points() -> tuple[Any, ...]:
    """As few points as there may be processes, and one more."""
    x, y = data()[:2]
    return both(x[:4], y[:5])


def check_behaviour(rank: int, size: int, what: str) -> None:
    """What the processes must agree on, in the same block."""
    x, y = (shard(v) for v in data()[:2])
    others = ef.sliced_energy_distance(x, y)  # the seed of the first process
    found = np.array([float(others), rank])
    (highest,) = backends.sharding().largest(found.copy())
    assert highest.tolist() == [found[0], size - 1], "processes drew different directions"

    def stop(step: int, particles: Any, distance: float) -> bool:
        return rank == size - 1 and step >= 6

    cut_short = ef.ParticleFlow(y, rng=0).run(x, 50, record_every=3, callback=stop)
    assert cut_short.state["step"] == 6, "an early end is everybody's"

    told = "a folder stands in the way" if rank == 0 else "the first process cannot write"
    with pytest.raises(OSError, match=told):
        ef.ParticleFlow(y, rng=0).run(x, 1, out=Path(__file__).parent, progress=False)

    bad = x.copy()
    if rank == size - 1:
        bad[0, 0] = np.nan
    if what == "particles":
        told = "other processes" if rank < size - 1 else "the first at index"
        with pytest.raises(ValueError, match=told):
            ef.sliced_energy_distance(bad, y, rng=0)
        for refused in (
            lambda: ef.energy_distance(x, y),
            lambda: ef.kernel_sum(x, y),
            lambda: ef.energy_test(x, y, n_resamples=9),
        ):
            with pytest.raises(ValueError, match="need all points in one process"):
                refused()
        with pytest.raises(ValueError, match="at least one row for each"):
            shard(np.zeros((size - 1, 2)))
        with pytest.raises(ValueError, match="processes must agree, got d: 1"):
            ef.sliced_energy_distance(x[:, : 1 + rank], y[:, : 1 + rank], rng=0)


def run_all(rank: int, size: int, folder: Path) -> None:
    """Write what all cases give into FOLDER/results<RANK>.npz."""
    import jax
    import torch.distributed as dist

    jax.config.update("jax_enable_x64", True)

    store = dist.FileStore(str(folder / "store"), size)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(minutes=5)
    )
    found = {}
    for what in ("slices", "particles"):
        with sharded(what):
            for name, run in CASES.items():
                for k, array in enumerate(run()):
                    if array is not None:
                        found[f"{what}/{name}/{k}"] = np.asarray(array)
            check_behaviour(rank, size, what)
    np.savez(folder / f"results{rank}.npz", **found)
    dist.destroy_process_group()
