"""`energyflow demo`: particles flow from noise to scikit-learn's bundled handwritten digits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from energyflow_backends import Array, HostArray, to_host

from .. import ParticleFlow, energy_distance
from .._core import pictures as _pictures
from .._core.extras import need
from .app import app, can_draw, listed, print_table
from .flow_files import RESULT, check_out, initial_particles, write_flow
from .options import Count, Seed, command

STEPS_SHOWN = (0, 10, 30, 100, 300, 1000, 3000, 10000, 30000)
IMAGES_AT_THE_END = 112


@command(app)
def demo(
    out: Path = Path("demo"),
    steps: Count = 2000,
    particles: Annotated[int, typer.Option("--particles", "-n", min=2)] = 1000,
    init: Literal["uniform", "normal"] = "uniform",
    seed: Seed = 0,
) -> None:
    """Let particles flow from noise to handwritten digits (8 x 8 pixels, values 0 to 1).

    Parameters
    ----------
    out
        Folder for pictures, curve and particles.
    steps
        Steps of the flow.
    particles
        How many.
    init
        Where they start: uniform on [0, 1]^64, or normal.
    """
    outcome = run_demo(out, n_steps=steps, n_particles=particles, init=init, seed=seed)
    rows = (
        ("noise, before the flow", outcome.before),
        (f"particles, after {outcome.n_steps} steps", outcome.after),
        ("other real digits (what perfect looks like)", outcome.between_halves),
    )
    header = "energy distance to held-out digits", "E"
    print_table("Handwritten digits", header, ((name, f"{e:.6f}") for name, e in rows), (1,))
    print(f"{outcome.seconds:.1f} s for the flow; {listed(outcome.files)}")


@dataclass(frozen=True)
class DemoOutcome:
    """Exact energy distances (V) to held-out digits, the seconds of the flow, and its files."""

    before: float
    after: float
    between_halves: float
    n_steps: int
    seconds: float
    files: list[Path]


def run_demo(
    out: Path,
    *,
    n_steps: int = 2000,
    n_particles: int = 1000,
    init: str = "uniform",
    seed: int = 0,
    progress: bool = True,
) -> DemoOutcome:
    """Flow `n_particles` of noise to one half of the digits; compare them with the other half.

    Writes the flow's files, a curve and a picture of the particles to the folder `out`.
    """
    check_out(out, resume=False, force=True)
    target, held_out = _halves_of_the_digits(seed)
    rows = np.arange(n_particles)
    start = initial_particles(init, target.shape[1], seed, rows).astype(target.dtype)
    flow = ParticleFlow(target, rng=seed)
    shown: list[tuple[int, HostArray]] = []

    def keep(step: int, particles: Array, distance: float) -> bool:
        if step in STEPS_SHOWN or step == n_steps:
            shown.append((step, _as_images(to_host(particles).copy())))
        return False

    result = flow.run(
        start, n_steps, record_every=10, callback=keep, progress=progress, out=out / RESULT
    )
    between_halves = float(energy_distance(target, held_out))
    files = write_flow(out, result)
    if can_draw():
        level = (between_halves, "two halves of the real digits")
        files.append(_pictures.save_history(out / "history.png", result, level))
        final = _as_images(to_host(result.particles)[:IMAGES_AT_THE_END])
        files.append(_pictures.save_images(out / "digits.png", shown, final))
    return DemoOutcome(
        before=float(energy_distance(start, held_out)),
        after=float(energy_distance(result.particles, held_out)),
        between_halves=between_halves,
        n_steps=n_steps,
        seconds=float(result.history_seconds[-1]),
        files=files,
    )


def _halves_of_the_digits(seed: int) -> tuple[HostArray, HostArray]:
    """1797 digits of 8 x 8 pixels, shuffled and scaled to [0, 1]: (899, 64) and (898, 64)."""
    need("sklearn", "the demo", "cli")
    from sklearn.datasets import load_digits

    pixels = (load_digits().data / 16).astype(np.float32)
    target, held_out = np.array_split(np.random.default_rng(seed).permutation(pixels), 2)
    return target, held_out


def _as_images(particles: HostArray) -> HostArray:
    return particles.reshape(-1, 8, 8)
