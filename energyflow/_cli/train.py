"""`energyflow train` and `energyflow sample`: models from data, and samples from models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from .._core.files import Array, atomic_write, follow_link
from .._flows.descent import FlowDiverged
from ..distributed import sharded
from .conditions import Asked, Kind, Learned, as_arrays, asked, of_data, taken
from .flow import can_draw, write_last_finite
from .main import Seed, app

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..models import Model

train = typer.Typer(pretty_exceptions_enable=False)
app.add_typer(train, name="train")

Data = Annotated[
    str,
    typer.Option(
        help="digits, moons, eight-gaussians, checkerboard, rings; a folder of IDX files "
        "(MNIST), of CIFAR-10's binary files or of images; a .npy or .npz file."
    ),
]
Out = Annotated[Path, typer.Option(help="The run's folder: log, checkpoints, samples, model.")]
BudgetText = Annotated[
    str | None,
    typer.Option(help="At most so long: 90s, 10m, 1.5h or '5000 steps', earlier calls too."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out, if there is one.")
]
Patience = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Stop when the distance to a held-out tenth of the training data has not fallen "
        "for so many stages, and keep the best.",
    ),
]
Device = Annotated[
    str | None, typer.Option(help="Where to compute: cpu, cuda, ...", show_default="cuda, or cpu")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


@train.callback()
def processes(context: typer.Context) -> None:
    """Train a model on data. Under torchrun several processes share the work."""
    context.with_resource(sharded("slices"))


@train.command()
def flow(
    data: Data,
    out: Out,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings: digits, toy, mnist, fashion-mnist, cifar10, celeba.",
            show_default="those of the data's name, toy for other vectors",
        ),
    ] = None,
    condition: Learned = None,
    budget: BudgetText = None,
    resume: Resume = False,
    seed: Seed = 0,
    blocks: Annotated[
        int | None, typer.Option(min=1, help="Networks in the chain.", show_default="the preset's")
    ] = None,
    particles: Annotated[
        int | None, typer.Option("--particles", "-n", min=2, show_default="the preset's")
    ] = None,
    projections: Annotated[
        int | None, typer.Option(min=1, help="Slices a step.", show_default="the preset's")
    ] = None,
    network_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps a network.", show_default="the preset's"),
    ] = None,
    patience: Patience = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Learn, block by block, how particles flow from noise to the data.

    An interrupt (Ctrl-C) keeps what is trained; --resume goes on.
    """
    settings = {
        "n_blocks": blocks, "n_particles": particles, "n_projections": projections,
        "network_steps": network_steps,
    }  # fmt: skip
    model = train_model(
        "flow", data, out, preset, settings, seed=seed, device=device, condition=condition,
        budget=budget, resume=resume, patience=patience, quiet=quiet,
    )  # fmt: skip
    print(f"{model.n_trained} blocks trained; the model is in {out}")


