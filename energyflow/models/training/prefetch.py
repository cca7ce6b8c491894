"""What steps of training need, made in the background before they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """`make(number)` for one number after the other, by threads that go ahead.

    make : a function of the number alone, so that it does not matter when and where it is called.
    n_threads : besides the one that asks, which never waits for what has not begun.
    """

    def __init__(self, make: Callable[[int], T], n_threads: int) -> None:
        self._make = make
        self._n_threads = n_threads
        self._end = 0
        self._pool: ThreadPoolExecutor | None = None
        self._begun: dict[int, Future[T]] = {}

    @contextmanager
    def until(self, end: int) -> Iterator[None]:
        """Go ahead while inside, up to the number `end`; no thread is left after."""
        if not self._n_threads:
            yield
            return
        with ThreadPoolExecutor(self._n_threads, "ahead") as pool:
            self._pool, self._end = pool, end
            try:
                yield
            finally:
                self._pool = None
                self._begun.clear()
                pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, number: int) -> T:
        """What was made for the number; what was raised there is raised here."""
        if self._pool is not None:
            for later in range(number + 1, min(number + 2 + self._n_threads, self._end)):
                if later not in self._begun:
                    self._begun[later] = self._pool.submit(self._make, later)
        asked = self._begun.pop(number, None)
        if asked is None or asked.cancel():
            return self._make(number)
        return asked.result()
