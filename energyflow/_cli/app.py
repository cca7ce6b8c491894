"""The command line's application, and what its commands share: reading, checks, output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import typer
from energyflow_backends import HostArray
from rich.console import Console
from rich.table import Table

from .._core.extras import has
from .._core.files import load_array

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SHARED = ("flow", "train")  # commands that several processes can run together


@app.callback()
def check_processes(context: typer.Context) -> None:
    """Energy distances between samples, and particle flows along their gradients."""
    command = context.invoked_subcommand
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and command not in SHARED:
        raise ValueError(f"{command} runs in one process: start it without torchrun")


def load_points(spec: str) -> HostArray:
    """Points (N, d) from a file of shape (N, d) or (N,)."""
    points = load_array(spec)
    if points.ndim == 1:
        return points[:, None]
    if points.ndim != 2:
        raise ValueError(f"{spec}: expected points of shape (N, d) or (N,), got {points.shape}")
    return points


def load_weights(spec: str | None) -> HostArray | None:
    """Weights (N,) from a file; a single row or column will do."""
    if spec is None:
        return None
    weights = load_array(spec)
    if weights.size != max(weights.shape, default=1):
        raise ValueError(f"{spec}: expected weights of shape (N,), got {weights.shape}")
    return np.ravel(weights)


def check_suffix(path: Path | None, *suffixes: str) -> None:
    """Check the name of a file to write, if there is one."""
    if path is not None and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: expected a {' or '.join(suffixes)} file")


def can_draw() -> bool:
    """Whether matplotlib is installed; if not, print how to get pictures."""
    if has("matplotlib"):
        return True
    print("energyflow: no pictures without matplotlib: pip install -e '.[plot]'", file=sys.stderr)
    return False


def print_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()
) -> None:
    """Print a table; the columns `numbers` are flush right."""
    table = Table(*header, title=title)
    for column in numbers:
        table.columns[column].justify = "right"
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def listed(files: Iterable[Path]) -> str:
    """The names of the files that a command wrote, for its last line."""
    return "written: " + ", ".join(map(str, files))
