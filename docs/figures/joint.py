"""Two joint distributions that come near while their conditional distributions stay apart."""

import numpy as np
from _canvas import BLUE, GREY, ORANGE, canvas, main
from matplotlib.figure import Figure

import energyflow as ef


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Conditions (count, 1) in order, and x that is -1 and 1 in turn."""
    y = (np.arange(count)[:, None] + 0.5) / count
    return np.where(np.arange(count)[:, None] % 2, 1.0, -1.0), y


def draw() -> Figure:
    """The two distributions, what is left given one condition, and distances over the number."""
    figure = canvas(5.4)
    panels = figure.subplot_mosaic([["joint", "given"], ["curves", "curves"]])
    joint, given, curves = panels["joint"], panels["given"], panels["curves"]
    x, y = pairs(12)
    for axes, shown in ((joint, slice(None)), (given, slice(7, 8))):
        for side, colour, name in ((x, BLUE, "one"), (-x, ORANGE, "other")):
            axes.scatter(side[shown], y[shown], s=30, color=colour, label=name)
        axes.set(xlim=(-1.6, 1.6), ylim=(0, 1), xticks=[-1, 1], xlabel="x")
        axes.set_yticks([])
    joint.set_ylabel("condition y")
    joint.set_title("joint distributions")
    joint.legend(loc="center", handletextpad=0.1)
    given.axhline(float(y[7, 0]), color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    given.set_title("given one y")

    counts = np.array([4, 8, 16, 32, 64, 128])
    found = []
    for count in counts:
        x, y = pairs(count)
        near, far = np.hstack([x, y]), np.hstack([-x, y])
        found.append(
            (
                np.sqrt(ef.energy_distance(near, far)),
                ef.conditional_wasserstein_distance(x, y, -x, y, p=1, beta=1.0),
                ef.conditional_wasserstein_distance(x, y, -x, y, p=1),
            )
        )
    energy, joint_w, conditional = np.array(found, dtype=float).T
    curves.loglog(counts, conditional, "s-", color=ORANGE, label="$W_1$ condition by condition")
    curves.loglog(counts, energy, "o-", color=BLUE, label="$\\sqrt{E}$ of the joint")
    curves.loglog(
        counts, joint_w, "o--", color=BLUE, markerfacecolor="none", label="$W_1$ of the joint"
    )
    curves.set_xticks(counts, counts)
    curves.minorticks_off()
    curves.set_xlabel("number of conditions")
    curves.set_title("how far apart")
    curves.legend(loc="center right", bbox_to_anchor=(1, 0.66))
    return figure


if __name__ == "__main__":
    main(draw)
