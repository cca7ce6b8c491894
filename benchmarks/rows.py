"""Results as rows: one number each, kept in a CSV file with tables in Markdown beside it."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from itertools import groupby
from pathlib import Path

import numpy as np

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


@dataclass(frozen=True)
class Line:
    """A line of a table: the numbers of one method in an experiment, by what they measure."""

    experiment: str
    method: str
    numbers: Mapping[str, float]
    note: str = ""

    def rows(self, seed: int) -> Iterator[Row]:
        """The same as rows."""
        for measure, value in self.numbers.items():
            yield Row(self.experiment, self.method, seed, measure, float(value), self.note)


def write(
    path: Path, title: str, new: Iterable[Row], record: Mapping[str, str], by_method: bool = False
) -> None:
    """Join rows to those of the CSV file `path`, in place of rows of the same experiment and seed.

    With `by_method` rows of other methods stay. A file of the same name with the suffix .md gets
    tables of them all, under `title` and the record of the last run.
    """

    def key(row: Row) -> tuple[str, int, str]:
        return row.experiment, row.seed, row.method if by_method else ""

    added = list(new)
    replaced = set(map(key, added))
    rows = [row for row in read(path) if key(row) not in replaced] + added
    rows.sort(key=lambda row: (row.experiment, row.seed))
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(field.name for field in fields(Row))
        table.writerows(astuple(row) for row in rows)
    path.with_suffix(".md").write_text("\n".join(markdown(title, rows, record)))


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


def markdown(title: str, rows: list[Row], record: Mapping[str, str]) -> list[str]:
    """A table for each experiment: a line for each method, a column for each measure."""
    lines = [f"# {title}", "", *(f"- {key}: {value}" for key, value in record.items()), ""]
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
        return "".join("-" if np.isnan(value) else f"{value:.4g}" for value in values)
    return f"{np.mean(values):.4g} ± {np.std(values, ddof=1):.2g}"
