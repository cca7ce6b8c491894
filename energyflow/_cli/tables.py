"""Samples for commands that compare them: arrays, or tables with named columns."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from energyflow_backends import HostArray

from .._core.csv_tables import read_csv_table
from .._core.tables import Table
from .app import load_points


def load_table(
    spec: str, *, columns: str | None, drop: str | None, missing: str, labels: str | None
) -> Table:
    """A sample from a file; the options are for .csv files alone."""
    if Path(spec).suffix.lower() == ".csv":
        return read_csv_table(
            spec, columns=names(columns), drop=names(drop) or (), missing=missing, labels=labels
        )
    for option, value in (("--columns", columns), ("--drop", drop), ("--strata", labels)):
        if value is not None:
            raise ValueError(f"{spec}: {option} is for .csv files, whose columns have names")
    points = load_points(spec)
    return Table(tuple(map(str, range(1, points.shape[1] + 1))), points, named=False)


def names(text: str | None) -> list[str] | None:
    """Names between commas."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def comparable(tables: Sequence[Table]) -> list[Table | HostArray]:
    """Tables where all have names; arrays otherwise."""
    named = [table.named for table in tables]
    return [table if all(named) else table.values for table in tables]


def strata_of(tables: Sequence[Table], pairs: bool) -> list[Any] | None:
    """Labels of the points within which they are relabelled."""
    labels = [table.labels for table in tables]
    given = all(part is not None for part in labels)
    if not pairs:
        return labels if given else None
    sizes = [len(table) for table in tables]
    if len(set(sizes)) > 1:
        raise ValueError(f"--pairs needs samples of one size, got {', '.join(map(str, sizes))}")
    if given:
        raise ValueError("--pairs and --strata exclude each other: give one of them")
    return [np.arange(size) for size in sizes]


@contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Print warnings of the block as lines of the command."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        print(f"energyflow: {warning.message}", file=sys.stderr)
