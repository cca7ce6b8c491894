"""Tables: columns of numbers with names, from data frames of any library or from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from energyflow_backends import Doubles, Integers, library_of


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of numbers with names, and where their rows come from.

    Attributes
    ----------
    columns : tuple of str
        Names, d of them.
    values : array (n, d)
    lines : array (n,), optional
        Lines of the file that the rows stood in.
    labels : array (n,), optional
        A column of labels that is no data.
    dropped : int
        Rows that were left out because a value was missing.
    named : bool
        Whether the names are the user's, and not mere places.
    """

    columns: tuple[str, ...]
    values: Doubles
    lines: Integers | None = None
    labels: Any = None
    dropped: int = 0
    named: bool = True

    def __getitem__(self, name: str) -> Doubles:
        return self.values[:, self.columns.index(name)]

    def __len__(self) -> int:
        return len(self.values)


def is_table(value: object) -> bool:
    """Whether a value has named columns, as frames of pandas and polars have, and mappings."""
    if isinstance(value, Mapping):
        return True
    return (
        library_of(value) is None
        and hasattr(value, "columns")
        and hasattr(value, "__getitem__")
        and hasattr(value, "__len__")
    )


def is_series(value: object) -> bool:
    """Whether a value is a single column, as frames of pandas and polars give."""
    return library_of(value) is None and hasattr(value, "name") and hasattr(value, "__array__")


def as_table(name: str, frame: Any) -> Table:
    """The numbers of a data frame, or of a mapping of names to columns.

    Raises
    ------
    TypeError
        A column does not hold numbers; it is named.
    ValueError
        No columns, two of one name, columns that differ in size, no rows, or missing values.
    """
    if isinstance(frame, Table):
        return frame
    keys = list(frame if isinstance(frame, Mapping) else frame.columns)
    columns = tuple(map(str, keys))
    if len(set(columns)) < len(columns):
        twice = next(c for c in columns if columns.count(c) > 1)
        raise ValueError(f"{name} must have columns of different names, got two of {twice!r}")
    parts = [numbers_of(name, str(key), frame[key]) for key in keys]
    sizes = {len(part) for part in parts}
    if not sizes or 0 in sizes:
        raise ValueError(f"{name} must not be empty, got columns {columns} of sizes {sizes}")
    if len(sizes) > 1:
        raise ValueError(f"{name} must have columns of one size, got {sorted(sizes)}")
    return Table(columns, np.stack(parts, axis=1))


def in_order_of(first: tuple[str, tuple[str, ...]], name: str, table: Table) -> Table:
    """The table with its columns in the order of another's, whose name and columns `first` gives.

    Both must have the same columns.
    """
    other, columns = first
    missing = [column for column in columns if column not in table.columns]
    more = [column for column in table.columns if column not in columns]
    if missing or more:
        parts = [
            f"{text} {', '.join(map(repr, names))}"
            for text, names in (("lacks", missing), ("has besides", more))
            if names
        ]
        raise ValueError(f"{name} must have the columns of {other}: it {' and '.join(parts)}")
    order = [table.columns.index(column) for column in columns]
    return replace(table, columns=columns, values=table.values[:, order])


def numbers_of(name: str, column: str, series: Any) -> Doubles:
    """One column as float64; an error names the row of the first missing value."""
    values = np.asarray(series)
    if values.ndim != 1:
        raise ValueError(f"{name} must have columns (n,): {column!r} has shape {values.shape}")
    if values.dtype.kind == "O":  # numbers with gaps, as nullable columns give
        values = np.array([np.nan if _is_missing(v) else v for v in values], dtype=object)
        kinds = {type(v) for v in values}
        if not all(issubclass(kind, int | float | np.integer | np.floating) for kind in kinds):
            odd = next(kind for kind in kinds if not issubclass(kind, int | float | np.number))
            raise TypeError(f"{name} must hold numbers: column {column!r} holds {odd.__name__}")
        values = values.astype(np.float64)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers: column {column!r} holds {values.dtype}")
    numbers = values.astype(np.float64)
    gaps = np.flatnonzero(~np.isfinite(numbers))
    if len(gaps):
        raise ValueError(
            f"{name} must be finite: column {column!r} has {len(gaps)} missing or infinite of "
            f"{len(numbers)} numbers, the first in row {gaps[0]}"
        )
    return numbers


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value
