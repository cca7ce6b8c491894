"""Threads for compiled loops that run without the GIL."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import count
from threading import Lock

_lock = Lock()
_pool: tuple[int, ThreadPoolExecutor] | None = None


def usable_threads() -> int:
    """Number of threads to use: ENERGYFLOW_NUM_THREADS, else the CPUs that this process may use.

    Processes that torchrun has started on one machine (LOCAL_WORLD_SIZE) share its CPUs.

    Raises
    ------
    ValueError
        If ENERGYFLOW_NUM_THREADS is not a positive integer.
    """
    wanted = os.environ.get("ENERGYFLOW_NUM_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"ENERGYFLOW_NUM_THREADS: expected a positive integer, got {wanted!r}")
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    processes = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, cpus // max(1, int(processes if processes.isdecimal() else 1)))


def _start(run: Callable[[int], None], n: int) -> list["Future[None]"]:
    """Let n threads of the process's pool call run(1) to run(n); the pool grows as needed.

    They are fewer, or none, where no thread can be started any more: after the main thread ended.
    """
    global _pool
    with _lock:
        if _pool is None or _pool[0] < n:
            if _pool is not None:
                _pool[1].shutdown(wait=False)
            _pool = n, ThreadPoolExecutor(n, thread_name_prefix="energyflow")
        futures: list[Future[None]] = []
        try:
            for thread in range(1, n + 1):
                futures.append(_pool[1].submit(run, thread))
        except RuntimeError:  # the interpreter shuts down: the calling thread does all
            pass
        return futures


def _forget_pool() -> None:
    """A forked child has none of its parent's threads, and perhaps a lock that was held."""
    global _lock, _pool
    _lock = Lock()
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def share(work: Callable[[int, int, int], None], n: int, block: int, n_threads: int) -> None:
    """Call work(thread, start, stop) for the blocks of range(n), from several threads at once.

    Parameters
    ----------
    work : callable
        Does items start to stop; blocks must not depend on each other, and the number of the
        thread, below n_threads, says whose scratch is free.
    n : int
        Number of items.
    block : int
        Items in a block.
    n_threads : int
        Threads at work at once, the calling one among them.

    Raises
    ------
    Exception
        The error that `work` raised, after every thread has stopped.

    Notes
    -----
    The calling thread takes blocks like the others, so that a busy pool delays nothing.
    """
    n_blocks = -(-n // block)
    tickets = count()

    def run(thread: int) -> None:
        while (ticket := next(tickets)) < n_blocks:
            work(thread, ticket * block, min((ticket + 1) * block, n))

    n_helpers = min(n_threads, n_blocks) - 1
    if n_helpers < 1:
        run(0)
        return
    futures = _start(run, n_helpers)
    try:
        run(0)
    finally:
        running = [future for future in futures if not future.cancel()]
        wait(running)
    for future in running:
        future.result()
