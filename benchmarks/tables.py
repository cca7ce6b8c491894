"""Results as CSV for programs and Markdown for people."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from .measure import Row, met

_MIB = 2**20
_FIELDS = (
    "n", "d", "p", "method", "median_seconds", "times_faster_than_papers", "times_the_floor",
    "peak_extra_bytes", "relative_error", "note",
)  # fmt: skip


def write_csv(path: Path, rows: Iterable[Row], record: dict[str, str]) -> None:
    """One line a row; what holds for all of them is repeated in each."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_FIELDS, *record])
        for row in rows:
            numbers = (row.seconds, row.speedup, row.floors)
            cells = [row.shape.n, row.shape.d, row.shape.p, row.method]
            cells += ["" if v is None else f"{v:.6g}" for v in numbers]
            cells += ["" if row.extra_bytes is None else row.extra_bytes]
            cells += ["" if row.error is None else f"{row.error:.2e}", row.note]
            writer.writerow([*cells, *record.values()])


def markdown(title: str, rows: Sequence[Row], record: dict[str, str]) -> list[str]:
    """A section for each shape, with the targets and whether they are met."""
    lines = [f"# {title}", "", *(f"- {key}: {value}" for key, value in record.items()), ""]
    for shape, group in groupby(rows, key=lambda row: row.shape):
        here = list(group)
        lines += [f"## (N, d, P) = {shape}", ""]
        lines += [
            "| method | ms | times faster than papers | times the floor | peak extra MiB "
            "| relative error |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        lines += [_line(row) for row in here]
        lines.append("")
        ours = next((row for row in here if row.method == "energyflow"), None)
        for text, reached in met(ours) if ours else []:
            lines.append(f"- {'met' if reached else 'not met'}: {text}")
        lines.append("")
    return lines


def _line(row: Row) -> str:
    if row.seconds is None:
        return f"| {row.method} | - | | | | {_cell(row.error, '.1e')} ({row.note}) |"
    extra = None if row.extra_bytes is None else row.extra_bytes / _MIB
    cells = (
        row.method,
        f"{1000 * row.seconds:.3g}" if row.seconds < 0.1 else f"{1000 * row.seconds:.0f}",
        _cell(row.speedup, ".3g"),
        _cell(row.floors, ".3g"),
        _cell(extra, ".1f"),
        _cell(row.error, ".1e"),
    )
    return "| " + " | ".join(cells) + " |"


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
