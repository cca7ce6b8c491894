"""Optimal couplings of noise and data that forget, mind and keep the condition."""

import math

import numpy as np
from _canvas import BLUE, GREY, ORANGE, canvas, main
from matplotlib.figure import Figure

import energyflow as ef

ROWS, EACH = 5, 5


def draw() -> Figure:
    """Lines from noise to data in the plane of x and the condition, for three betas."""
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(ROWS) / (ROWS - 1), EACH)[:, None]
    noise = rng.normal(size=(ROWS * EACH, 1))
    data = 4 + 1.6 * np.sin(2.2 * np.pi * y) + 0.25 * rng.normal(size=(ROWS * EACH, 1))
    figure = canvas(2.3)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, beta in zip(panels, (0.0, 3.0, math.inf), strict=True):
        rows, columns = ef.conditional_coupling(noise, y, data, y, beta=beta)
        for i, j in zip(rows, columns, strict=True):
            axes.plot([noise[i, 0], data[j, 0]], [y[i, 0], y[j, 0]], color=GREY, linewidth=0.8)
        axes.scatter(noise, y, s=16, color=BLUE, zorder=2)
        axes.scatter(data, y, s=16, color=ORANGE, zorder=2)
        axes.set_title(f"beta = {beta:g}" if beta < math.inf else "beta infinite")
        axes.set_xticks([])
        axes.set_yticks([])
    panels[0].set_ylabel("condition y")
    panels[0].text(0.02, -0.03, "noise", color=BLUE, va="top", transform=panels[0].transAxes)
    panels[0].text(
        0.98, -0.03, "data", color=ORANGE, ha="right", va="top", transform=panels[0].transAxes
    )
    return figure


if __name__ == "__main__":
    main(draw)
