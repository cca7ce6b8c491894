"""A slice: points projected to a line, sorted, and what that pulls them to."""

import numpy as np
from _canvas import BLUE, GREY, ORANGE, bare, canvas, main, steps
from matplotlib.figure import Figure

import energyflow as ef

ANGLE = 0.5
START, STOP = -1.7, 2.2


def draw() -> Figure:
    """The plane with one direction; the two distribution functions; the pull on each point."""
    rng = np.random.default_rng(5)
    x = rng.normal([-0.2, 0.4], [0.9, 0.5], (7, 2))
    y = rng.normal([0.75, 0.1], [0.6, 0.45], (9, 2))
    direction = np.array([np.cos(ANGLE), np.sin(ANGLE)])
    u, v = x @ direction, y @ direction
    pull = -len(u) * ef.energy_gradient(u[:, None], v[:, None])[:, 0] / 2

    figure = canvas(6.6)
    plane, line = figure.subfigures(2, 1, height_ratios=(5, 6))
    axes = plane.subplots()
    bare(axes)
    axes.plot(*np.outer(direction, [-1.9, 2.1]), color=GREY, linewidth=1)
    axes.annotate(r"$\theta$", 2.1 * direction, (4, 0), textcoords="offset points", fontsize=13)
    for points, colour, name in ((y, ORANGE, "target y"), (x, BLUE, "points x")):
        feet = np.outer(points @ direction, direction)
        for point, foot in zip(points, feet, strict=True):
            axes.plot(*zip(point, foot, strict=True), color=colour, linewidth=0.8, alpha=0.5)
        axes.scatter(*points.T, s=36, color=colour, label=name)
        axes.scatter(*feet.T, s=14, color=colour, zorder=3)
    axes.set_title("project on a direction")
    axes.legend(loc="lower right")

    functions, forces = line.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    pooled = np.sort(np.concatenate([u, v, [START, STOP]]))
    low, high = (np.searchsorted(np.sort(w), pooled, "right") / len(w) for w in (v, u))
    functions.fill_between(pooled, low, high, step="post", color=GREY, alpha=0.25, linewidth=0)
    steps(functions, v, START, STOP, color=ORANGE, linewidth=2)
    steps(functions, u, START, STOP, color=BLUE, linewidth=2)
    functions.text(u.min() - 0.1, 0.25, "A", color=BLUE, fontsize=13, ha="right")
    functions.text(v.max() + 0.1, 0.6, "B", color=ORANGE, fontsize=13)
    functions.set_title("sort: the gap between the distribution functions")
    functions.set_yticks([0, 1])
    forces.set_title("the gap is the pull on each point")
    forces.scatter(v, np.zeros_like(v), s=20, color=ORANGE)
    for place, way, level in zip(u, pull, 1 + np.argsort(np.argsort(u)) % 3, strict=True):
        forces.plot([place, place], [0, 0.3 * level], color=BLUE, linewidth=0.8, alpha=0.5)
        forces.annotate(
            "", (place + 0.5 * way, 0.3 * level), (place, 0.3 * level),
            arrowprops={"arrowstyle": "-|>", "color": BLUE, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    forces.scatter(u, np.zeros_like(u), s=20, color=BLUE, zorder=3)
    forces.set_ylim(-0.3, 1.15)
    forces.set_yticks([])
    forces.spines["left"].set_visible(False)
    forces.set_xticks([])
    forces.set_xlim(START, STOP)
    return figure


if __name__ == "__main__":
    main(draw)
