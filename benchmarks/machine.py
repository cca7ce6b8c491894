"""The machine: how many threads all methods get, how much memory, and what goes on record."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_PACKAGES = (
    "numpy", "numba", "torch", "triton", "cupy-cuda13x", "cupy-cuda12x", "jax", "POT", "geomloss",
    "dcor", "hyppo",
)  # fmt: skip


def n_threads() -> int:
    """Threads that every method may use."""
    return int(os.environ.get("ENERGYFLOW_NUM_THREADS") or len(os.sched_getaffinity(0)))


def use_threads(count: int | None) -> None:
    """Give torch, BLAS and our own loops `count` threads (all when None), on as many CPUs."""
    import torch
    from threadpoolctl import threadpool_limits

    usable = sorted(os.sched_getaffinity(0))
    count = len(usable) if count is None else count
    if not 1 <= count <= len(usable):
        raise ValueError(f"threads must lie between 1 and {len(usable)}, got {count}")
    os.sched_setaffinity(0, usable[:count])  # threads started later, of JAX say, stay on these
    os.environ["ENERGYFLOW_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
    threadpool_limits(count)


@cache
def memory_for_pairs(device: str) -> int:
    """Bytes that all pairs may take: 1 GiB on the host, a quarter of the memory of a GPU."""
    if device == "cpu":
        return 2**30
    import torch

    return torch.cuda.get_device_properties(0).total_memory // 4


def cpu_name() -> str:
    """The processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """What the benchmark ran on."""
    if device == "cpu":
        return f"{cpu_name()}, {os.cpu_count()} CPUs"
    import torch

    return torch.cuda.get_device_name()


def versions() -> str:
    """Python and the packages that are installed of those compared."""
    present = {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}
    installed = [f"{name} {present[name.lower()]}" for name in _PACKAGES if name.lower() in present]
    return ", ".join([f"Python {platform.python_version()}", *installed])


def record(device: str, seeds: Iterable[int], command: str) -> dict[str, str]:
    """What a table must say about how it came to be."""
    return {
        "machine": device_name(device),
        "threads": str(n_threads()),
        "versions": versions(),
        "system": platform.platform(),
        "seed": ", ".join(map(str, seeds)),
        "command": command,
    }
