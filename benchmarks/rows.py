"""Results as rows: one number each, kept in a CSV file with tables in Markdown beside it."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Collection, Iterable
from dataclasses import astuple, dataclass, fields
from itertools import groupby
from pathlib import Path

import numpy as np

from .machine import record

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One number: which experiment, method and seed, and what it measures."""

    experiment: str
    method: str
    seed: int
    measure: str
    value: float
    note: str = ""


def command(name: str, about: str | None, experiments: Collection[str]) -> argparse.ArgumentParser:
    """The command line that these benchmarks share: which experiments, how large, and where to."""
    known = ", ".join(experiments)

    def one(text: str) -> str:
        if text not in experiments:
            raise argparse.ArgumentTypeError(f"unknown: {text} (of {known})")
        return text

    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("names", nargs="*", type=one, help=f"of {known} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.add_argument("--out", type=_folder, default=RESULTS, help="folder for the results")
    return parser


def shown(rows: Iterable[Row]) -> list[Row]:
    """All rows, each printed when it comes."""
    found = []
    for row in rows:
        print(f"{row.experiment}: {row.method}: {row.measure} = {row.value:.4g}", flush=True)
        found.append(row)
    return found


def write(path: Path, title: str, new: Iterable[Row]) -> None:
    """Join rows to those of the CSV file `path`, in place of rows of the same experiment and seed.

    A file of the same name with the suffix .md gets tables of them all, under `title`.
    """
    added = list(new)
    replaced = {(row.experiment, row.seed) for row in added}
    rows = [row for row in read(path) if (row.experiment, row.seed) not in replaced] + added
    rows.sort(key=lambda row: (row.experiment, row.seed))
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(field.name for field in fields(Row))
        table.writerows(astuple(row) for row in rows)
    path.with_suffix(".md").write_text("\n".join(_markdown(title, rows)))


def read(path: Path) -> list[Row]:
    """The rows of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Row(
                line["experiment"], line["method"], int(line["seed"]), line["measure"],
                float(line["value"]), line["note"],
            )
            for line in csv.DictReader(file)
        ]  # fmt: skip


def _folder(path: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _markdown(title: str, rows: list[Row]) -> list[str]:
    """A table for each experiment: a line for each method, a column for each measure."""
    lines = [f"# {title}", "", *(f"- {k}: {v}" for k, v in record("cpu", 0).items()), ""]
    for experiment, group in groupby(rows, key=lambda row: row.experiment):
        here = list(group)
        measures = list(dict.fromkeys(row.measure for row in here))
        lines += [f"## {experiment}", "", f"| method | seeds | {' | '.join(measures)} |"]
        lines.append("|---|---|" + "---:|" * len(measures))
        for method in dict.fromkeys(row.method for row in here):
            own = [row for row in here if row.method == method]
            seeds = ", ".join(map(str, dict.fromkeys(row.seed for row in own)))
            cells = [_cell([row.value for row in own if row.measure == m]) for m in measures]
            lines.append(f"| {method} | {seeds} | {' | '.join(cells)} |")
        notes = dict.fromkeys(f"- seed {row.seed}: {row.note}" for row in here if row.note)
        lines += ["", *notes, ""]
    return lines


def _cell(values: list[float]) -> str:
    """A number, or the mean and standard deviation of those of several seeds."""
    if len(values) < 2:
        return "".join(f"{value:.4g}" for value in values)
    return f"{np.mean(values):.4g} ± {np.std(values, ddof=1):.2g}"
