"""A progress bar with the rate and a few numbers, by tqdm, on a terminal or in a notebook."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from energyflow_backends import is_first

SECONDS_BETWEEN_DRAWINGS = 0.1

Report = Callable[[int], object]
T = TypeVar("T")
R = TypeVar("R")


class Progress:
    """A progress bar with numbers and a rate in it; cheap enough to update at every step.

    Nothing is drawn where standard error is neither a terminal nor a notebook's, and only the
    first of several processes draws. The rate counts from the first update. A terminal that goes
    away ends the drawing, and nothing else.

    total: the step at which the loop ends; enabled: False draws nothing anywhere.
    """

    def __init__(self, total: int, description: str = "", enabled: bool = True) -> None:
        self.total = total
        self.description = description
        self.enabled = enabled
        self._numbers: dict[str, float] = {}
        self._bar: Any = None

    def __enter__(self) -> Self:
        self.enabled = self.enabled and is_first() and _can_draw()
        return self

    def update(self, step: int, **numbers: float) -> None:
        """Report that `step` is done; a number stays beside the bar until it is given anew."""
        if not self.enabled:
            return
        self._numbers |= numbers
        text = "  ".join(f"{name} {number:.4g}" for name, number in self._numbers.items())
        with self._while_it_can_be_seen():
            if self._bar is None:
                self._bar = self._start(step)
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.enabled:
            with self._while_it_can_be_seen():
                (self._bar or self._start(0)).close()
            self._bar = None

    @contextmanager
    def _while_it_can_be_seen(self) -> Iterator[None]:
        """Draw no more once the terminal is gone."""
        try:
            yield
        except OSError:
            self.enabled, self._bar = False, None

    def _start(self, step: int) -> Any:
        """A bar whose rate counts from `step`."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")  # text will do
            from tqdm.auto import tqdm

        class Bar(tqdm):  # type: ignore[misc]
            monitor_interval = 0  # no thread that watches over slow loops

            def __del__(self) -> None:
                """Not closed once more, on a terminal that may be gone."""

        return Bar(
            total=self.total, initial=step, desc=self.description, unit=" steps", file=sys.stderr,
            mininterval=SECONDS_BETWEEN_DRAWINGS, miniters=1, **_size(),
        )  # fmt: skip


def in_batches(
    compute: Callable[[T, Report], R],
    batches: Iterable[tuple[T, int]],
    steps: int,
    bar: Progress,
) -> list[R]:
    """What `compute` makes of each batch, and a bar that counts steps times what batches hold.

    batches: with the number of what each holds. compute: gets a batch, and the function to which it
    reports how many of the steps are done.
    """
    results = []
    done = 0
    with bar:
        for batch, width in batches:

            def report(step: int, done: int = done, width: int = width) -> None:
                bar.update(done + step * width)

            results.append(compute(batch, report))
            done += steps * width
    return results


def tell(text: str) -> None:
    """Write a line where a bar would be drawn, and nowhere else."""
    if is_first() and _can_draw():
        with suppress(OSError):
            print(text, file=sys.stderr)


def _size() -> dict[str, Any]:
    """How tqdm is to find the size of the terminal; of one that is 0 wide it would draw nothing."""
    try:
        unknown = os.get_terminal_size(sys.stderr.fileno()).columns == 0
    except OSError:
        unknown = False
    return {"ncols": 80, "nrows": 24} if unknown else {"dynamic_ncols": True}


def _can_draw() -> bool:
    """Whether standard error is a terminal's or a notebook's."""
    if sys.stderr is None:
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules
