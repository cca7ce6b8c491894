"""Progress with the time left, the rate and a few numbers, by tqdm: a bar, or lines in a file."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from energyflow_backends import is_first

SECONDS_BETWEEN_DRAWINGS = 0.1
SECONDS_BETWEEN_LINES = 30.0
_COUNTS = {
    "steps": "{n_fmt}/{total_fmt} steps [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]",
    "simulations": "{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]",
    "stages": "{n:.2f}/{total_fmt} stages [{elapsed}<{remaining}{postfix}]",
}

Report = Callable[[int], object]
T = TypeVar("T")
R = TypeVar("R")


class Progress:
    """A progress bar with numbers and a rate in it; cheap enough to update at every step.

    Where standard error is neither a terminal nor a notebook's, but a file or a pipe, there is a
    plain line now and then instead. Only the first of several processes draws. The rate counts
    from the first update. A terminal that goes away ends the drawing, and nothing else.

    total: the step at which the loop ends; enabled: False draws nothing anywhere; unit: what is
    counted, steps, simulations, or stages and parts of them.
    """

    def __init__(
        self,
        total: int,
        description: str = "",
        enabled: bool = True,
        unit: Literal["steps", "simulations", "stages"] = "steps",
    ) -> None:
        self.total = total
        self.unit = unit
        self.description = description
        self.enabled = enabled
        self._numbers: dict[str, float] = {}
        self._bar: Any = None

    def __enter__(self) -> Self:
        self.enabled = self.enabled and is_first() and sys.stderr is not None
        return self

    def update(self, step: float, doing: str = "", **numbers: float) -> None:
        """Report that `step` is done; a number stays beside the bar until it is given anew.

        doing : what the loop is at, until the next update.
        """
        if not self.enabled:
            return
        self._numbers |= numbers
        text = "  ".join(f"{name} {number:.4g}" for name, number in self._numbers.items())
        with self._while_it_can_be_seen():
            if self._bar is None:
                self._bar = self._start(step)
            words = ", ".join(part for part in (self.description, doing) if part)
            self._bar.set_description_str(words, refresh=False)
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
                bar = self._bar or self._start(0)
                bar.failed = error is not None
                bar.close()
            self._bar = None

    @contextmanager
    def _while_it_can_be_seen(self) -> Iterator[None]:
        """Draw no more once the terminal is gone."""
        try:
            yield
        except OSError:
            self.enabled, self._bar = False, None

    def _start(self, step: float) -> Any:
        """A bar, or lines, whose rate counts from `step`."""
        about = {"total": self.total, "initial": step, "unit": f" {self.unit}"}
        if self.total:
            bar = "|{bar}| " if _can_draw() else " "
            about["bar_format"] = "{desc}: {percentage:3.0f}%" + bar + _COUNTS[self.unit]
        if not _can_draw():
            return _Lines(self.description, about)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")  # text will do
            from tqdm.auto import tqdm

        class Bar(tqdm):  # type: ignore[misc]
            monitor_interval = 0  # no thread that watches over slow loops
            failed = True

            def display(self, *args: Any, **how: Any) -> Any:
                """In a notebook, a loop that ends early by itself is not drawn as a failure."""
                if how.get("bar_style") == "danger" and not self.failed:
                    how["bar_style"] = "success"
                return super().display(*args, **how)

            def __del__(self) -> None:
                """Not closed once more, on a terminal that may be gone."""

        return Bar(
            desc=self.description, file=sys.stderr, mininterval=SECONDS_BETWEEN_DRAWINGS,
            miniters=0, **about, **_size(),
        )  # fmt: skip


class _Lines:
    """What `Progress` uses of a bar, as plain lines every so often: short loops write none."""

    failed = False

    def __init__(self, description: str, about: dict[str, Any]) -> None:
        self.n = about["initial"]
        self._about = about | {"prefix": description}
        self._text, self._wrote = "", False
        self._start = self._last = perf_counter()

    def set_description_str(self, text: str, refresh: bool = False) -> None:
        """What the next line begins with."""
        self._about["prefix"] = text

    def set_postfix_str(self, text: str, refresh: bool = False) -> None:
        """Numbers for the next line."""
        self._text = text

    def update(self, more: float) -> None:
        """Count, and write a line if one is due."""
        self.n += more
        if perf_counter() - self._last >= SECONDS_BETWEEN_LINES:
            self._write()

    def close(self) -> None:
        """The last line, where there were others."""
        if self._wrote:
            self._write()

    def _write(self) -> None:
        from tqdm import tqdm

        self._last, self._wrote = perf_counter(), True
        elapsed = self._last - self._start
        line = tqdm.format_meter(n=self.n, elapsed=elapsed, postfix=self._text, **self._about)
        print(line, file=sys.stderr, flush=True)


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
    """Write a line to standard error, by the first of several processes."""
    if is_first() and sys.stderr is not None:
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
