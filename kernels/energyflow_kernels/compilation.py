"""How long Numba compiles: once on each machine, for it keeps what it compiled in a cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from time import perf_counter


@contextmanager
def compilation() -> Iterator[Callable[[], float]]:
    """Give a function that says for how many seconds Numba has compiled while inside."""
    if find_spec("numba") is None:
        yield lambda: 0.0
        return
    from numba.core import event

    begun: list[float] = []  # of compilations under way, one within the other
    total = 0.0

    class Clock(event.Listener):
        def on_start(self, _: event.Event) -> None:
            begun.append(perf_counter())

        def on_end(self, _: event.Event) -> None:
            nonlocal total
            if not begun:  # it started before we listened
                return
            since = begun.pop()
            if not begun:
                total += perf_counter() - since

    with event.install_listener("numba:compile", Clock()):
        yield lambda: total
