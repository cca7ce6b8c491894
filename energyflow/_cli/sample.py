"""`energyflow sample`: new samples from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from energyflow_backends import HostArray

from .._core.files import follow_link, write_arrays
from .app import app, can_draw, check_suffix, listed
from .conditions import as_arrays, parse_conditions
from .options import Device, RunFolder, Seed, command


@command(app)
def sample(
    run: RunFolder,
    number: Annotated[int, typer.Option("--number", "-n", min=1)] = 100,
    condition: list[str] | None = None,
    out: Path | None = None,
    grid: Path | None = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Draw new samples from a trained model.

    Parameters
    ----------
    number
        How many.
    condition
        For a conditional model: a label, numbers with commas between, or a file of one for each
        sample; where both were learned, once labels=... and once condition=...
    out
        A .npz file for `samples`, and for their conditions.
    grid
        A .png file for a picture of them.
    """
    from .. import models

    if out is None and grid is None:
        raise typer.BadParameter("give --out, --grid or both")
    check_suffix(out, ".npz")
    check_suffix(grid, ".png")
    model = models.load(run, device=device)
    given = parse_conditions(condition, models.RunFolder(run).settings().get("condition"))
    samples = np.asarray(model.sample(number, given, seed))
    files = []
    if out is not None:
        write_arrays(follow_link(out), {"samples": samples, **as_arrays(given, number)})
        files.append(out)
    if grid is not None and (drawn := _draw(grid, samples)) is not None:
        files.append(drawn)
    print(f"{number} samples; {listed(files)}")


def _draw(path: Path, samples: HostArray) -> Path | None:
    """Images as a grid, points in the plane as dots."""
    if samples.ndim == 4 and samples.shape[1] in (1, 3):
        from .._core.image_grid import save_grid

        return save_grid(path, samples)
    if samples.ndim != 2 or samples.shape[1] != 2:
        raise ValueError(f"--grid: samples of shape {samples.shape[1:]} cannot be drawn")
    if not can_draw():
        return None
    from .._core.pictures import save_scatter

    return save_scatter(path, samples)
