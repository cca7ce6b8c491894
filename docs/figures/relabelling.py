"""One sorted row of points, under its labels and under others: the order stays."""

import numpy as np
from _canvas import BLUE, GREY, ORANGE, canvas, main
from matplotlib.figure import Figure


def draw() -> Figure:
    """The points by label, and the gap A - B above them, for three labellings."""
    rng = np.random.default_rng(2)
    places = np.sort(np.concatenate([rng.normal(-0.7, 1, 14), rng.normal(0.9, 0.8, 14)]))
    labels = np.zeros(28, bool)
    labels[np.argsort(places + rng.normal(0, 1, 28))[:14]] = True
    figure = canvas(4.8)
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for axes, mine, name in zip(
        panels,
        (labels, rng.permutation(labels), rng.permutation(labels)),
        ("the samples", "relabelled", "relabelled again"),
        strict=True,
    ):
        gap = np.cumsum(np.where(mine, 1 / 14, -1 / 14))
        energy = 2 * np.sum(np.diff(places) * gap[:-1] ** 2)
        axes.fill_between(places, gap, step="post", color=GREY, alpha=0.3, linewidth=0)
        axes.step(places, gap, where="post", color=GREY, linewidth=1)
        for side, colour in ((mine, BLUE), (~mine, ORANGE)):
            axes.scatter(places[side], np.full(14, -0.55), s=18, color=colour)
        axes.set_title(f"{name}: E = {energy:.2f}")
        axes.set(xticks=[], yticks=[0], ylim=(-0.7, 0.75))
    panels[0].set_ylabel("A - B")
    return figure


if __name__ == "__main__":
    main(draw)
