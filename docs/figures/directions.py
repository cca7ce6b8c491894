"""Families of directions in three dimensions, on the half sphere that they all fit."""

import numpy as np
from _canvas import BLUE, GREY, bare, canvas, main
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import energyflow as ef

COUNT = 64
FAMILIES = ("iid", "orthogonal", "sobol", "distance")


def draw() -> Figure:
    """A direction and its opposite are one point of a disk, whose areas are those of the sphere."""
    figure = canvas(1.7)
    for axes, family in zip(figure.subplots(1, len(FAMILIES)), FAMILIES, strict=True):
        directions = ef.sample_projections(COUNT, 3, method=family, rng=0)
        directions *= np.sign(directions[:, 2:])
        flat = directions[:, :2] / np.sqrt(1 + directions[:, 2:])
        bare(axes)
        axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=GREY))
        axes.scatter(*flat.T, s=6, color=BLUE, linewidths=0)
        axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
        axes.set_title(family)
    return figure


if __name__ == "__main__":
    main(draw)
