"""Tables from files of separated values: named columns, text among them, and gaps."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .columns import Table
from .rows import read_rows

_INDEX = ("", "Unnamed: 0")  # names that pandas gives an index in a file
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
        Of a file whose first row may hold names. Cells are separated as `read_rows` finds.
    columns : names, optional
        Columns to take; all but `drop` and `labels` when not given, and but a first one without a
        name, which is the index of a data frame. Where the first row holds a number there are no
        names, and columns are called by their place: 1, 2, ...
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
    rows = read_rows(path)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: expected rows of numbers: got none")
    named = all(_number(cell) is None for cell in first[1])
    names = [cell.strip() if named else str(k + 1) for k, cell in enumerate(first[1])]
    if named and (twice := _repeated(names)) is not None:
        raise ValueError(f"{path}: expected columns of different names, got two of {twice!r}")
    places = _places(path, names, columns, drop, labels)
    label_at = None if labels is None else names.index(labels)
    values, lines = array("d"), array("q")  # without an object for each number
    marks: list[str] = []
    dropped = 0
    for line, cells in rows if named else chain([first], rows):
        start = len(values)
        try:
            values.extend(map(float, map(cells.__getitem__, places)))
            complete = not math.isnan(sum(values[start:]))
        except ValueError:
            complete = False
        if not complete and _has_gap(path, line, cells, names, places, missing):
            del values[start:]
            dropped += 1
            continue
        lines.append(line)
        if label_at is not None:
            marks.append(cells[label_at].strip())
    if not lines:
        raise ValueError(
            f"{path}: expected rows of numbers: got none"
            + (f" without a gap, of {dropped}" if dropped else "")
        )
    return Table(
        tuple(names[place] for place in places),
        np.frombuffer(values).reshape(len(lines), len(places)),
        np.frombuffer(lines, dtype=np.int64),
        np.array(marks) if label_at is not None else None,
        dropped,
        named,
    )


def _repeated(names: list[str]) -> str | None:
    """The first name that stands there for the second time."""
    before: set[str] = set()
    for name in names:
        if name in before:
            return name
        before.add(name)
    return None


def _places(
    path: Any,
    names: list[str],
    columns: Sequence[str] | None,
    drop: Sequence[str],
    labels: str | None,
) -> Sequence[int]:
    """Places of the columns to take."""
    wanted = [*(columns or ()), *drop, *([] if labels is None else [labels])]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(f"{path} has no column {unknown[0]!r}; it has {', '.join(names)}")
    all_places = range(int(names[0] in _INDEX and len(names) > 1), len(names))
    if not wanted:
        return all_places
    left_out = {*drop, labels}
    if columns:
        places = [names.index(name) for name in columns if name not in left_out]
    else:
        places = [place for place in all_places if names[place] not in left_out]
    if not places:
        raise ValueError(f"{path}: expected a column of numbers, got none that is left")
    return places


def _has_gap(
    path: Any, line: int, cells: list[str], names: list[str], places: Sequence[int], missing: str
) -> bool:
    """Whether a row is to be dropped, for a cell without a value."""
    for place in places:
        cell = cells[place].strip()
        number = _number(cell)
        if number is None or math.isnan(number):
            where = f"{path}: expected rows of numbers: line {line}, column {names[place]!r}"
            if cell.lower() not in _MISSING:
                comma = _number(cell.replace(",", ".", 1)) is not None
                point = ": decimals must have a point" if comma else ""
                raise ValueError(f"{where} holds {cell[:40]!r}{point}")
            if missing == "drop":
                return True
            raise ValueError(f"{where} is blank" if not cell else f"{where} holds {cell!r}")
    return False


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
