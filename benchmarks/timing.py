"""Medians of interleaved runs: A B C A B C ..., so that a busy moment meets all methods alike."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")
Call = Callable[[], Any]
Clock = Callable[[Call], float]

_REST = 0.1  # s: threads that other libraries keep spinning (OpenBLAS for 2^26 cycles) go to sleep
_BURST = 0.05  # s: short calls are repeated within one turn
_MIN_TURNS = 3  # but one for calls that take several times what a method may
_FAR_TOO_SLOW = 4
_CLOCKS = (
    "_base", "flow_generator.stages", "training.allowance", "training.log", "training.run",
    "training.stage_training", "training.trainer",
)  # fmt: skip


@contextmanager
def on_cpu_time() -> Iterator[None]:
    """Budgets of models inside are seconds of the CPU: on a busy machine as on an idle one."""
    with ExitStack() as stack:
        for module in _CLOCKS:
            name = f"energyflow.models.{module}.perf_counter"
            stack.enter_context(mock.patch(name, time.process_time))
        yield


def host_clock(call: Call) -> float:
    """Seconds that a call takes on the host."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def cuda_clock(call: Call) -> float:
    """Seconds between two events around the call, launches and waiting included."""
    import torch

    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1000


def medians(
    calls: dict[str, Call], clock: Clock, *, seconds: float = 1.0, turns: int = 9
) -> dict[str, float]:
    """Median seconds of each call, over turns of about `seconds` a method in all.

    Everything was called once before, so that nothing is compiled here. The first call of a turn
    is not counted where calls are short: the caches belong to whoever ran before. A method has at
    least three turns, but one where a single call takes four times `seconds`.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    for turn in range(turns):
        for name, call in calls.items():
            enough = seconds if turn >= _MIN_TURNS else _FAR_TOO_SLOW * seconds
            if turn > 0 and spent[name] > enough:
                continue
            start = time.perf_counter()
            taken[name].append(_turn(call, clock))
            spent[name] += time.perf_counter() - start
    return {name: statistics.median(times) for name, times in taken.items()}


def _turn(call: Call, clock: Clock) -> float:
    time.sleep(_REST)
    first = clock(call)
    if first > _BURST:
        return first
    times, end = [], time.perf_counter() + _BURST
    while not times or time.perf_counter() < end:
        times.append(clock(call))
    return statistics.median(times)


def cpu_seconds(call: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and the seconds of this process's CPUs."""
    begun = time.process_time()
    result = call()
    return result, time.process_time() - begun