@train.command("flow-matching")
def flow_matching(
    data: Data,
    out: Out,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings: default, toy, cifar10.",
            show_default="toy for vectors, default for images",
        ),
    ] = None,
    condition: Learned = None,
    budget: BudgetText = None,
    resume: Resume = False,
    seed: Seed = 0,
    coupling: Annotated[
        Literal["none", "ot", "conditional-ot"] | None,
        typer.Option(help="How noise and data are paired.", show_default="the preset's"),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(help="Weight of conditions in pairs.", show_default="the preset's"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps.", show_default="the preset's")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Pairs a step.", show_default="the preset's")
    ] = None,
    patience: Patience = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Learn the velocity of straight paths from noise to the data.

    An interrupt (Ctrl-C) keeps what is trained; --resume goes on.
    """
    settings = {"coupling": coupling, "beta": beta, "n_steps": steps, "batch_size": batch}
    model = train_model(
        "flow-matching", data, out, preset, settings, seed=seed, device=device,
        condition=condition, budget=budget, resume=resume, patience=patience, quiet=quiet,
    )  # fmt: skip
    print(f"{model.n_trained} rounds trained; the model is in {out}")


@train.command()
def dmmd(
    data: Data,
    out: Out,
    preset: Annotated[
        str | None, typer.Option(help="Settings: default, paper.", show_default="default")
    ] = None,
    condition: Learned = None,
    budget: BudgetText = None,
    resume: Resume = False,
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps.", show_default="the preset's")
    ] = None,
    kernel: Annotated[
        Literal["energy", "linear", "rbf"] | None,
        typer.Option(help="On features.", show_default="the preset's"),
    ] = None,
    patience: Patience = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Learn features of noise levels, whose MMD carries particles from noise to the data.

    An interrupt (Ctrl-C) keeps what is trained; --resume goes on.
    """
    settings = {"n_steps": steps, "kernel": kernel}
    model = train_model(
        "dmmd", data, out, preset, settings, seed=seed, device=device, condition=condition,
        budget=budget, resume=resume, patience=patience, quiet=quiet,
    )  # fmt: skip
    print(f"{model.n_trained} rounds trained; the model is in {out}")


def train_model(
    kind: str,
    data: str,
    out: Path,
    preset: str | None,
    settings: dict[str, Any],
    *,
    seed: int,
    device: str | None,
    condition: Kind | None,
    patience: int | None,
    quiet: bool,
    **how: Any,
) -> Any:
    """Train a model on the data of that name; settings that are None are the preset's."""
    from .. import datasets, models

    dataset = datasets.load(data)
    maker = models.MODELS[kind]
    chosen = preset or _suited(maker, data, dataset)
    changes = {name: value for name, value in settings.items() if value is not None}
    model = maker(preset=chosen, device=device, seed=seed, **changes)
    if not maker.presets[chosen].tested:
        print(f"energyflow: preset {chosen}: {maker.presets[chosen].note}", file=sys.stderr)
    points = dataset.train
    given = None if condition is None else of_data(dataset, condition, data)
    held_out, held_given = None, None
    if patience is not None:
        rows = np.random.default_rng(seed).permutation(len(points))
        some, rest = np.split(rows, [max(len(rows) // 10, 2)])
        labels = dataset.train_labels
        if labels is not None and condition in ("labels", "both"):
            some = some[np.isin(labels[some], labels[rest])]  # a class of one point can be held out
        held_out, held_given = points[some], taken(given, some)
        points, given = points[rest], taken(given, rest)
    with telling(out):
        return model.fit(
            points, given, held_out, held_out_condition=held_given, out=out, patience=patience,
            name=data, progress=not quiet, **how,
        )  # fmt: skip


@contextmanager
def telling(out: Path) -> Iterator[None]:
    """Keep the last finite particles where training fails; tell what is kept and goes on."""
    from ..models import TrainingDiverged

    try:
        yield
    except (FlowDiverged, TrainingDiverged) as error:
        if isinstance(error, FlowDiverged):
            error.add_note(f"They are kept in {write_last_finite(out, error)}.")
        error.add_note(f"What was finished before is in {out}.")
        raise
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on with the run in {out}") from None


def _suited(maker: type[Model[Any]], data: str, dataset: Dataset) -> str:
    """The preset that suits the data."""
    images = data if data == "digits" else "default"
    name = "toy" if dataset.train.ndim == 2 else images
    return name if name in maker.presets else "default"


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="Folder of a trained model.")],
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many.")] = 100,
    condition: Asked = None,
    out: Annotated[
        Path | None, typer.Option(help="A .npz file for `samples`, and for what was asked for")
    ] = None,
    grid: Annotated[Path | None, typer.Option(help="A .png file for a picture of them.")] = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Draw new samples from a trained model."""
    from .. import models

    if out is None and grid is None:
        raise typer.BadParameter("give --out, --grid or both")
    for path, suffix in ((out, ".npz"), (grid, ".png")):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"{path}: expected a {suffix} file")
    model = models.load(run, device=device)
    given = asked(condition, models.RunFolder(run).settings().get("condition"))
    samples = np.asarray(model.sample(number, given, seed))
    written = []
    if out is not None:
        with atomic_write(follow_link(out)) as handle:
            np.savez(handle, allow_pickle=False, samples=samples, **as_arrays(given, number))
        written.append(out)
    if grid is not None and (drawn := _draw(grid, samples)) is not None:
        written.append(drawn)
    print(f"{number} samples; written: {', '.join(map(str, written))}")


def _draw(path: Path, samples: Array) -> Path | None:
    """Images as a grid, points in the plane as dots."""
    if samples.ndim == 4 and samples.shape[1] in (1, 3):
        from .. import models

        return models.save_grid(path, samples)
    if samples.ndim != 2 or samples.shape[1] != 2:
        raise ValueError(f"--grid: samples of shape {samples.shape[1:]} cannot be drawn")
    if not can_draw():
        return None
    from .._core.pictures import save_scatter

    return save_scatter(path, samples)
