"""The Gauss kernel and its slices: what the line must do for a kernel in many dimensions."""

import numpy as np
from _canvas import BLUE, GREEN, GREY, ORANGE, canvas, main
from matplotlib.figure import Figure
from scipy.stats import chi


def draw() -> Figure:
    """The function f of one slice for three dimensions, over the kernel F."""
    u = np.linspace(0, 4, 600)
    shares = (np.arange(2000) + 0.5) / 2000
    figure = canvas(3.0)
    axes = figure.subplots()
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.plot(u, np.exp(-(u**2) / 2), color=GREY, linewidth=3, alpha=0.6, label="kernel $F$")
    for d, colour in ((2, BLUE), (10, ORANGE), (100, GREEN)):
        lengths = chi(d).ppf(shares)
        axes.plot(u, np.cos(np.outer(u, lengths)).mean(axis=1), color=colour, label=f"$f$, d = {d}")
    axes.set_xlabel("distance over sigma")
    axes.set_ylim(-1, 1.05)
    axes.set_yticks([-1, 0, 1])
    axes.legend(loc="upper right", ncols=2)
    return figure


if __name__ == "__main__":
    main(draw)
