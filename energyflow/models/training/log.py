"""The log of a run: a row of numbers now and then, in a CSV file and for TensorBoard."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from ..._core import pictures as _pictures
from ..._core.extras import has
from ..._core.files import atomic_write
from .run_folder import BOARD

_LOG = "log.csv"
FIRST = ("stage", "step", "seconds", "loss")


class Log:
    """Rows `stage, step, seconds, loss` and further columns; a column may stay empty.

    step counts the steps of all networks. A run that is resumed passes its step and its stage:
    later rows, and one that was cut short, are dropped.

    validations : the stage, the step and the loss of each validation of earlier calls.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...], step: int, stage: int) -> None:
        self.columns = (*FIRST, *columns)
        self._path = folder / _LOG
        unfinished = [str(stage), ""]  # the numbers of a stage, without a loss, are its last row
        kept = [
            row for row in self._rows() if int(row[1]) <= step and [row[0], row[3]] != unfinished
        ]
        self.validations = self._validations(kept)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *kept])
        with atomic_write(self._path) as handle:
            handle.write(text.getvalue().encode())
        self._board: Any = _board(folder / BOARD, step + 1)

    def write(self, **numbers: float) -> None:
        """Append a row."""
        with self._path.open("a", newline="") as handle:
            row = [_text(numbers.get(name)) for name in self.columns]
            csv.writer(handle, lineterminator="\n").writerow(row)
        if self._board is not None:
            for name in set(numbers) - {"step"}:
                self._board.add_scalar(name, numbers[name], int(numbers["step"]))

    def close(self) -> None:
        """Hand everything to the disk."""
        if self._board is not None:
            self._board.close()

    def _validations(self, rows: list[list[str]]) -> list[tuple[int, int, float]]:
        if "validation" not in self.columns:
            return []
        place = self.columns.index("validation")
        return [(int(row[0]), int(row[1]), float(row[place])) for row in rows if row[place]]

    def _rows(self) -> list[list[str]]:
        """The rows of an earlier log that are whole, whatever else stands there."""
        if not self._path.is_file():
            return []
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
        rows = [line.split(",") for line in lines]
        return [row for row in rows if len(row) == len(self.columns) and row[1].isdecimal()]


def draw_losses(folder: Path) -> None:
    """Draw the losses of training and validation over the steps, where there are both."""
    if not has("matplotlib"):
        return
    with (folder / _LOG).open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row.get("loss")]
    curves = {
        name: [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
        for name, column in (("training", "loss"), ("validation", "validation"))
    }
    if all(curves.values()):
        _pictures.save_losses(folder / "losses.png", curves)


def seconds_to_draw_losses() -> float:
    """What a picture of losses takes, after another that loads what it is drawn with."""
    if not has("matplotlib"):
        return 0.0
    curves = {"training": [(1, 1.0)], "validation": [(1, 1.0)]}
    with TemporaryDirectory() as folder:
        for _ in range(2):
            start = perf_counter()
            _pictures.save_losses(Path(folder) / "losses.png", curves)
            seconds = perf_counter() - start
    return seconds


def _text(number: float | None) -> str:
    if number is None:
        return ""
    return str(number) if isinstance(number, int) else f"{number:.6g}"


def _board(folder: Path, first: int) -> Any:
    """A writer for TensorBoard, where it is installed; it drops earlier rows from `first` on."""
    if not has("tensorboard"):
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first)
