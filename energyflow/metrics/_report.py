"""A table of measures, each beside its value for real data."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path

from energyflow_backends import Floats, Integers

from .._core.files import csv_text, follow_link, write_text
from ._neighbours import NeighbourReport

COLUMNS = ("measure", "samples", "real data", "better")


@dataclass(frozen=True)
class Row:
    """One measure of the samples, the same measure of real data, and which values are better.

    Attributes
    ----------
    measure : str
        Its name.
    samples, real : float
        The measure of the samples, and of real data in their place.
    better : str
        Which values are better.
    """

    measure: str
    samples: float
    real: float
    better: str

    def cells(self) -> tuple[str, str, str, str]:
        """The row as text, numbers to four digits."""
        return self.measure, f"{self.samples:.4g}", f"{self.real:.4g}", self.better


@dataclass(frozen=True, eq=False)
class Report:
    """The results of `evaluate`.

    Attributes
    ----------
    rows : tuple of Row
        The table.
    dataset : str
        Name of the data.
    n_samples : int
        How many samples were evaluated.
    features : str
        The space of the Fréchet and kernel distance, precision and recall.
    samples, labels : arrays (n, ...) and (n,)
        The samples, and their classes; None where there are none.
    neighbours : NeighbourReport
        The nearest training points.
    """

    rows: tuple[Row, ...]
    dataset: str
    n_samples: int
    features: str
    samples: Floats = field(repr=False)
    labels: Integers | None = field(repr=False)
    neighbours: NeighbourReport = field(repr=False)

    def __repr__(self) -> str:
        rows = [f"{row.measure} {row.samples:.3g} (real {row.real:.3g})" for row in self.rows[:1]]
        return (
            f"Report({self.dataset!r}, {self.n_samples} samples, {len(self.rows)} measures: "
            f"{', '.join(rows)})"
        )

    def __getitem__(self, measure: str) -> Row:
        """The row of that name."""
        for row in self.rows:
            if row.measure == measure:
                return row
        raise KeyError(measure)

    def to_markdown(self) -> str:
        """The table in Markdown."""
        lines = [COLUMNS, ("---", "---:", "---:", "---"), *(row.cells() for row in self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def to_csv(self) -> str:
        """The table, comma-separated, with a header, numbers in full."""
        return csv_text(COLUMNS, map(astuple, self.rows))

    def to_json(self) -> str:
        """The table and what it is about, as one JSON object; null where a number is infinite."""
        content = {
            "dataset": self.dataset,
            "n_samples": self.n_samples,
            "features": self.features,
            "measures": [
                asdict(row) | {"samples": _finite(row.samples), "real": _finite(row.real)}
                for row in self.rows
            ],
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as .json, .csv or .md, atomically."""
        target = Path(path)
        write_text(follow_link(target), table_writer(target)(self))
        return target


WRITERS = {".json": Report.to_json, ".csv": Report.to_csv, ".md": Report.to_markdown}


def table_writer(path: Path) -> Callable[[Report], str]:
    """The method that writes the format of that name."""
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ValueError(f"{path}: expected a name in {', '.join(WRITERS)}, got {path.suffix!r}")
    return writer


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
