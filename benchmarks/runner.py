"""Topics and their experiments: registered by name, run from one command line, kept as rows."""

import argparse
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from .machine import record, use_threads
from .rows import RESULTS, Row, read, write
from .rows import Line as Line

Experiment = TypeVar("Experiment", bound=Callable[..., Iterator[Line]])


@dataclass(frozen=True)
class Run:
    """What every experiment is given: the seed, whether it is a small trial, where pictures go.

    Results that are wrong are named in `failures`; they end the run with a non-zero status.
    """

    seed: int
    quick: bool
    out: Path
    failures: list[str] = field(default_factory=list)


class Experiments(dict[str, tuple[Callable[..., Iterator[Line]], dict[str, Any]]]):
    """Functions and the arguments that make experiments of them, by name.

    Called with a name and arguments, it registers a function; one function may be several
    experiments. Its other arguments by keyword are options of the command line.
    """

    def __call__(self, name: str, /, **given: Any) -> Callable[[Experiment], Experiment]:
        def register(function: Experiment) -> Experiment:
            self[name] = function, given
            return function

        return register


class Topic(Experiments):
    """Experiments whose numbers stand in one table, `name`.csv and `name`.md in the results.

    threads: of every library; None for all CPUs, 0 for what they take by themselves.
    options: what those of the experiments mean, for the help.
    by_method: experiments are lines of one table, and others keep theirs.
    pictures: draws what belongs to all rows that were kept so far.
    """

    def __init__(
        self, name: str, title: str, about: str | None, *, device: str = "cpu",
        threads: int | None = None, seeds: Sequence[int] = (0,),
        options: Mapping[str, str] | None = None, by_method: bool = False,
        pictures: Callable[[list[Row], Path], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.name, self.title, self.about, self.device = name, title, about, device
        self.threads, self.seeds, self.pictures = threads, seeds, pictures
        self.options, self.by_method = options or {}, by_method
        self.file = name  # of the results, without suffix

    def main(self, words: Sequence[str], module: str = "") -> None:
        """Run what the words of a command line ask for, and keep the rows."""
        command = f"python -m {module or f'benchmarks {self.name}'}"
        arguments = self.parser(command).parse_args(words)
        if arguments.threads != 0:
            use_threads(arguments.threads)
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / f"{self.file}.csv"
        failures: list[str] = []
        for seed, name in product(arguments.seeds, arguments.names or self):
            function, given = self[name]
            chosen = {key: getattr(arguments, key) for key in _options(function, given)}
            run = Run(seed, arguments.quick, arguments.out, failures)
            rows = list(_printed(function(run, **given, **chosen), seed))
            about = record(self.device, arguments.seeds, " ".join([command, *words]))
            write(path, self.title, rows, about, self.by_method)
            if self.pictures:
                self.pictures(read(path), arguments.out)
        if failures:
            raise SystemExit("wrong or failed: " + ", ".join(failures))

    def parser(self, command: str) -> argparse.ArgumentParser:
        """Of the command line: which experiments, how large, where to, and their options."""
        known = ", ".join(self)

        def one(text: str) -> str:
            if text not in self:
                raise argparse.ArgumentTypeError(f"unknown: {text} (of {known})")
            return text

        out = Path(os.environ.get("OUT") or RESULTS)
        parser = argparse.ArgumentParser(prog=command, description=self.about)
        add = parser.add_argument
        add("names", nargs="*", type=one, help=f"of {known} (default: all)", metavar="EXPERIMENT")
        add("--quick", action="store_true", help="small sizes, to see that all runs")
        add("--out", type=Path, default=out, help="folder for the results")
        add("--seeds", type=int, nargs="+", default=self.seeds, help="one run for each")
        add("--threads", type=int, default=self.threads, help="of every library")
        options: dict[str, Any] = {}
        for experiment in self.values():
            options |= _options(*experiment)
        for name, default in options.items():
            how = {"action": "store_true"} if default is False else {"type": type(default)}
            add(f"--{name}", default=default, help=self.options[name], **how)
        return parser


def _options(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """Arguments by keyword that are not given, with their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in given
    }


def _printed(lines: Iterator[Line], seed: int) -> Iterator[Row]:
    """Rows of the lines, each line printed when it comes."""
    for line in lines:
        numbers = ", ".join(f"{measure} = {value:.4g}" for measure, value in line.numbers.items())
        print(f"{line.experiment}: {line.method}: {numbers}", flush=True)
        yield from line.rows(seed)
