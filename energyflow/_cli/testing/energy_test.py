"""`energyflow test`: do samples come from one distribution?"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from energyflow_backends import Integers, to_host

import energyflow as ef

from ..._core.files import csv_text, follow_link, write_text
from ..._core.pictures import FORMATS
from ..._core.tables.columns import Table
from ..app import app, can_draw, check_suffix, listed, print_table
from ..options import Count, Json, Quiet, Seed, Slicing, command
from .tables import DIFFERENT, SCALES, as_samples, load_table, names_in


@command(app, "test")
def compare(
    samples: Annotated[list[str], typer.Argument(metavar="A B [C ...]")],
    resamples: Count = 999,
    every: Annotated[bool, typer.Option("--all")] = False,
    exponent: float = 1.0,
    method: Literal["auto", "exact", "sliced"] = "auto",
    projections: Count = 128,
    slicing: Slicing = "auto",
    columns: str | None = None,
    drop: str | None = None,
    missing: Literal["error", "drop"] = "error",
    scale: Literal["auto", "none", "sd", "rank"] = "auto",
    strata: str | None = None,
    pairs: Annotated[bool, typer.Option("--pairs")] = False,
    effect: Annotated[bool, typer.Option("--effect")] = False,
    by_column: Annotated[bool, typer.Option("--by-column")] = False,
    fail_below: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    seed: Seed = 0,
    null: Path | None = None,
    scores: Path | None = None,
    figure: Path | None = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test whether samples come from one distribution, by permutations of their energy distance.

    The p-value is the share of relabellings with a distance at least as large.

    Of tables with text, dates and gaps, name the columns of numbers:

    energyflow test old.csv new.csv --columns age,income --missing drop --by-column

    Parameters
    ----------
    samples
        Two or more samples, (n, d): .npy, .npz (file.npz:key where it holds several arrays) or
        .csv (a header may lead).
    resamples
        Random relabellings.
    every
        All relabellings in place of random ones, for small samples: the p-value is then exact.
    exponent
        Exponent r of the distance |x - y|^r, 0 < r < 2.
    method
        All pairs of points, or slices; auto slices above 5000 points.
    projections
        Number of slices.
    columns
        Columns of .csv files to compare, by their names: age,income. Files are matched by name.
    drop
        Columns of .csv files to leave out: date,city.
    missing
        Rows of .csv files in which a value is missing are an error, or are left out.
    scale
        What is done to columns: divided by their pooled standard deviations (sd), replaced by
        ranks, or nothing. auto is sd for .csv files with names, and none otherwise.
    strata
        A column of the .csv files: points are relabelled only among those with the same text there.
    pairs
        The rows of the samples belong together: each is relabelled by itself.
    effect
        Tell how large the difference of two samples is: the energy coefficient of inhomogeneity, at
        most 1 and about 0 for equal distributions, with a bootstrap interval.
    by_column
        Test each column by itself, and all but each; p-values are corrected for their number.
    fail_below
        Exit with status 3 where the p-value is smaller.
    null
        A file for the null distribution's picture: .png, .pdf, .svg, ...
    scores
        A .csv file for each point's share in the difference (sample, point, score, and the line of
        a .csv file), or a picture of it for points in the plane.
    figure
        A file for a figure of the columns' parts in the difference: .pdf, .svg, .png, ...
    """
    for picture in (null, figure):
        check_suffix(picture, *FORMATS)
    check_suffix(scores, ".csv", *FORMATS)
    tables = [
        load_table(
            spec, columns=names_in(columns), drop=names_in(drop), missing=missing, labels=strata
        )
        for spec in samples
    ]
    clouds = as_samples(tables)
    how: dict[str, Any] = {
        "exponent": exponent, "method": method, "n_projections": projections, "slicing": slicing,
        "strata": _strata_of(tables, pairs), "rng": seed,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        result = ef.energy_test(
            *clouds,
            n_resamples="all" if every else resamples,
            scale=scale,
            progress=not quiet,
            **how,
        )
    size = result.effect_size(resamples, rng=seed) if effect else None
    tests = None
    if by_column or figure is not None:
        tests = ef.column_tests(*clouds, n_resamples=resamples, scale=result.scale, **how)
    dropped = sum(table.dropped for table in tables)
    if as_json:
        report = {
            "statistic": float(result.statistic),
            "scaled_statistic": float(result.scaled_statistic),
            "pvalue": result.pvalue,
            "n_resamples": result.null_distribution.shape[0],
            "method": result.method,
            "n_projections": result.n_projections,
            "exponent": exponent,
            "seed": seed,
            "sizes": [len(cloud) for cloud in clouds],
            "columns": None if result.columns is None else list(result.columns),
            "scale": result.scale,
            "dropped": dropped,
            "pairwise": np.asarray(result.pairwise).tolist(),
            "effect_size": None if size is None else asdict(size),
            "by_column": None if tests is None else _rows_of(tests),
        }
        print(json.dumps(report))
    else:
        by = "all pairs" if result.method == "exact" else f"{result.n_projections} slices"
        sizes = ", ".join(str(len(cloud)) for cloud in clouds)
        which = f"{result.null_distribution.shape[0]} relabellings, "
        which += "all there are" if every else f"seed {seed}"
        print(f"E        {float(result.statistic):<16.10g}  {by}, samples of {sizes} points")
        print(f"p-value  {result.pvalue:<16.6g}  {which}")
        if size is not None:
            print(f"effect   {size}")
        if result.columns is not None:
            print(f"columns  {', '.join(result.columns)}: {SCALES[result.scale]}")
        if dropped:
            print(f"missing  {dropped} rows left out")
        if tests is not None:
            _print_columns(tests)
    files: list[Path] = []
    if null is not None and can_draw():
        files.append(result.save_null(null))
    if scores is not None and scores.suffix.lower() == ".csv":
        files.append(_write_scores(scores, result, [table.lines for table in tables]))
    elif scores is not None and can_draw():
        files.append(result.save_scores(scores))
    if tests is not None and figure is not None and can_draw():
        files.append(tests.save_figure(figure))
    if files and not as_json:
        print(listed(files))
    if fail_below is not None and result.pvalue < fail_below:
        raise typer.Exit(DIFFERENT)


def _rows_of(tests: ef.ColumnTests) -> list[dict[str, Any]]:
    """A row for each column."""
    names = ("column", "alone", "pvalue", "share", "without", "pvalue_without")
    parts = (
        tests.columns, tests.alone, tests.pvalues, tests.shares, tests.without,
        tests.pvalues_without,
    )  # fmt: skip
    rows = zip(parts[0], *(np.asarray(part).tolist() for part in parts[1:]), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _print_columns(tests: ef.ColumnTests) -> None:
    header = ("column", "E alone", "p-value", "share of E", "p-value without")
    rows = [
        (
            row["column"], f"{row['alone']:.4g}", f"{row['pvalue']:.4g}", f"{row['share']:.1%}",
            f"{row['pvalue_without']:.4g}",
        )
        for row in _rows_of(tests)
    ]  # fmt: skip
    print_table("Columns, p-values corrected for their number", header, rows, range(1, 5))


def _write_scores(
    path: Path, result: ef.EnergyTestResult, lines: Sequence[Integers | None]
) -> Path:
    """One row a point, with its line where the samples are files with lines."""
    known = any(part is not None for part in lines)
    rows = (
        (number, point, f"{score:.9g}", *(["" if at is None else at[point]] if known else []))
        for number, (part, at) in enumerate(zip(result.scores(), lines, strict=True))
        for point, score in enumerate(to_host(part))
    )
    header = ("sample", "point", "score", *(["line"] if known else []))
    write_text(follow_link(path), csv_text(header, rows))
    return path


def _strata_of(tables: Sequence[Table], pairs: bool) -> list[Any] | None:
    """Labels of the points within which they are relabelled."""
    labels = [table.labels for table in tables]
    given = all(part is not None for part in labels)
    if not pairs:
        return labels if given else None
    sizes = [len(table) for table in tables]
    if len(set(sizes)) > 1:
        raise ValueError(f"--pairs needs samples of one size, got {', '.join(map(str, sizes))}")
    if given:
        raise ValueError("--pairs and --strata exclude each other: give one of them")
    return [np.arange(size) for size in sizes]
