"""Samples from files, as the commands that test them read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from energyflow_backends import HostArray

from ..._core.tables.columns import Table
from ..._core.tables.csv_files import read_csv_table
from ..app import load_points

DIFFERENT = 3  # exit status where samples differ
SCALES = {
    "none": "as they are",
    "sd": "divided by their pooled standard deviations",
    "rank": "replaced by their pooled ranks",
}


def load_table(
    spec: str,
    *,
    columns: Sequence[str] | None,
    drop: Sequence[str] | None = None,
    missing: str,
    labels: str | None = None,
) -> Table:
    """A sample from a file; columns, drop and labels are for .csv files alone."""
    if Path(spec).suffix.lower() == ".csv":
        return read_csv_table(
            spec, columns=columns, drop=drop or (), missing=missing, labels=labels
        )
    for option, value in (("--columns", columns), ("--drop", drop), ("--strata", labels)):
        if value is not None:
            raise ValueError(f"{spec}: {option} is for .csv files, whose columns have names")
    points = load_points(spec)
    return Table(tuple(map(str, range(1, points.shape[1] + 1))), points, named=False)


def names_in(text: str | None) -> list[str] | None:
    """Names between commas."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def as_samples(tables: Sequence[Table]) -> list[Table | HostArray]:
    """Tables where all have names; arrays otherwise."""
    named = [table.named for table in tables]
    return [table if all(named) else table.values for table in tables]
