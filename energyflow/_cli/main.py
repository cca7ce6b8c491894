"""The four commands: what they take, what `--help` says, and what they print."""

import json
import math
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import energyflow as ef

from .._core.files import Array, load_array
from .demo import run_demo
from .flow import (
    RESULT,
    SAVE_EVERY,
    check_out,
    draw_flow,
    initial_particles,
    run_to,
    write_flow,
    write_last_finite,
)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
)

SHARED = ("flow", "train")  # what several processes can do together

FORMATS = ".npy, .npz (file.npz:key where it holds several arrays) or .csv (a header may lead)"

Exponent = Annotated[float, typer.Option(help="Exponent r of the distance |x - y|^r, 0 < r < 2.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Slicing = Literal["auto", "iid", "orthogonal", "sobol", "equispaced", "distance", "hadamard"]


@app.callback()
def processes(context: typer.Context) -> None:
    """Energy distances between samples, and particle flows along their gradients."""
    command = context.invoked_subcommand
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and command not in SHARED:
        raise ValueError(f"{command} runs in one process: start it without torchrun")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures, curve and particles.")] = Path(
        "demo"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Steps of the flow.")] = 2000,
    particles: Annotated[int, typer.Option("--particles", "-n", min=2, help="How many.")] = 1000,
    init: Annotated[
        Literal["uniform", "normal"],
        typer.Option(help="Where they start: uniform on [0, 1]^64, or normal."),
    ] = "uniform",
    seed: Seed = 0,
) -> None:
    """Let particles flow from noise to handwritten digits (8 x 8 pixels, values 0 to 1)."""
    outcome = run_demo(out, n_steps=steps, n_particles=particles, init=init, seed=seed)
    table = Table("energy distance to held-out digits", "E", title="Handwritten digits")
    table.columns[1].justify = "right"
    table.add_row("noise, before the flow", f"{outcome.before:.6f}")
    table.add_row(f"particles, after {outcome.n_steps} steps", f"{outcome.after:.6f}")
    table.add_row("other real digits (what perfect looks like)", f"{outcome.between_halves:.6f}")
    console = Console()
    console.print(table)
    console.print(f"{outcome.seconds:.1f} s for the flow; written: ", end="")
    console.print(", ".join(map(str, outcome.files)), soft_wrap=True, highlight=False)


@app.command()
def distance(
    x: Annotated[str, typer.Argument(metavar="X", help=f"Points, (N, d) or (N,): {FORMATS}.")],
    y: Annotated[str, typer.Argument(metavar="Y", help="Points, (M, d) or (M,).")],
    exponent: Exponent = 1.0,
    estimator: Annotated[
        Literal["V", "U"],
        typer.Option(help="V is never negative; U is unbiased."),
    ] = "V",
    projections: Annotated[
        int | None,
        typer.Option(min=1, help="Number of slices, each one direction.", show_default="128"),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="All N x M distances in place of slices.")
    ] = False,
    slicing: Annotated[Slicing, typer.Option(help="How directions are drawn.")] = "auto",
    seed: Seed = 0,
    weights_x: Annotated[
        str | None,
        typer.Option(help="Weights a of X, (N,), summing to 1.", show_default="uniform"),
    ] = None,
    weights_y: Annotated[
        str | None,
        typer.Option(help="Weights b of Y, (M,), summing to 1.", show_default="uniform"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the energy distance E between two samples, with E/2 and sqrt(E).

    E has the unit of the data to the power of the exponent.
    """
    if exact and projections is not None:
        raise typer.BadParameter("--exact uses no slices; give it or --projections, not both")
    points_x, points_y = _load_points(x), _load_points(y)
    a = None if weights_x is None else _load_weights(weights_x)
    b = None if weights_y is None else _load_weights(weights_y)
    if exact:
        value = ef.energy_distance(points_x, points_y, a, b, exponent=exponent, estimator=estimator)
        how = "exact"
    else:
        projections = 128 if projections is None else projections
        value = ef.sliced_energy_distance(
            points_x,
            points_y,
            a,
            b,
            projections,
            exponent=exponent,
            slicing=slicing,
            estimator=estimator,
            rng=seed,
        )
        how = "exact in one dimension" if points_x.shape[1] == 1 else f"{projections} slices"
    energy = float(value)
    root = math.sqrt(energy) if energy >= 0 else None
    if as_json:
        report = {
            "energy_distance": energy,
            "half": energy / 2,
            "sqrt": root,
            "exponent": exponent,
            "estimator": estimator,
            "projections": projections,
            "seed": None if exact else seed,
            "n_x": len(points_x),
            "n_y": len(points_y),
            "dimension": points_x.shape[1],
        }
        print(json.dumps(report))
        return
    print(f"E        {energy:<16.10g}  exponent {exponent:g}, {estimator} estimator, {how}")
    print(f"E / 2    {energy / 2:<16.10g}  MMD^2 of the kernel -|x - y|^{exponent:g}")
    print(f"sqrt(E)  {'undefined' if root is None else format(root, '.10g')}")


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
    slicing: Annotated[Slicing, typer.Option(help="How directions are drawn.")] = "auto",
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
        float,
        typer.Option(min=0, help="Seconds between saves on the way; --resume goes on from them."),
    ] = SAVE_EVERY,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the result in --out, with its directions. Give the same --target, "
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
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Move particles along the gradient flow of the energy distance to a target.

    An interrupt (Ctrl-C) ends the flow at the next record and keeps the result; --resume goes on
    from there. Under torchrun several processes share the work.
    """
    if resume and force:
        raise typer.BadParameter("--resume goes on, --force starts anew; give one of them")
    if source is not None and (init is not None or number is not None):
        raise typer.BadParameter("--source gives the particles; --init and -n make new ones")
    if resume and not (source is None and init is None and number is None):
        raise typer.BadParameter("--resume goes on from --out; --source, --init and -n start anew")
    given = context.get_parameter_source("seed")
    if resume and given is not None and given.name != "DEFAULT":
        raise typer.BadParameter("--resume goes on with the seed of the result; leave --seed out")
    context.with_resource(ef.distributed.sharded(shard))
    own = ef.distributed.shard
    check_out(out, resume=resume, force=force)
    goal = _load_points(target)
    planned = ef.ParticleFlow(
        own(goal),
        target_weights=None if target_weights is None else own(_load_weights(target_weights)),
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
        start = own(_load_points(source))
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
        kept = write_last_finite(out, error)
        raise ValueError(
            f"particles are not finite after step {error.step}; those before it are in {kept}. "
            "A smaller --step-size or --momentum may help"
        ) from error
    whole = ef.distributed.gather(result)
    if whole is not None:
        files = write_flow(out, whole) + draw_flow(out, whole, goal)
        end, energy = whole.state["step"], float(whole.history_distance[-1])
        print(f"step {end}, E = {energy:.6g}; written: {', '.join(map(str, files))}")
    if interrupted:
        raise typer.Exit(130)


@app.command()
def info() -> None:
    """Print versions, backends and the machine."""
    packages = (
        "energyflow-mmd numpy scipy array-api-compat numba torch triton jax cupy-cuda13x dask"
    )
    table = Table("package", "version", title="Versions")
    table.add_row("python", platform.python_version())
    for name in (*packages.split(), "dask", "typer", "rich", "matplotlib", "scikit-learn"):
        table.add_row(name, _version(name))
    console = Console()
    console.print(table)
    print(ef.show_backends())
    print(f"{platform.platform()}, {platform.machine()}, {_usable_cpus()} usable CPUs")


def _load_points(spec: str) -> Array:
    points = load_array(spec)
    if points.ndim == 1:
        return points[:, None]
    if points.ndim != 2:
        raise ValueError(f"{spec}: expected points of shape (N, d) or (N,), got {points.shape}")
    return points


def _load_weights(spec: str) -> Array:
    weights = load_array(spec)
    if weights.size != max(weights.shape, default=1):
        raise ValueError(f"{spec}: expected weights of shape (N,), got {weights.shape}")
    return np.ravel(weights)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _usable_cpus() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
