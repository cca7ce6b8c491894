"""What the figures share: colours that can be read on light and dark pages, and how to save."""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.rc_file(Path(__file__).parents[1] / "_tools" / "matplotlibrc")
matplotlib.rcParams |= {"font.size": 10, "svg.hashsalt": "energyflow"}
BLUE, ORANGE, GREEN, *_, GREY = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]


def canvas(height: float) -> Figure:
    """An empty figure of a height in inches, as wide as a phone shows without making text small."""
    return Figure(figsize=(5.4, height), layout="constrained")


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
