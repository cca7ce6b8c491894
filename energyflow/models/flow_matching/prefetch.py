"""Prefetch: what steps of training need, made in the background before they need it.

The couplings of flow matching are prefetched so: see `flow_matching/batches.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """`make(number)` for one number after the other, by threads that work ahead.

    make : a function of the number alone, so that it does not matter when and where it is called.
    n_threads : besides the caller's, which never waits for what has not started.
    """

    def __init__(self, make: Callable[[int], T], n_threads: int) -> None:
        self._make = make
        self._n_threads = n_threads
        self._end = 0
        self._pool: ThreadPoolExecutor | None = None
        self._pending: dict[int, Future[T]] = {}

    @contextmanager
    def until(self, end: int) -> Iterator[None]:
        """Prefetch while inside, up to the number `end`; no thread is left after."""
        if not self._n_threads:
            yield
            return
        with ThreadPoolExecutor(self._n_threads, "prefetch") as pool:
            self._pool, self._end = pool, end
            try:
                yield
            finally:
                self._pool = None
                self._pending.clear()
                pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, number: int) -> T:
        """What was made for the number; what was raised there is raised here."""
        if self._pool is not None:
            for later in range(number + 1, min(number + 2 + self._n_threads, self._end)):
                if later not in self._pending:
                    self._pending[later] = self._pool.submit(self._make, later)
        future = self._pending.pop(number, None)
        if future is None or future.cancel():
            return self._make(number)
        return future.result()
