"""Peak extra memory of one call."""

import gc
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, TypeVar

from .machine import n_threads, use_threads
from .methods import METHODS, Call
from .shapes import Shape, problem

T = TypeVar("T")
_STATUS = Path("/proc/self/status")
MIB, GIB = 2**20, 2**30


def alone(function: Callable[..., T], *arguments: Any) -> T:
    """What a function of a module gives in a process of its own, forked from one that did nothing.

    It has as many threads as this process gives to libraries.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.memory", "torch"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_with_threads, n_threads(), function, arguments).result()


def _with_threads(count: int, function: Callable[..., T], arguments: Any) -> T:
    use_threads(count)
    return function(*arguments)


def host_peak_bytes(name: str, shape: Shape, seed: int) -> int | None:
    """Peak extra bytes of one call of a method; None where the system does not tell.

    Counted is the resident memory of a process at its highest, over that just before the call,
    with the data in place and the libraries warm from a small call: the output, working arrays
    of any library, and stacks and buffers of threads alike.
    """
    return alone(_host_peak, name, shape, seed) if _STATUS.exists() else None


def _host_peak(name: str, shape: Shape, seed: int) -> int:
    method = METHODS["cpu"][name]
    method.build(problem(replace(shape, n=64, p=min(shape.p, 4)), seed), "cpu")()
    return peak_memory(method.build(problem(shape, seed), "cpu"))[1]


def peak_memory(call: Callable[[], T]) -> tuple[T, int]:
    """What a call gives, and the peak of this process's resident memory over that before (Linux).

    Counts new pages only: memory that was used before and kept by an allocator is not seen.
    """
    gc.collect()
    before = status("VmRSS")
    result, peak = peak_resident(call)
    return result, max(0, peak - before)


def peak_resident(call: Callable[[], T]) -> tuple[T, int]:
    """What a call gives, and the peak of this process's resident memory, mapped files included."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    result = call()
    return result, status("VmHWM")


def timed(
    call: Callable[[], Any], peak: Callable[..., tuple[Any, int]] = peak_memory
) -> tuple[Any, int, dict[str, float]]:
    """What a call gives, its peak bytes, and its seconds as numbers of a line."""
    wall, busy = perf_counter(), process_time()
    result, bytes_taken = peak(call)
    seconds = {"s": perf_counter() - wall, "s of all CPUs": process_time() - busy}
    return result, bytes_taken, seconds


def status(field: str) -> int:
    """Bytes that the system tells of this process: VmRSS or VmHWM."""
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
