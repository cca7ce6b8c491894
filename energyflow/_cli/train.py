"""`energyflow train`: models from data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .._flows.flow_state import FlowDiverged
from ..distributed import sharded
from .app import app
from .conditions import Kind, of_data
from .flow_files import write_last_finite
from .options import Device, OptionalCount, Quiet, Seed, command
from .settings import SettingsCommand, build_model

train = typer.Typer(pretty_exceptions_enable=False)
app.add_typer(train, name="train")

Out = Annotated[Path, typer.Option(help="The run's folder: log, checkpoints, samples, model.")]
Budget = Annotated[
    str | None,
    typer.Option(help="Plan a model for so long: 90s, 10m, 1.5h or '5000 steps', all calls."),
]
StopAfter = Annotated[
    str | None,
    typer.Option(help="Cut this call after so long, for --resume: 10m or '5000 steps'."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in --out, if there is one.")]

COMMANDS = {
    "flow": "Learn, block by block, how particles flow from noise to the data.",
    "flow-matching": "Learn the velocity of straight paths from noise to the data.",
    "dmmd": "Learn features of noise levels, whose MMD carries particles from noise to the data.",
}
SETTINGS_HELP = """An interrupt (Ctrl-C, SIGTERM) keeps what is trained; --resume resumes the run.

Settings that are not given are those of the preset: toy for vectors, for all other data
default, whose settings are the defaults shown.
"""


@train.callback()
def share_slices(context: typer.Context) -> None:
    """Train a model on data. Under torchrun several processes share the work."""
    context.with_resource(sharded("slices"))


def train_model(
    context: typer.Context,
    data: str,
    out: Out,
    condition: Kind | None = None,
    budget: Budget = None,
    stop_after: StopAfter = None,
    resume: Resume = False,
    seed: Seed = 0,
    patience: OptionalCount = None,
    size: OptionalCount = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Train the model of the command's name.

    Parameters
    ----------
    data
        digits, moons, eight-gaussians, checkerboard, rings; a folder of IDX files (MNIST), of
        CIFAR-10's binary files or of images; a .npy or .npz file.
    condition
        Learn to sample each class, given the continuous `condition` of a .npz file, or both.
    patience
        Early stopping: stop when the distance to the held-out share of the training data
        (--validation) has not fallen for so many stages, and keep the best.
    size
        Crop images of a folder to their middle square, and resize them to so many pixels.
    """
    from .. import datasets

    dataset = datasets.load(data, size=size)
    suited = "toy" if dataset.train.ndim == 2 else "default"
    model = build_model(context, suited, device, seed)
    points, given = dataset.train, None
    if condition is not None:
        given = of_data(dataset, condition, data)
    with naming_what_is_kept(out):
        model.fit(
            points, given, out=out, resume=resume, budget=budget, stop_after=stop_after,
            patience=patience, name=data, progress=not quiet,
        )  # fmt: skip
    unit = "blocks" if context.command.name == "flow" else "rounds"
    print(f"{model.n_trained} {unit} trained; the model is in {out}\n{model.report}")


for _name, _help in COMMANDS.items():
    command(train, _name, cls=SettingsCommand, help=_help, epilog=SETTINGS_HELP)(train_model)


@contextmanager
def naming_what_is_kept(out: Path) -> Iterator[None]:
    """Errors and interrupts of training say what is kept; a diverged flow keeps its particles."""
    from ..models import TrainingDiverged

    try:
        yield
    except (FlowDiverged, TrainingDiverged) as error:
        if isinstance(error, FlowDiverged):
            error.add_note(f"They are kept in {write_last_finite(out, error)}.")
        error.add_note(f"What was finished before is in {out}.")
        raise
    except KeyboardInterrupt:
        print(f"energyflow: --resume resumes the run in {out}", file=sys.stderr)
        raise
