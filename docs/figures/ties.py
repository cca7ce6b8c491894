"""Ties: the two limits of a distribution function, and what ranks make of tied points."""

import numpy as np
from _canvas import BLUE, GREY, ORANGE, canvas, main, steps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

X = np.array([1.0, 2.0, 2.0, 2.0, 4.0])
Y = np.array([2.0, 3.0, 3.0, 5.0])


def draw() -> Figure:
    """The distribution functions with the middle of a jump; below, two kinds of ranks."""
    figure = canvas(5.6)
    functions, ranks = figure.subplots(2, 1)
    steps(functions, Y, 0.4, 5.6, color=ORANGE, linewidth=2)
    steps(functions, X, 0.4, 5.6, color=BLUE, linewidth=2)
    middle = [_limits(functions, points, colour) for points, colour in ((X, BLUE), (Y, ORANGE))]
    functions.annotate(
        "", (2.25, middle[1]), (2.25, middle[0]),
        arrowprops={"arrowstyle": "<->", "color": GREY, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
    functions.text(2.35, np.mean(middle), "gap", va="center")
    functions.text(0.75, 0.05, "A", color=BLUE, fontsize=13)
    functions.text(5.1, 0.86, "B", color=ORANGE, fontsize=13)
    functions.set_title("the middle of each jump, at three tied points of x")
    functions.set_xticks([])
    functions.set_yticks([0, 1])

    order = np.arange(1, 6)
    mid = np.array([1, 3, 3, 3, 5])
    ranks.scatter(order, order, s=70, facecolor="none", edgecolor=GREY, label="ranks of a sort")
    ranks.scatter(order, mid, s=40, color=BLUE, label="mid-ranks")
    for place, rank, meant in zip(order, order, mid, strict=True):
        if rank != meant:
            ranks.plot([place, place], [rank, meant], color=GREY, linewidth=0.8, linestyle=":")
    ranks.set_xticks(order, ["$x_1$", "$x_2$", "$x_3$", "$x_4$", "$x_5$"])
    ranks.set_yticks(order)
    ranks.set_ylabel("rank")
    ranks.set_title(r"$x_2 = x_3 = x_4$ share one rank")
    ranks.legend(loc="upper left")
    return figure


def _limits(axes: Axes, points: np.ndarray, colour: str) -> float:
    """Mark both limits of the distribution function at 2, and their mean, which is returned."""
    left, right = np.mean(points < 2), np.mean(points <= 2)
    axes.plot([2, 2], [left, right], color=colour, linewidth=1, linestyle=":")
    axes.plot(2, left, "o", color=colour, markerfacecolor="none", markersize=7)
    axes.plot(2, right, "o", color=colour, markersize=7)
    axes.plot(2, (left + right) / 2, "D", color=colour, markersize=7)
    return float(left + right) / 2


if __name__ == "__main__":
    main(draw)
