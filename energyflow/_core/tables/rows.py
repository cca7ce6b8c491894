"""Rows of cells from a file of separated values, whatever separates them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from ..reading import opened

_SEPARATORS = ",;\t"  # in the order in which they are tried
_DECLARED = re.compile(r'"?sep=([^\s\w"]|\t)"?', re.IGNORECASE)  # Excel's first line

Row = tuple[int, list[str]]
"""The number of the line that a row ends in, and its cells."""


def read_rows(path: str | Path) -> Iterator[Row]:
    """Rows of equally many cells; lines without any are passed over.

    The separator is the one that a first line `sep=;` declares; else the first of comma, semicolon
    and tab that gives the first two rows equally many cells, and more than one; else the one that
    gives the first row the most. A separator that ends the lines makes no column.

    Raises
    ------
    OSError, ValueError
        Naming the file, and the line of what cannot be read.
    """
    with opened(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
        try:
            separator, rows = _separated(text)
            yield from _of_one_length(path, separator, rows)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: expected text with separators, got bytes: {error}") from None
        except csv.Error as error:
            raise ValueError(f"{path}: expected rows of numbers: {error}") from None


def _separated(text: io.TextIOWrapper) -> tuple[str, Iterator[Row]]:
    """The separator, and the rows."""
    number, line = next(((k, v) for k, v in enumerate(text) if v.strip()), (0, ""))
    if declared := _DECLARED.fullmatch(line.rstrip("\r\n")):
        return declared[1], _parsed(text, declared[1], number + 1)
    seen = [line]
    separator = _fitting({mark: _two_rows(seen, text, mark) for mark in _SEPARATORS})
    return separator, _parsed(chain(seen, text), separator, number)


def _parsed(lines: Iterable[str], separator: str, skipped: int = 0) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=separator)
    for cells in reader:
        if any(cell.strip() for cell in cells) or len(cells) > 1:
            yield skipped + reader.line_num, cells


def _two_rows(seen: list[str], text: io.TextIOWrapper, separator: str) -> list[list[str]]:
    """The first two rows; lines that are read for them are added to those that were seen."""

    def lines() -> Iterator[str]:
        yield from seen.copy()
        for line in text:
            seen.append(line)
            yield line

    try:
        return [cells for _, cells in islice(_parsed(lines(), separator), 2)]
    except csv.Error:  # of a separator that the file does not have
        return []


def _fitting(first_rows: dict[str, list[list[str]]]) -> str:
    """The separator that gives the first two rows equally many cells, or the first one the most."""
    lengths = {mark: [len(cells) for cells in rows] for mark, rows in first_rows.items()}
    for mark, (first, *second) in ((m, n) for m, n in lengths.items() if n):
        if second == [first] and first > 1:
            return mark
    return max(lengths, key=lambda mark: lengths[mark][:1])


def _of_one_length(path: str | Path, separator: str, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, without the blank cell after a separator that ends each line."""
    start = list(islice(rows, 2))
    ended = _ended([cells for _, cells in start])
    n = 0
    for line, cells in chain(start, rows):
        if ended and not cells[-1].strip():
            cells.pop()
        n = n or len(cells)
        if len(cells) != n:
            mark = "tabs" if separator == "\t" else repr(separator)
            raise ValueError(
                f"{path}: expected rows of numbers: line {line} has {len(cells)} cells for "
                f"{n} columns, separated by {mark}"
            )
        yield line, cells


def _ended(start: Sequence[list[str]]) -> bool:
    """Whether lines end in a separator: rows below the first, which names columns, at least."""
    if len(start) < 2:
        return False
    first, second = start
    named = len(first) - (not first[-1].strip())
    return not second[-1].strip() and named == len(second) - 1
