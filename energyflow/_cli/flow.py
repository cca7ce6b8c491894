"""`energyflow flow`: particles flow to a target."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from energyflow_backends import HostArray

import energyflow as ef

from .._core.interrupts import deferred
from . import flow_files as files
from .app import app, listed, load_points, load_weights
from .options import Count, OptionalCount, Quiet, Seed, Slicing, command, is_given

SAVE_EVERY = 300.0  # seconds


@command(app)
def flow(
    context: typer.Context,
    target: str,
    steps: Count,
    out: Path,
    source: str | None = None,
    init: Literal["normal", "uniform"] | None = None,
    number: Annotated[int | None, typer.Option("--number", "-n", min=1)] = None,
    target_weights: str | None = None,
    exponent: float = 1.0,
    projections: OptionalCount = None,
    slicing: Slicing = "auto",
    step_size: float | None = None,
    momentum: float | None = None,
    batch_size: OptionalCount = None,
    seed: Seed = 0,
    record_every: Count = 10,
    save_every: Annotated[float, typer.Option(min=0)] = SAVE_EVERY,
    resume: Annotated[bool, typer.Option("--resume")] = False,
    force: Annotated[bool, typer.Option("--force")] = False,
    shard: Literal["slices", "particles"] = "slices",
    quiet: Quiet = False,
) -> None:
    """Move particles along the gradient flow of the energy distance to a target.

    An interrupt (Ctrl-C) ends the flow at the next record and keeps the result; --resume continues
    from there. Under torchrun several processes share the work.

    Parameters
    ----------
    target
        Points to flow to, (M, d) or (M,): .npy, .npz (file.npz:key where it holds several arrays)
        or .csv (a header may lead).
    steps
        Number of the step to end at.
    out
        Folder for flow.npz, particles.npy, history.csv and pictures.
    source
        Points to start from, (N, d); those of --init when not given.
    init
        Start from the standard normal, or uniformly on [0, 1]^d; normal when not given.
    number
        Particles for --init; M when not given.
    target_weights
        Weights of the target, (M,); uniform when not given.
    exponent
        Exponent r of the distance |x - y|^r, 0 < r < 2.
    projections
        Slices a step, fresh each step; when not given, 128 up to 128 dimensions and one or two
        orthonormal frames beyond.
    step_size
        Step size tau, in units of the data to the power 2 - r; when not given, chosen from the
        curvature of the distance at the target, the noise of the slices and the momentum.
    momentum
        Momentum m, 0 <= m < 1; when not given, 0.7, and 0 with a given step size.
    batch_size
        Points of the target a step, drawn again each step; all when not given.
    record_every
        Steps between records of the distance.
    save_every
        Seconds between saves on the way, which --resume continues.
    resume
        Resume the result in --out, with its directions. Give the same --target, --step-size and
        --momentum: they are not compared.
    force
        Replace the result in --out by a new one.
    shard
        What the processes of torchrun share.
    """
    if resume and force:
        raise typer.BadParameter("--resume continues, --force starts a new flow; give one of them")
    if source is not None and (init is not None or number is not None):
        raise typer.BadParameter("--source gives the particles; --init and -n make new ones")
    if resume and not (source is None and init is None and number is None):
        raise typer.BadParameter(
            "--resume continues --out; --source, --init and -n start a new flow"
        )
    if resume and is_given(context, "seed"):
        raise typer.BadParameter("--resume takes the seed of the result; leave --seed out")
    context.with_resource(ef.distributed.sharded(shard))
    own = ef.distributed.shard
    files.check_out(out, resume=resume, force=force)
    goal, weights = load_points(target), load_weights(target_weights)
    planned = ef.ParticleFlow(
        own(goal), target_weights=None if weights is None else own(weights), exponent=exponent,
        n_projections="auto" if projections is None else projections, slicing=slicing,
        step_size="auto" if step_size is None else step_size,
        momentum="auto" if momentum is None else momentum, batch_size=batch_size, rng=seed,
    )  # fmt: skip
    start: HostArray | ef.FlowResult
    if resume:
        start = own(ef.FlowResult.load(out / files.RESULT))
    elif source is not None:
        start = own(load_points(source))
    else:
        rows = own(np.arange(number or len(goal)))
        drawn = files.initial_particles(init or "normal", goal.shape[1], seed, rows)
        start = drawn.astype(goal.dtype)
    try:
        result, interrupted = run_to(
            planned, start, steps, record_every=record_every, progress=not quiet, out=out,
            save_every=save_every,
        )  # fmt: skip
    except ef.FlowDiverged as error:
        raise ValueError(
            f"particles are not finite after step {error.step}; those before it are in "
            f"{files.write_last_finite(out, error)}. A smaller --step-size or --momentum may help"
        ) from error
    whole = ef.distributed.gather(result)
    if whole is not None:
        written = files.write_flow(out, whole) + files.draw_flow(out, whole, goal)
        end, energy = whole.state["step"], float(whole.history_distance[-1])
        print(f"step {end}, E = {energy:.6g}; {listed(written)}")
    if interrupted:
        raise typer.Exit(130)


def run_to(
    flow: ef.ParticleFlow,
    start: HostArray | ef.FlowResult,
    last_step: int,
    *,
    record_every: int,
    progress: bool,
    out: Path | None = None,
    save_every: float = SAVE_EVERY,
) -> tuple[ef.FlowResult, bool]:
    """Run up to step number `last_step`; return the result and whether an interrupt ended it.

    Every `save_every` seconds, and at the end, the result is saved in the folder `out`. A flow that
    is at that step already gets its files, which a kill may have prevented.
    """
    done = int(start.state["step"]) if isinstance(start, ef.FlowResult) else 0
    if last_step < done:
        raise ValueError(f"--steps: the result is at step {done} already, got {last_step}")
    with deferred() as interrupted:
        try:
            result = flow.run(
                start, last_step - done, record_every=record_every, progress=progress,
                callback=lambda step, particles, distance: interrupted.is_set(),
                out=None if out is None else out / files.RESULT, save_every=save_every,
            )  # fmt: skip
        except OSError as error:
            error.__notes__ = []  # they speak of `.result`, which programs find in the error
            raise
    return result, bool(result.state["step"] < last_step)
