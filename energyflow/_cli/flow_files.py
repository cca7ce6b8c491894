"""The files of a flow's folder, and the particles that it starts from."""

import os
from pathlib import Path

import numpy as np
from energyflow_backends import HostArray, to_host

from .. import FlowDiverged, FlowResult
from .._core import pictures as _pictures
from .._core.blocks import NUMBERS
from .._core.files import csv_text, remove_parts, write_array, write_text
from ..distributed import gather
from .app import can_draw

RESULT = "flow.npz"
PARTICLES = "particles.npy"
HISTORY = "history.csv"
LAST_FINITE = "last_finite.npy"


def check_out(out: Path, *, resume: bool, force: bool) -> None:
    """Check before a long run that its result may be written to the folder `out`."""
    there = [out / name for name in (RESULT, PARTICLES, HISTORY) if (out / name).exists()]
    no_files = [path for path in there if not path.is_file()]
    if no_files:
        raise ValueError(f"--out {out}: {no_files[0]} is not a file, and is in the way")
    if resume and out / RESULT not in there:
        raise ValueError(f"--resume: there is no {out / RESULT} to resume")
    if there and not (resume or force):
        raise ValueError(f"{there[0]} exists: --resume continues a result, --force replaces it")
    nearest = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not nearest.is_dir():
        raise ValueError(f"--out {out}: {nearest} is a file, expected a folder")
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"--out {out}: no permission to write to {nearest}")
    remove_parts(out)


def initial_particles(init: str, d: int, seed: int, rows: HostArray) -> HostArray:
    """Particles from the standard normal, or uniform on [0, 1]^d: those of consecutive numbers."""
    rng = np.random.default_rng(seed)
    draw = rng.random if init == "uniform" else rng.standard_normal
    first, last = int(rows[0]), int(rows[-1]) + 1
    size = max(1, NUMBERS // d)
    parts = []
    for start in range(0, last, size):  # those before the first are drawn too, and dropped
        block = draw((min(size, last - start), d))
        parts.append(block[max(first - start, 0) :])
    return np.concatenate(parts)


def write_flow(out: Path, result: FlowResult) -> list[Path]:
    """Write `particles.npy` and `history.csv` (step, distance, seconds) beside `flow.npz`."""
    columns = (result.history_step, result.history_distance, result.history_seconds)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        out / RESULT,
        write_array(out / PARTICLES, to_host(result.particles)),
        write_text(out / HISTORY, csv_text(("step", "distance", "seconds"), rows)),
    ]


def write_last_finite(out: Path, error: FlowDiverged) -> Path:
    """Keep the last finite particles of a flow that diverged."""
    particles = gather(error.particles)
    if particles is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_array(out / LAST_FINITE, to_host(particles))
    return out / LAST_FINITE


def draw_flow(out: Path, result: FlowResult, target: HostArray) -> list[Path]:
    """Draw the history, and particles in the plane, if matplotlib is installed."""
    if not can_draw():
        return []
    pictures = [_pictures.save_history(out / "history.png", result)]
    if target.shape[1] == 2:
        drawn = _pictures.save_scatter(out / "particles.png", to_host(result.particles), target)
        pictures.append(drawn)
    return pictures
