"""`energyflow distance`: the energy distance between two samples."""

import json
import math
from typing import Annotated, Literal

import typer

import energyflow as ef

from .app import FORMATS, Exponent, Json, Seed, Slicing, app, load_points, load_weights


@app.command()
def distance(
    x: Annotated[str, typer.Argument(metavar="X", help=f"Points, (N, d) or (N,): {FORMATS}.")],
    y: Annotated[str, typer.Argument(metavar="Y", help="Points, (M, d) or (M,).")],
    exponent: Exponent = 1.0,
    estimator: Annotated[
        Literal["V", "U"], typer.Option(help="V is never negative; U is unbiased.")
    ] = "V",
    projections: Annotated[
        int | None,
        typer.Option(min=1, help="Number of slices, each one direction.", show_default="128"),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="All N x M distances in place of slices.")
    ] = False,
    slicing: Slicing = "auto",
    seed: Seed = 0,
    weights_x: Annotated[
        str | None,
        typer.Option(help="Weights a of X, (N,), summing to 1.", show_default="uniform"),
    ] = None,
    weights_y: Annotated[
        str | None,
        typer.Option(help="Weights b of Y, (M,), summing to 1.", show_default="uniform"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the energy distance E between two samples, with E/2 and sqrt(E).

    E has the unit of the data to the power of the exponent.
    """
    if exact and projections is not None:
        raise typer.BadParameter("--exact uses no slices; give it or --projections, not both")
    points_x, points_y = load_points(x), load_points(y)
    sets = points_x, points_y, load_weights(weights_x), load_weights(weights_y)
    if exact:
        value = ef.energy_distance(*sets, exponent=exponent, estimator=estimator)
        method = "exact"
    else:
        projections = 128 if projections is None else projections
        value = ef.sliced_energy_distance(
            *sets, projections, exponent=exponent, slicing=slicing, estimator=estimator, rng=seed
        )
        method = "exact in one dimension" if points_x.shape[1] == 1 else f"{projections} slices"
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
    print(f"E        {energy:<16.10g}  exponent {exponent:g}, {estimator} estimator, {method}")
    print(f"E / 2    {energy / 2:<16.10g}  MMD^2 of the kernel -|x - y|^{exponent:g}")
    print(f"sqrt(E)  {'undefined' if root is None else format(root, '.10g')}")
