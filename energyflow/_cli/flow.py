"""What `energyflow flow` does around the flow: the start, interrupts, and the files it leaves."""

import csv
import io
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from energyflow_backends import to_host

from .. import FlowDiverged, FlowResult, ParticleFlow
from .._core import interrupts as _interrupts
from .._core import pictures as _pictures
from .._core.blocks import NUMBERS
from .._core.files import Array, atomic_write, remove_parts
from ..distributed import gather

RESULT = "flow.npz"
PARTICLES = "particles.npy"
HISTORY = "history.csv"
LAST_FINITE = "last_finite.npy"
SAVE_EVERY = 300.0  # seconds


def check_out(out: Path, *, resume: bool, force: bool) -> None:
    """Find out before a long run whether its result may be written to the folder `out`."""
    there = [out / name for name in (RESULT, PARTICLES, HISTORY) if (out / name).exists()]
    odd = [path for path in there if not path.is_file()]
    if odd:
        raise ValueError(f"--out {out}: {odd[0]} is not a file, and stands in the way")
    if resume and out / RESULT not in there:
        raise ValueError(f"--resume: there is no {out / RESULT} to go on from")
    if there and not (resume or force):
        raise ValueError(f"{there[0]} exists: --resume goes on from a result, --force replaces it")
    nearest = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not nearest.is_dir():
        raise ValueError(f"--out {out}: {nearest} is a file, expected a folder")
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"--out {out}: no permission to write to {nearest}")
    remove_parts(out)


def initial_particles(init: str, d: int, seed: int, rows: Array) -> Array:
    """Particles from the standard normal, or uniform on [0, 1]^d: those of consecutive numbers."""
    rng = np.random.default_rng(seed)
    draw = rng.random if init == "uniform" else rng.standard_normal
    first, last = int(rows[0]), int(rows[-1]) + 1
    size = max(1, NUMBERS // d)
    parts = []
    for start in range(0, last, size):  # those before are drawn too, and let go
        block = draw((min(size, last - start), d))
        parts.append(block[max(first - start, 0) :])
    return np.concatenate(parts)


def run_to(
    flow: ParticleFlow,
    start: Array | FlowResult,
    last_step: int,
    *,
    record_every: int,
    progress: bool,
    out: Path | None = None,
    save_every: float = SAVE_EVERY,
) -> tuple[FlowResult, bool]:
    """Run up to step number `last_step`; give the result and whether an interrupt cut it short.

    Every so many seconds, and at the end, the result is saved in the folder `out`. A flow that has
    arrived already gets its files, which a kill may have kept it from writing.
    """
    done = int(start.state["step"]) if isinstance(start, FlowResult) else 0
    if last_step < done:
        raise ValueError(f"--steps: the result is at step {done} already, got {last_step}")
    with _interrupts.deferred() as asked:
        try:
            result = flow.run(
                start,
                last_step - done,
                record_every=record_every,
                callback=lambda step, particles, distance: asked.is_set(),
                progress=progress,
                out=None if out is None else out / RESULT,
                save_every=save_every,
            )
        except OSError as error:
            error.__notes__ = []  # of the result that programs find in the error
            raise
    return result, bool(result.state["step"] < last_step)


def write_flow(out: Path, result: FlowResult) -> list[Path]:
    """Write `particles.npy` and `history.csv` (step, distance, seconds) beside `flow.npz`."""
    with atomic_write(out / PARTICLES) as handle:
        np.save(handle, result.particles, allow_pickle=False)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("step", "distance", "seconds"))
    columns = (result.history_step, result.history_distance, result.history_seconds)
    table.writerows(zip(*(column.tolist() for column in columns), strict=True))
    with atomic_write(out / HISTORY) as handle:
        handle.write(text.getvalue().encode())
    return [out / RESULT, out / PARTICLES, out / HISTORY]


def write_last_finite(out: Path, error: FlowDiverged) -> Path:
    """Keep the last finite particles of a flow that diverged."""
    particles = gather(error.particles)
    if particles is not None:
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(out / LAST_FINITE) as handle:
            np.save(handle, to_host(particles), allow_pickle=False)
    return out / LAST_FINITE


def draw_flow(out: Path, result: FlowResult, target: Array) -> list[Path]:
    """Draw the history, and the particles where they are two-dimensional, where one can draw."""
    if not can_draw():
        return []
    pictures = [_pictures.save_history(out / "history.png", result)]
    if target.shape[1] == 2:
        pictures.append(_pictures.save_scatter(out / "particles.png", result.particles, target))
    return pictures


def can_draw() -> bool:
    """Whether matplotlib is there; where it is not, say how to get pictures."""
    if find_spec("matplotlib") is not None:
        return True
    print("energyflow: no pictures without matplotlib: pip install -e '.[plot]'", file=sys.stderr)
    return False
