"""What the figures share: colours that read on white and on dark paper, and how they are saved."""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#3d8fd6", "#d97a24", "#3f9a63", "#808080"

matplotlib.rcParams |= {
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "axes.titlesize": "medium",
    "font.size": 10,
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "svg.hashsalt": "energyflow",
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def canvas(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def bare(axes: Axes) -> None:
    """No frame and no ticks, equal units on both axes."""
    axes.set_aspect("equal")
    axes.set_axis_off()


def steps(axes: Axes, places: np.ndarray, start: float, stop: float, **style: object) -> None:
    """Draw the distribution function of points on the line, from start to stop."""
    heights = np.arange(len(places) + 1) / len(places)
    edges = np.concatenate([[start], np.sort(places), [stop]])
    axes.stairs(heights, edges, baseline=None, **style)


def main(draw: Callable[[], Figure]) -> None:
    """Save what `draw` draws, as SVG on no background, to the file on the command line."""
    file = Path(sys.argv[1])
    draw().savefig(file, format="svg", transparent=True, metadata={"Date": None})
