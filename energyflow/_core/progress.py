"""How far a loop is, how fast it runs, and a few of its numbers, on one line of the terminal."""

import os
import sys
from importlib.util import find_spec
from time import perf_counter
from types import TracebackType
from typing import Protocol, Self

from energyflow_backends import is_first

SECONDS_BETWEEN_DRAWINGS = 0.1


class _Line(Protocol):
    def draw(self, step: int, numbers: str) -> None: ...
    def close(self) -> None: ...


class Progress:
    """A progress bar with numbers and a rate in it; cheap enough to update at every step.

    rich draws it where it can, a plain line on standard error does otherwise. Nothing is
    drawn where standard error is not a terminal, and only the first of several processes draws.

    total: the step at which the loop ends; enabled: False draws nothing anywhere.
    """

    def __init__(self, total: int, description: str = "", enabled: bool = True) -> None:
        self.total = total
        self.description = description
        self.enabled = enabled
        self._numbers: dict[str, float] = {}
        self._line: _Line | None = None
        self._step = 0
        self._first: tuple[int, float] | None = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self.enabled and is_first() and sys.stderr is not None and sys.stderr.isatty():
            drawer = _RichLine if _rich_draws() else _PlainLine
            self._line = drawer(self.total, self.description)
        return self

    def update(self, step: int, **numbers: float) -> None:
        """Say that `step` is done; a number stays on the line until it is given anew."""
        if self._line is None:
            return
        now = perf_counter()
        self._step = step
        self._numbers |= numbers
        self._first = self._first or (step, now)
        if now - self._drawn >= SECONDS_BETWEEN_DRAWINGS:
            self._drawn = now
            self._line.draw(step, self._text(now))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            self._line.draw(self._step, self._text(perf_counter()))
            self._line.close()
            self._line = None

    def _text(self, now: float) -> str:
        parts = [f"{name} {number:.4g}" for name, number in self._numbers.items()]
        if self._first is not None and self._step > self._first[0]:
            rate = (self._step - self._first[0]) / (now - self._first[1])
            parts.append(f"{rate:.3g} steps/s")
        return "  ".join(parts)


def _rich_draws() -> bool:
    """Whether rich is there and the terminal is one of those on which it moves the cursor."""
    return find_spec("rich") is not None and os.environ.get("TERM") not in ("dumb", "unknown")


class _PlainLine:
    def __init__(self, total: int, description: str) -> None:
        self._total = total
        self._description = description
        self._width = 0

    def draw(self, step: int, numbers: str) -> None:
        percent = 100 * step // max(self._total, 1)
        line = f"{self._description} {percent:3d}% {step}/{self._total}  {numbers}".strip()
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        sys.stderr.write("\n")
        sys.stderr.flush()


class _RichLine:
    def __init__(self, total: int, description: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._bar.add_task(description, total=total, numbers="")
        self._bar.start()

    def draw(self, step: int, numbers: str) -> None:
        self._bar.update(self._task, completed=step, numbers=numbers, refresh=True)

    def close(self) -> None:
        self._bar.stop()
