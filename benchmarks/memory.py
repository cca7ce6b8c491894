"""Peak extra memory of one call."""

from __future__ import annotations

import gc
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from .machine import use_threads
from .methods import METHODS, Call
from .shapes import Shape, problem

T = TypeVar("T")
_STATUS = Path("/proc/self/status")


class HostMemory:
    """Measures on the host: each call in a process of its own, forked from one that did nothing.

    Counted is the resident memory of the process at its highest, over that just before the call,
    with the data in place and the libraries warm from a small call: the output, working arrays
    of any library, and stacks and buffers of threads alike.
    """

    def __init__(self, n_threads: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.memory", "torch"])
        self._pool = ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1)
        self._n_threads = n_threads

    def __enter__(self) -> HostMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def peak_bytes(self, name: str, shape: Shape, seed: int) -> int | None:
        """Peak extra bytes of one call of a method; None where the system does not tell."""
        if not _STATUS.exists():
            return None
        return self.run(_host_peak, name, shape, seed, self._n_threads)

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function of a module gives in a process of its own."""
        return self._pool.submit(function, *arguments).result()


def _host_peak(name: str, shape: Shape, seed: int, n_threads: int) -> int:
    use_threads(n_threads)
    method = METHODS["cpu"][name]
    method.build(problem(replace(shape, n=64, p=min(shape.p, 4)), seed), "cpu")()
    return peak_memory(method.build(problem(shape, seed), "cpu"))[1]


def peak_memory(call: Callable[[], T]) -> tuple[T, int]:
    """What a call gives, and the peak of this process's resident memory over that before (Linux).

    Counts new pages only: memory that was used before and kept by an allocator is not seen.
    """
    gc.collect()
    before = resident()
    result, peak = peak_resident(call)
    return result, max(0, peak - before)


def peak_resident(call: Callable[[], T]) -> tuple[T, int]:
    """What a call gives, and the peak of this process's resident memory, mapped files included."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    result = call()
    return result, _status("VmHWM")


def resident() -> int:
    """Bytes of this process that are in memory."""
    return _status("VmRSS")


def _status(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_STATUS} has no {field}")


def cuda_peak_bytes(call: Call) -> int:
    """Peak extra bytes of one call in torch's allocator, and growth of CuPy's pool."""
    import torch

    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    pool = sys.modules["cupy"].get_default_memory_pool() if "cupy" in sys.modules else None
    if pool is not None:
        pool.free_all_blocks()
        before += pool.total_bytes()
    result = call()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    if pool is not None:
        peak += pool.total_bytes()
    del result
    return peak
