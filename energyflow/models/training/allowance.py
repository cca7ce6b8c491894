"""What a plan may take of a budget, and what its parts are measured to cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from energyflow_backends import sharding
from torch import nn

_SPENT = 0.85  # of the seconds that are left: writing, and a machine that is busy, take the rest
_VALIDATION = 0.1  # of the seconds that are left, at most
_FEWEST = 16  # samples that are compared with data, or none
_STEPS = 16  # that a batch of less than the settings' size makes room for
_SMALLEST = 2  # points of a batch, the first that is tried
_WARM_UP = 2.0  # seconds that a first call may need to load and compile

Decisions = dict[str, int]
"""What is planned for a budget, by the plan's own names: steps, stages, samples for validation;
`seconds` are those that it is to take."""


def in_words(decisions: Decisions) -> str:
    """The stages, with the time that each takes, and the steps that are planned."""
    parts = []
    for name, unit, steps in (("n_blocks", "block", "steps each"), ("n_rounds", "round", "steps")):
        if name in decisions:
            n, seconds = decisions[name], decisions.get("seconds")
            each = "" if seconds is None else f" of about {rounded(seconds / n)}"
            n_steps = decisions["n_steps"]
            steps = steps if n_steps > 1 else steps.replace("steps", "step")
            parts += [f"{n} {unit}{'s' * (n > 1)}{each}", f"{n_steps:,} {steps}"]
    if "batch_size" in decisions:
        parts.append(f"{decisions['batch_size']} points a step")
    return ", ".join(parts)


def rounded(seconds: float) -> str:
    """A time to two digits, in the unit that suits it."""
    sizes = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((unit for unit, size in sizes.items() if seconds >= 2 * size), "seconds")
    number = float(f"{seconds / sizes[unit]:.2g}")
    return f"{number:g} {unit}"


@dataclass(frozen=True)
class Sampling:
    """What is sampled after each stage.

    n_validation : samples that are compared with data.
    pictures : whether samples are drawn.
    seconds : of both.
    """

    n_validation: int = 0
    pictures: bool = False
    seconds: float = 0.0

    def as_decisions(self) -> Decisions:
        """With the milliseconds, which a training keeps for its end."""
        return {
            "n_validation": self.n_validation,
            "pictures": int(self.pictures),
            "end_ms": math.ceil(1e3 * self.seconds),
        }


@dataclass(frozen=True)
class Allowance:
    """What a plan may take: steps, or seconds, of which it can measure what its parts cost.

    Attributes
    ----------
    steps : float
        Of networks; infinite where seconds count.
    left : callable
        Seconds that are left now, the same in every process; infinite where steps count.
    seconds_a_step : callable
        Trains a stage for a few steps, to be thrown away, and gives the seconds of one.
    draws : bool
        Whether pictures of samples are asked for.
    """

    steps: float
    left: Callable[[], float]
    seconds_a_step: Callable[[Any], float]
    draws: bool = False

    @property
    def timed(self) -> bool:
        """Whether seconds count."""
        return math.isfinite(self.left())

    def to_spend(self) -> float:
        """Seconds that may be planned for."""
        return _SPENT * self.left()

    def batch(
        self, stage: Callable[[int], Any], most: int, reserved: float = 0.0
    ) -> tuple[int, float]:
        """The batch size, less than `most` where too few steps of that would fit; and its seconds.

        stage : trains with a batch size. reserved : seconds that are not for steps. Sizes are tried
        from a few points on as long as a step of the next one surely fits; what larger ones take is
        at most in proportion.
        """

        def allowed() -> float:
            return max(self.to_spend() - reserved, 0.0) / _STEPS

        here = sharding()
        size = smallest = min(most, _SMALLEST if here is None else max(_SMALLEST, here.size))
        seconds = self.seconds_a_step(stage(size))
        while size < most and 4 * seconds <= allowed():
            size = min(4 * size, most)
            seconds = self.seconds_a_step(stage(size))
        fitting = int(size * allowed() / seconds)
        if fitting < most:
            size, seconds = max(smallest, fitting), seconds * max(smallest, fitting) / size
        elif size < most:
            size, seconds = most, self.seconds_a_step(stage(most))
        return size, seconds

    def sampling(
        self,
        network: nn.Module,
        validate: Callable[[int], object],
        draw: Callable[[Path], object],
        most: int,
        times: int,
        enough: int = 0,
    ) -> tuple[Sampling, int]:
        """How many samples can be validated so many times, and whether they can be drawn.

        Where these would be less than `enough`, it is fewer times, which are given too.

        network : what samples with it is given up once it takes too long. validate : validates with
        so many samples. They are tried in growing numbers, so that all trials cost little more
        than one validation. The first call loads and compiles what the others use.
        """
        left, n = _VALIDATION * self.left(), min(_FEWEST, most)

        def seconds_of(n_samples: int, allowed: float) -> float:
            return _seconds(network, lambda: validate(n_samples), allowed)

        most_of_first = left if enough else left / times
        seconds = seconds_of(n, most_of_first)
        if seconds < _WARM_UP:
            seconds = seconds_of(n, most_of_first)
        if seconds > left / times and enough:
            times = max(1, int(left / seconds))
        if seconds > left / times:
            return Sampling(), times
        while n < most:
            more = min(4 * n, most)
            if more * seconds > n * left / times:
                if n >= enough or times == 1:
                    break
                times = max(1, times * n // enough)
                continue
            longer = seconds_of(more, left / times)
            if longer > left / times:  # on a machine that has become slower
                break
            n, seconds = more, longer
        allowed = left / times
        drawing = _seconds_to_draw(network, draw, allowed) if self.draws else math.inf
        if drawing > allowed:
            return Sampling(n, seconds=seconds), times
        return Sampling(n, True, seconds + drawing), times


def _seconds_to_draw(network: nn.Module, draw: Callable[[Path], object], allowed: float) -> float:
    """What a picture takes, after another that loads what it is drawn with."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.png"
        _seconds(network, lambda: draw(path), allowed)
        return _seconds(network, lambda: draw(path), allowed)


def _seconds(network: nn.Module, call: Callable[[], object], allowed: float) -> float:
    """What a call takes; infinite where the network works for longer than is allowed."""
    start = perf_counter()
    try:
        with _at_most(allowed, network):
            call()
    except _TooLong:
        return math.inf
    return slowest(perf_counter() - start)


class _TooLong(Exception):
    """Something that is tried takes longer than it may."""


@contextmanager
def _at_most(allowed: float, network: nn.Module) -> Iterator[None]:
    """Raise `_TooLong` where a single process calls the network so long after its first call."""
    first: list[float] = []

    def check(*given: object) -> None:
        first.append(perf_counter())
        if first[-1] - first[0] > allowed and sharding() is None:
            raise _TooLong

    hook = network.register_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()


def slowest(seconds: float) -> float:
    """The most of what each of the processes that share the training has measured."""
    here = sharding()
    if here is None:
        return seconds
    return max(row[0] for row in here.numbers([round(seconds * 1e6)])) / 1e6
