"""`energyflow test`: do samples come from one distribution?"""

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

import energyflow as ef

from .._core.files import atomic_write, follow_link
from .flow import can_draw
from .main import FORMATS, Exponent, Seed, Slicing, _load_points, app


@app.command("test")
def compare(
    samples: Annotated[
        list[str],
        typer.Argument(metavar="A B [C ...]", help=f"Two or more samples, (n, d): {FORMATS}."),
    ],
    resamples: Annotated[int, typer.Option(min=1, help="Random relabellings.")] = 999,
    exponent: Exponent = 1.0,
    method: Annotated[
        Literal["auto", "exact", "sliced"],
        typer.Option(help="All pairs of points, or slices; auto slices above 5000 points."),
    ] = "auto",
    projections: Annotated[int, typer.Option(min=1, help="Number of slices.")] = 128,
    slicing: Annotated[Slicing, typer.Option(help="How directions are drawn.")] = "auto",
    seed: Seed = 0,
    null: Annotated[
        Path | None, typer.Option(help="A .png file for the null distribution's picture.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="A .csv file for each point's share in the difference (sample, point, score), or "
            "a .png file to draw it for points in the plane."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Test whether samples come from one distribution, by permutations of their energy distance.

    The p-value is the share of relabellings with a distance at least as large.
    """
    if null is not None and null.suffix.lower() != ".png":
        raise ValueError(f"--null {null}: expected a .png file")
    if scores is not None and scores.suffix.lower() not in (".csv", ".png"):
        raise ValueError(f"--scores {scores}: expected a .csv or .png file")
    clouds = [_load_points(spec) for spec in samples]
    result = ef.energy_test(
        *clouds, n_resamples=resamples, exponent=exponent, method=method,
        n_projections=projections, slicing=slicing, rng=seed, progress=not quiet,
    )  # fmt: skip
    if as_json:
        report = {
            "statistic": float(result.statistic),
            "scaled_statistic": float(result.scaled_statistic),
            "pvalue": result.pvalue,
            "n_resamples": resamples,
            "method": result.method,
            "n_projections": result.n_projections,
            "exponent": exponent,
            "seed": seed,
            "sizes": [len(cloud) for cloud in clouds],
            "pairwise": np.asarray(result.pairwise).tolist(),
        }
        print(json.dumps(report))
    else:
        how = "all pairs" if result.method == "exact" else f"{result.n_projections} slices"
        sizes = ", ".join(str(len(cloud)) for cloud in clouds)
        print(f"E        {float(result.statistic):<16.10g}  {how}, samples of {sizes} points")
        print(f"p-value  {result.pvalue:<16.6g}  {resamples} relabellings, seed {seed}")
    written: list[Path] = []
    if null is not None and can_draw():
        written.append(result.save_null(null))
    if scores is not None and scores.suffix.lower() == ".png" and can_draw():
        written.append(result.save_scores(scores))
    elif scores is not None and scores.suffix.lower() == ".csv":
        written.append(_write_scores(scores, result))
    if written and not as_json:
        print(f"written: {', '.join(map(str, written))}")


def _write_scores(path: Path, result: ef.EnergyTestResult) -> Path:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("sample", "point", "score"))
    for number, part in enumerate(result.scores()):
        table.writerows((number, point, f"{score:.9g}") for point, score in enumerate(part))
    with atomic_write(follow_link(path)) as handle:
        handle.write(text.getvalue().encode())
    return path
