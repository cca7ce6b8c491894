"""`energyflow evaluate`: how good the samples of a trained model are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._core.files import read_json
from .app import app, can_draw, listed, print_table
from .options import RunFolder, Seed, command

if TYPE_CHECKING:
    from ..datasets import Dataset

SETTINGS = "settings.json"


@command(app)
def evaluate(
    run: RunFolder,
    data: str | None = None,
    number: Annotated[int | None, typer.Option("--number", "-n", min=2)] = None,
    out: Path | None = None,
    seed: Seed = 0,
) -> None:
    """Compare samples of a trained model with data that it has not seen.

    Every number stands beside its value for real data.

    Parameters
    ----------
    data
        A name or a path, as in training; those of the training when not given.
    number
        Samples; as many as training data when not given.
    out
        File for the table: .json, .csv or .md; RUN_FOLDER/report.json when not given. A picture of
        samples and their nearest training data goes beside it.
    """
    from .. import metrics, models
    from ..metrics._picture import save_neighbours
    from ..metrics._report import table_writer

    target = run / "report.json" if out is None else out
    table_writer(target)
    if not target.parent.is_dir():
        raise ValueError(f"--out {target}: there is no folder {target.parent}")
    if not (run / SETTINGS).is_file():
        raise FileNotFoundError(f"{run}: expected the folder of a trained model, with {SETTINGS}")
    settings = read_json(run / SETTINGS)
    dataset = _load_data(data, settings, run / SETTINGS)
    generator = models.load(run)
    conditions = _conditions(settings, run / SETTINGS)
    report = metrics.evaluate(generator, dataset, **conditions, n=number, rng=seed)

    title = f"{report.n_samples} samples, {report.dataset}"
    print_table(title, metrics.COLUMNS, (row.cells() for row in report.rows), numbers=(1, 2))
    files = [report.save(target)]
    if can_draw():
        picture = target.with_name(f"{target.stem}-neighbours.png")
        files.append(save_neighbours(picture, report, dataset))
    print(listed(files))


def _load_data(given: str | None, settings: dict[str, Any], path: Path) -> "Dataset":
    """The data named on the command line, or those of the training: a source, or arguments."""
    from ..datasets import load

    data = settings.get("data") if given is None else given
    if isinstance(data, str):
        return load(data)
    if isinstance(data, dict):
        return load(**data)
    raise ValueError(f"{path} names no data that can be loaded: give --data")


def _conditions(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """Which conditions of the data samples are given; none for a model without conditions."""
    condition = settings.get("condition")
    if condition is None:
        return {}
    kind = condition.get("kind") if isinstance(condition, dict) else None
    if kind == "labels":
        return {"labels": "data"}
    if kind == "vectors":
        return {"condition": "data"}
    if kind == "several" and set(condition["parts"]) == {"labels", "condition"}:
        return {"labels": "data", "condition": "data"}
    raise ValueError(
        f"{path}: expected a model without conditions, of labels, of vectors or of both, "
        f"got {condition}"
    )
