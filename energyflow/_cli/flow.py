"""`energyflow flow`: particles flow to a target."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

import energyflow as ef

from .._core.files import Array
from .._core.interrupts import deferred
from .app import FORMATS, Exponent, Quiet, Seed, Slicing, app, listed, load_points, load_weights
from .flow_files import (
    RESULT,
    check_out,
    draw_flow,
    initial_particles,
    write_flow,
    write_last_finite,
)

SAVE_EVERY = 300.0  # seconds


@app.command()
def flow(
    context: typer.Context,
    target: Annotated[str, typer.Option(help=f"Points to flow to, (M, d) or (M,): {FORMATS}.")],
    steps: Annotated[int, typer.Option(min=1, help="Number of the step to end at.")],
    out: Annotated[
        Path, typer.Option(help="Folder for flow.npz, particles.npy, history.csv and pictures.")
    ],
    source: Annotated[
        str | None, typer.Option(help="Points to start from, (N, d).", show_default="--init")
    ] = None,
    init: Annotated[
        Literal["normal", "uniform"] | None,
        typer.Option(
            help="Start from the standard normal, or uniformly on [0, 1]^d.", show_default="normal"
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option("--number", "-n", min=1, help="Particles for --init.", show_default="M"),
    ] = None,
    target_weights: Annotated[
        str | None, typer.Option(help="Weights of the target, (M,).", show_default="uniform")
    ] = None,
    exponent: Exponent = 1.0,
    projections: Annotated[int, typer.Option(min=1, help="Slices a step, fresh each step.")] = 128,
    slicing: Slicing = "auto",
    step_size: Annotated[
        float | None,
        typer.Option(
            help="Step size tau, in units of the data to the power 2 - r.",
            show_default="root mean squared distance of the target to its mean, to that power",
        ),
    ] = None,
    momentum: Annotated[float, typer.Option(help="Momentum m, 0 <= m < 1.")] = 0.0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Points of the target a step, drawn anew each step.", show_default="all"
        ),
    ] = None,
    seed: Seed = 0,
    record_every: Annotated[
        int, typer.Option(min=1, help="Steps between records of the distance.")
    ] = 10,
    save_every: Annotated[
        float, typer.Option(min=0, help="Seconds between saves, which --resume continues.")
    ] = SAVE_EVERY,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the result in --out, with its directions. Give the same --target, "
            "--step-size and --momentum: they are not compared.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the result in --out by a new one.")
    ] = False,
    shard: Annotated[
        Literal["slices", "particles"],
        typer.Option(help="What the processes of torchrun share."),
    ] = "slices",
    quiet: Quiet = False,
) -> None:
    """Move particles along the gradient flow of the energy distance to a target.

    An interrupt (Ctrl-C) ends the flow at the next record and keeps the result; --resume continues
    from there. Under torchrun several processes share the work.
    """
    if resume and force:
        raise typer.BadParameter("--resume continues, --force starts anew; give one of them")
    if source is not None and (init is not None or number is not None):
        raise typer.BadParameter("--source gives the particles; --init and -n make new ones")
    if resume and not (source is None and init is None and number is None):
        raise typer.BadParameter("--resume continues --out; --source, --init and -n start anew")
    seed_source = context.get_parameter_source("seed")
    if resume and seed_source is not None and seed_source.name != "DEFAULT":
        raise typer.BadParameter("--resume takes the seed of the result; leave --seed out")
    context.with_resource(ef.distributed.sharded(shard))
    own = ef.distributed.shard
    check_out(out, resume=resume, force=force)
    goal, weights = load_points(target), load_weights(target_weights)
    planned = ef.ParticleFlow(
        own(goal),
        target_weights=None if weights is None else own(weights),
        exponent=exponent,
        n_projections=projections,
        slicing=slicing,
        step_size="auto" if step_size is None else step_size,
        momentum=momentum,
        batch_size=batch_size,
        rng=seed,
    )
    start: Array | ef.FlowResult
    if resume:
        start = own(ef.FlowResult.load(out / RESULT))
    elif source is not None:
        start = own(load_points(source))
    else:
        rows = own(np.arange(number or len(goal)))
        drawn = initial_particles(init or "normal", goal.shape[1], seed, rows)
        start = drawn.astype(goal.dtype)
    try:
        result, interrupted = run_to(
            planned, start, steps, record_every=record_every, progress=not quiet, out=out,
            save_every=save_every,
        )  # fmt: skip
    except ef.FlowDiverged as error:
        raise ValueError(
            f"particles are not finite after step {error.step}; those before it are in "
            f"{write_last_finite(out, error)}. A smaller --step-size or --momentum may help"
        ) from error
    whole = ef.distributed.gather(result)
    if whole is not None:
        files = write_flow(out, whole) + draw_flow(out, whole, goal)
        end, energy = whole.state["step"], float(whole.history_distance[-1])
        print(f"step {end}, E = {energy:.6g}; {listed(files)}")
    if interrupted:
        raise typer.Exit(130)


def run_to(
    flow: ef.ParticleFlow,
    start: Array | ef.FlowResult,
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
                start,
                last_step - done,
                record_every=record_every,
                callback=lambda step, particles, distance: interrupted.is_set(),
                progress=progress,
                out=None if out is None else out / RESULT,
                save_every=save_every,
            )
        except OSError as error:
            error.__notes__ = []  # they speak of `.result`, which programs find in the error
            raise
    return result, bool(result.state["step"] < last_step)
