"""`energyflow train posterior` and `energyflow posterior`: inverse problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .._core.files import follow_link, load_array, write_arrays
from .app import app, can_draw, check_suffix, listed
from .options import Device, OptionalCount, Quiet, RunFolder, Seed, command
from .settings import SettingsCommand, build_model
from .train import SETTINGS_HELP, Budget, Out, Resume, StopAfter, naming_what_is_kept, train


@command(train, "posterior", cls=SettingsCommand, epilog=SETTINGS_HELP)
def train_posterior(
    context: typer.Context,
    problem: Path,
    data: str,
    out: Out,
    budget: Budget = None,
    stop_after: StopAfter = None,
    resume: Resume = False,
    seed: Seed = 0,
    guess: Literal["lift", "regression"] = "lift",
    components: float | None = None,
    size: OptionalCount = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Learn to sample posteriors with a FlowGenerator, from images and how they are observed.

    Parameters
    ----------
    problem
        A .toml file with the tables operator and noise.
    data
        Images or vectors, as for `energyflow train flow`.
    guess
        Learn the difference to the lifted observation, or to a linear regression (small images).
    components
        Learn the principal components (PCA) with this share of the variance, such as 0.99; all
        numbers when not given.
    size
        Crop images of a folder to their middle square, and resize them to so many pixels.
    """
    from .. import datasets, inverse

    observed = inverse.Problem.from_toml(problem)
    dataset = datasets.load(data, size=size)
    model = build_model(context, "default", device, seed)
    sampler = inverse.PosteriorFlow(observed, model, guess=guess, components=components)
    with naming_what_is_kept(out):
        sampler.fit(
            dataset.train, rng=seed, out=out, resume=resume, budget=budget,
            stop_after=stop_after, name=data, progress=not quiet,
        )  # fmt: skip
    print(f"{model.n_trained} blocks trained; the model is in {out}\n{model.report}")


@command(app)
def posterior(
    run: RunFolder,
    observation: str,
    out: Path,
    number: Annotated[int, typer.Option("--number", "-n", min=2)] = 100,
    level: float = 0.9,
    problem: Path | None = None,
    picture: Path | None = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Draw samples of the posterior, given an observation.

    Parameters
    ----------
    run
        Folder of `energyflow train posterior`.
    observation
        A .npy, .npz or .csv file of one observation.
    out
        A .npz file: samples, mean, std, low, high, residuals.
    number
        Samples.
    level
        Level of the credible intervals from low to high.
    problem
        A .toml file; that of the run when not given.
    picture
        A .png file: observation, samples, mean and standard deviation.
    """
    from .. import inverse

    check_suffix(out, ".npz")
    check_suffix(picture, ".png")
    given = None if problem is None else inverse.Problem.from_toml(problem)
    sampler = inverse.PosteriorFlow.load(run, given, device=device)
    observed = load_array(observation)
    if observation.lower().endswith(".csv") and 1 in observed.shape:
        observed = observed.ravel()  # a vector, as a line or a column
    result = sampler.sample(observed, number, seed)
    low, high = result.interval(level)
    residuals = result.residuals()
    arrays = {"samples": result.samples, "mean": result.mean, "std": result.std, "low": low,
              "high": high, "residuals": residuals}  # fmt: skip
    files = [out]
    write_arrays(follow_link(out), arrays)
    if picture is not None and can_draw():
        files.append(result.save_picture(picture))
    print(f"residuals in units of the noise: {residuals.mean():.3g} (1 is consistent)")
    print(f"{number} samples; {listed(files)}")
