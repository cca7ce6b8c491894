"""The file that a flow saves its result to, on the way and at the end."""

from __future__ import annotations

from pathlib import Path

from energyflow_backends import any_process, is_first

from .._core.files import check_writable
from .._core.flow_result import FlowResult, write_result
from ..distributed import gather


def is_saved(file: Path | None) -> bool:
    """Whether the result is saved.

    Raises
    ------
    OSError
        The first process cannot write the file. All processes raise it.
    """
    refused = None
    if file is not None and is_first():
        try:
            check_writable(file)
        except OSError as error:
            refused = error
    saving, failing = any_process(file is not None, refused is not None)
    if failing:
        raise refused or OSError("the first process cannot write the file `out`")
    return saving


def save(result: FlowResult, file: Path | None) -> None:
    """Save what all processes hold; the folder of the file is made where it does not exist.

    Raises
    ------
    OSError
        The file cannot be written. The error holds the result as `.result`.
    """
    whole = gather(result)
    if whole is None or file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_result(whole, file)
    except OSError as error:
        error.result = whole  # type: ignore[attr-defined]
        error.add_note("What the flow has reached is in `.result` of this error.")
        raise
