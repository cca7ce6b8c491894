"""`energyflow test`: do samples come from one distribution?"""

import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from energyflow_backends import to_host

import energyflow as ef

from .._core.files import csv_text, follow_link, write_text
from .app import app, can_draw, check_suffix, listed, load_points
from .options import Count, Json, Quiet, Seed, Slicing, command


@command(app, "test")
def compare(
    samples: Annotated[list[str], typer.Argument(metavar="A B [C ...]")],
    resamples: Count = 999,
    exponent: float = 1.0,
    method: Literal["auto", "exact", "sliced"] = "auto",
    projections: Count = 128,
    slicing: Slicing = "auto",
    seed: Seed = 0,
    null: Path | None = None,
    scores: Path | None = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test whether samples come from one distribution, by permutations of their energy distance.

    The p-value is the share of relabellings with a distance at least as large.

    Parameters
    ----------
    samples
        Two or more samples, (n, d): .npy, .npz (file.npz:key where it holds several arrays) or
        .csv (a header may lead).
    resamples
        Random relabellings.
    exponent
        Exponent r of the distance |x - y|^r, 0 < r < 2.
    method
        All pairs of points, or slices; auto slices above 5000 points.
    projections
        Number of slices.
    null
        A .png file for the null distribution's picture.
    scores
        A .csv file for each point's share in the difference (sample, point, score), or a .png file
        to draw it for points in the plane.
    """
    check_suffix(null, ".png")
    check_suffix(scores, ".csv", ".png")
    clouds = [load_points(spec) for spec in samples]
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
    files: list[Path] = []
    if null is not None and can_draw():
        files.append(result.save_null(null))
    if scores is not None and scores.suffix.lower() == ".csv":
        files.append(_write_scores(scores, result))
    elif scores is not None and can_draw():
        files.append(result.save_scores(scores))
    if files and not as_json:
        print(listed(files))


def _write_scores(path: Path, result: ef.EnergyTestResult) -> Path:
    rows = (
        (number, point, f"{score:.9g}")
        for number, part in enumerate(result.scores())
        for point, score in enumerate(to_host(part))
    )
    write_text(follow_link(path), csv_text(("sample", "point", "score"), rows))
    return path
