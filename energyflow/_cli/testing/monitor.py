"""`energyflow monitor`: do new batches come from the distribution of a reference?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from energyflow_backends import HostArray

import energyflow as ef

from ..._core.files import follow_link
from ..._core.locks import locked
from ..._core.tables.columns import Table
from ..app import app, check_suffix, print_table
from ..options import Count, Json, OptionalCount, Seed, Slicing, command, is_given
from .tables import DIFFERENT, SCALES, load_table, names_in

_OF_REFERENCE = (
    "planned", "alpha", "resamples", "projections", "slicing", "scale", "columns", "drop", "seed",
)  # fmt: skip


@command(app)
def monitor(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="MONITOR.npz")],
    batches: Annotated[list[str] | None, typer.Argument(metavar="[BATCH ...]")] = None,
    reference: str | None = None,
    planned: Count = 100,
    alpha: Annotated[float, typer.Option(min=0, max=1)] = 0.05,
    resamples: OptionalCount = None,
    projections: Count = 128,
    slicing: Slicing = "auto",
    scale: Literal["none", "sd"] = "sd",
    columns: str | None = None,
    drop: str | None = None,
    missing: Literal["error", "drop"] = "error",
    fail_below: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Test new batches against one reference, by their energy distance.

    Once, fit a reference; then give each new batch to the file that this makes:

    energyflow monitor drift.npz --reference good.csv --planned 30

    energyflow monitor drift.npz monday.csv

    A batch raises an alarm where its p-value is at most alpha / planned: the probability of a false
    alarm in all planned batches is at most alpha. The exit status is 3 after an alarm.

    Parameters
    ----------
    file
        The fitted reference, with the number of batches that it has tested.
    batches
        New points, (m, d): .npy, .npz (file.npz:key) or .csv. Each counts as one of those planned;
        none does where one of them is refused.
    reference
        Points that are as they should be, (n, d): fit them, and write the file, which must be new.
        --planned to --drop and --seed belong to it, and are refused without it.
    planned
        Batches that will be tested, all calls together; more are refused.
    alpha
        Probability of a false alarm in all of them.
    resamples
        Random relabellings of each test; 5 planned / alpha when not given.
    projections
        Number of slices.
    scale
        Columns are divided by their standard deviations in the reference (sd), or left as they are.
    columns
        Columns of a .csv file to compare, by their names: age,income. Those of batches follow them.
    drop
        Columns of a .csv file to leave out: date,city.
    missing
        Rows of .csv files in which a value is missing are an error, or are left out.
    fail_below
        Exit with status 3 where a p-value is smaller, in place of the status of alarms.
    """
    check_suffix(file, ".npz")
    with locked(follow_link(file)):
        if reference is not None:
            if file.exists():
                raise ValueError(f"{file} exists: --reference makes a new file")
            table = load_table(
                reference, columns=names_in(columns), drop=names_in(drop), missing=missing
            )
            fitted = ef.EnergyMonitor(
                _sample(table), n_batches=planned, alpha=alpha, n_resamples=resamples,
                n_projections=projections, slicing=slicing, scale=scale, rng=seed,
            )  # fmt: skip
        elif not batches:
            raise typer.BadParameter("give a BATCH to test, or --reference to fit")
        else:
            if options := [f"--{name}" for name in _OF_REFERENCE if is_given(context, name)]:
                raise typer.BadParameter(f"{', '.join(options)}: only with --reference, which fits")
            fitted = ef.EnergyMonitor.load(file)
        tables = _read(fitted, file, batches or [], missing)
        rows = [_tested(fitted, spec, table) for spec, table in tables]
        fitted.save(file)
    if as_json:
        print(json.dumps(_as_json(fitted, rows)))
    else:
        _print(fitted, rows)
    if any(_fails(row, fail_below) for row in rows):
        raise typer.Exit(DIFFERENT)


def _sample(table: Table) -> Table | HostArray:
    """A table where columns have names; an array otherwise."""
    return table if table.named else table.values


def _read(
    fitted: ef.EnergyMonitor, file: Path, specs: list[str], missing: str
) -> list[tuple[str, Table]]:
    """The batches, of which there are at most as many as are left."""
    left = fitted.n_batches - fitted.tested
    if len(specs) > left:
        raise ValueError(
            f"{file}: {left} of the {fitted.n_batches} planned batches are left, "
            f"got {len(specs)}: fit a reference with more --planned"
        )
    named = None if fitted.columns is None else list(fitted.columns)
    for spec in specs:
        if named and Path(spec).suffix.lower() != ".csv":
            raise ValueError(f"{spec}: the reference has named columns: give a .csv file")
    return [(spec, load_table(spec, columns=named, missing=missing)) for spec in specs]


def _tested(fitted: ef.EnergyMonitor, spec: str, table: Table) -> dict[str, Any]:
    try:
        result = fitted.test(_sample(table))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{spec}: {error}") from None
    return {"batch": spec, "points": len(table), "dropped": table.dropped, **vars(result)}


def _fails(row: dict[str, Any], threshold: float | None) -> bool:
    return bool(row["alarm"] if threshold is None else row["pvalue"] < threshold)


def _as_json(fitted: ef.EnergyMonitor, rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = None if fitted.columns is None else list(fitted.columns)
    return {
        "planned": fitted.n_batches, "tested": fitted.tested, "alpha": fitted.alpha,
        "level": fitted.level, "n_resamples": fitted.n_resamples, "scale": fitted.scale,
        "columns": columns, "batches": rows,
    }  # fmt: skip


def _print(fitted: ef.EnergyMonitor, rows: list[dict[str, Any]]) -> None:
    if rows:
        header = ("batch", "file", "points", "E", "p-value", "alarm")
        cells = [
            (
                str(row["number"]), row["batch"], str(row["points"]), f"{row['statistic']:.4g}",
                f"{row['pvalue']:.4g}", "yes" if row["alarm"] else "no",
            )
            for row in rows
        ]  # fmt: skip
        print_table("Batches against the reference", header, cells, (0, 2, 3, 4))
    print(f"level    {fitted.level:<12.4g}  {fitted.alpha:g} / {fitted.n_batches} planned batches")
    print(f"tested   {fitted.tested:<12}  {fitted.n_batches - fitted.tested} left")
    if fitted.columns is not None:
        how = SCALES[fitted.scale].replace("pooled ", "")
        print(f"columns  {', '.join(fitted.columns)}: {how}")
    if dropped := sum(row["dropped"] for row in rows):
        print(f"missing  {dropped} rows left out")
