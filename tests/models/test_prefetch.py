"""Prefetch: the same results, no thread left behind, and errors that are raised."""

from __future__ import annotations

import threading
import time

import pytest

from energyflow.models.flow_matching.prefetch import Prefetcher


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("prefetch")]


@pytest.mark.parametrize("n_threads", [0, 1, 3])
def test_each_is_made_once_and_in_its_place(n_threads: int) -> None:
    made: list[int] = []

    def make(number: int) -> int:
        time.sleep(0.002 if number % 3 else 0)
        made.append(number)
        return number**2

    prefetcher = Prefetcher(make, n_threads)
    for first, last in ((5, 20), (20, 23)):
        with prefetcher.until(last):
            assert [prefetcher(k) for k in range(first, last)] == [k**2 for k in range(first, last)]
        assert not threads()
    assert sorted(made) == list(range(5, 23))
    assert prefetcher(3) == 9


def test_work_goes_on_while_nobody_asks() -> None:
    made = {k: threading.Event() for k in range(4)}
    prefetcher = Prefetcher(lambda k: made[k].set(), 1)
    with prefetcher.until(4):
        prefetcher(0)
        assert made[1].wait(10)
        assert made[2].wait(10)
        assert not made[3].is_set()  # so far ahead, and no further


def test_errors_are_raised_where_they_are_asked_for() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("no coupling")
        return number

    prefetcher = Prefetcher(make, 2)
    asked = []

    def train() -> None:
        with prefetcher.until(9):
            for k in range(9):
                asked.append(prefetcher(k))

    with pytest.raises(ValueError, match="no coupling"):
        train()
    assert asked == [0, 1]
    assert not threads()


def test_an_interrupt_leaves_no_thread_behind() -> None:
    begun = threading.Event()

    def make(number: int) -> int:
        if number:
            begun.set()
            time.sleep(0.05)
        return number

    prefetcher = Prefetcher(make, 2)

    def train() -> None:
        with prefetcher.until(100):
            prefetcher(0)
            begun.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert not threads()
    assert prefetcher(0) == 0
