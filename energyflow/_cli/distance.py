"""`energyflow distance`: the energy distance between two samples."""

import json
import math
from typing import Annotated, Literal

import typer

import energyflow as ef

from .app import app, load_points, load_weights
from .options import Json, OptionalCount, Seed, Slicing, command


@command(app)
def distance(
    x: Annotated[str, typer.Argument(metavar="X")],
    y: Annotated[str, typer.Argument(metavar="Y")],
    exponent: float = 1.0,
    estimator: Literal["V", "U"] = "V",
    projections: OptionalCount = None,
    exact: Annotated[bool, typer.Option("--exact")] = False,
    slicing: Slicing = "auto",
    seed: Seed = 0,
    weights_x: str | None = None,
    weights_y: str | None = None,
    as_json: Json = False,
) -> None:
    """Print the energy distance E between two samples, with E/2 and sqrt(E).

    E has the unit of the data to the power of the exponent.

    Parameters
    ----------
    x
        Points, (N, d) or (N,): .npy, .npz (file.npz:key where it holds several arrays) or .csv (a
        header may lead).
    y
        Points, (M, d) or (M,).
    exponent
        Exponent r of the distance |x - y|^r, 0 < r < 2.
    estimator
        V is never negative; U is unbiased.
    projections
        Number of slices, each one direction; 128 when not given.
    exact
        All N x M distances in place of slices.
    weights_x
        Weights a of X, (N,), summing to 1; uniform when not given.
    weights_y
        Weights b of Y, (M,), summing to 1; uniform when not given.
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
    below = "undefined         U has no bias: E is below 0 by chance where samples are alike"
    print(f"sqrt(E)  {below if root is None else format(root, '.10g')}")
