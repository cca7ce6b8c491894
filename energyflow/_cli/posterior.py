"""`energyflow train posterior` and `energyflow posterior`: inverse problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from .._core.files import atomic_write, follow_link, load_array
from .flow import can_draw
from .main import Seed, app
from .train import Device, telling, train


@train.command("posterior")
def train_posterior(
    problem: Annotated[Path, typer.Option(help="A .toml file with the tables operator and noise.")],
    data: Annotated[str, typer.Option(help="Images or vectors, as for `energyflow train flow`.")],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    budget: Annotated[
        str | None, typer.Option(help="At most so long: 90s, 10m, 1.5h or '5000 steps'.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, if there is one.")
    ] = False,
    seed: Seed = 0,
    blocks: Annotated[
        int | None, typer.Option(min=1, help="Networks in the chain.", show_default="16")
    ] = None,
    particles: Annotated[
        int | None, typer.Option("--particles", "-n", min=2, show_default="5000")
    ] = None,
    projections: Annotated[
        int | None, typer.Option(min=1, help="Slices a step.", show_default="64")
    ] = None,
    network_steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps a network.", show_default="1000")
    ] = None,
    condition_weight: Annotated[
        float | None,
        typer.Option(help="Factor of the conditions in the flow.", show_default="from the data"),
    ] = None,
    guess: Annotated[
        Literal["lift", "regression"],
        typer.Option(
            help="Learn the difference to the lifted observation, or to a linear regression "
            "(small images)."
        ),
    ] = "lift",
    components: Annotated[
        float | None,
        typer.Option(
            help="Learn the principal components with this share of the variance, such as 0.99.",
            show_default="all numbers",
        ),
    ] = None,
    start: Annotated[
        Literal["uniform", "normal"],
        typer.Option(help="Noise that samples start from: normal has the moments of the data."),
    ] = "uniform",
    device: Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Learn to sample posteriors, from images and how they are observed.

    An interrupt (Ctrl-C) keeps what is trained; --resume goes on.
    """
    from .. import datasets, inverse, models

    found = inverse.Problem.from_toml(problem)
    dataset = datasets.load(data)
    asked = {
        "n_blocks": blocks, "n_particles": particles, "n_projections": projections,
        "network_steps": network_steps, "condition_weight": condition_weight,
        "start": start,
    }  # fmt: skip
    settings: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    model = models.FlowGenerator(device=device, seed=seed, **settings)
    sampler = inverse.PosteriorFlow(found, model, guess=guess, components=components)
    with telling(out):
        sampler.fit(
            dataset.train, held_out=dataset.test, rng=seed, out=out, resume=resume, budget=budget,
            name=data, progress=not quiet,
        )  # fmt: skip
    print(f"{model.n_trained} blocks trained; the model is in {out}")


@app.command()
def posterior(
    run: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER", help="Folder of `energyflow train posterior`.")
    ],
    observation: Annotated[str, typer.Option(help="A .npy, .npz or .csv file of one observation.")],
    out: Annotated[
        Path, typer.Option(help="A .npz file: samples, mean, std, low, high, residuals.")
    ],
    number: Annotated[int, typer.Option("--number", "-n", min=2, help="Samples.")] = 100,
    level: Annotated[float, typer.Option(help="Of the credible intervals from low to high.")] = 0.9,
    problem: Annotated[
        Path | None, typer.Option(help="A .toml file.", show_default="the run's")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="A .png file: observation, samples, mean and spread.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Draw samples of the posterior, given an observation."""
    from .. import inverse

    for path, suffix in ((out, ".npz"), (picture, ".png")):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"{path}: expected a {suffix} file")
    given = None if problem is None else inverse.Problem.from_toml(problem)
    sampler = inverse.PosteriorFlow.load(run, given, device=device)
    seen = load_array(observation)
    if observation.lower().endswith(".csv") and 1 in seen.shape:
        seen = seen.ravel()  # a vector, as a line or a column
    found = sampler.sample(seen, number, seed)
    low, high = found.interval(level)
    residuals = found.residuals()
    with atomic_write(follow_link(out)) as handle:
        np.savez(
            handle, samples=found.samples, mean=found.mean, std=found.std, low=low, high=high,
            residuals=residuals,
        )  # fmt: skip
    written = [out]
    if picture is not None and can_draw():
        written.append(found.save_picture(picture))
    print(f"residuals in units of the noise: {residuals.mean():.3g} (1 is consistent)")
    print(f"{number} samples; written: {', '.join(map(str, written))}")
