"""Tables from comma-separated files: named columns, text among them, and gaps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..reading import opened
from .columns import Table

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})  # cells without a value


def read_csv_table(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    labels: str | None = None,
    missing: str = "error",
) -> Table:
    """Read columns of numbers.

    Parameters
    ----------
    path : path
        Of a file whose first line may hold names.
    columns : names, optional
        Columns to take; all but `drop` and `labels` when not given. Where the first line holds a
        number there are no names, and columns are called by their place: 1, 2, ...
    drop : names
        Columns to leave out.
    labels : name, optional
        A column of labels, of any text, that is no data.
    missing : "error" or "drop"
        What to do with rows in which one of the columns has no value.

    Raises
    ------
    OSError, ValueError
        Naming the file, and the line and the column of what cannot be read.
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: expected rows of numbers: got none")
    line, cells = first
    if any(_number(cell) is not None for cell in cells):
        names = [str(k + 1) for k in range(len(cells))]
        data = [first]
    else:
        names, data = [cell.strip() for cell in cells], []
    chosen = _chosen(path, names, columns, drop, labels)
    places = [names.index(name) for name in chosen]
    label_at = None if labels is None else names.index(labels)
    values: list[list[float]] = []
    lines: list[int] = []
    marks: list[str] = []
    dropped = 0
    for line, cells in (*data, *rows) if data else rows:
        if len(cells) != len(names):
            raise ValueError(
                f"{path}: expected rows of numbers: line {line} has {len(cells)} cells for "
                f"{len(names)} columns"
            )
        numbers = _row(path, line, cells, names, places, missing)
        if numbers is None:
            dropped += 1
            continue
        values.append(numbers)
        lines.append(line)
        if label_at is not None:
            marks.append(cells[label_at].strip())
    if not values:
        raise ValueError(
            f"{path}: expected rows of numbers: got none"
            + (f" without a gap, of {dropped}" if dropped else "")
        )
    return Table(
        tuple(chosen),
        np.array(values, dtype=np.float64).reshape(len(values), len(chosen)),
        np.array(lines),
        np.array(marks) if label_at is not None else None,
        dropped,
        not data,
    )


def _rows(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """The number of the line that each row ends in, and its cells; empty lines are passed over."""
    with opened(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
        reader = csv.reader(text)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells) or len(cells) > 1:
                    yield reader.line_num, cells
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: expected comma-separated text, got bytes: {error}") from None
        except csv.Error as error:
            raise ValueError(f"{path}: expected rows of numbers: {error}") from None


def _chosen(
    path: Any,
    names: list[str],
    columns: Sequence[str] | None,
    drop: Sequence[str],
    labels: str | None,
) -> list[str]:
    asked = [*(columns or ()), *drop, *([] if labels is None else [labels])]
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise ValueError(f"{path} has no column {unknown[0]!r}; it has {', '.join(names)}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: expected columns of different names, got two of {twice[0]!r}")
    found = [n for n in (columns or names) if n not in drop and n != labels]
    if not found:
        raise ValueError(f"{path}: expected a column of numbers, got none that is left")
    return found


def _row(
    path: Any, line: int, cells: list[str], names: list[str], places: list[int], missing: str
) -> list[float] | None:
    """The numbers of one row; None where one is missing and such rows are dropped."""
    numbers = []
    for place in places:
        cell = cells[place].strip()
        number = _number(cell)
        if number is None or number != number:
            where = f"{path}: expected rows of numbers: line {line}, column {names[place]!r}"
            if cell.lower() not in _MISSING:
                raise ValueError(f"{where} holds {cell[:40]!r}")
            if missing == "drop":
                return None
            raise ValueError(f"{where} is blank" if not cell else f"{where} holds {cell!r}")
        numbers.append(number)
    return numbers


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
