"""The second picture of the start page: what the three uses give, made by the library itself.

    python docs/_tools/uses_picture.py

writes docs/assets/uses.png: handwritten digits that particles flowed to, a posterior that a network
learned from a simulator, and the null distribution of a test. Colours are of middle brightness on
no background: for light and dark pages.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import energyflow as ef
from energyflow import datasets, inverse

_ASSETS = Path(__file__).parents[1] / "assets"
_BLUE, _ORANGE, _GREY = "#2b83d6", "#e0702e", "#808080"


def digits(axes: Axes) -> None:
    """Thirty of the particles that flowed to the digits."""
    data = datasets.load("digits").train
    target = data.reshape(len(data), -1).astype(np.float64)
    start = np.random.default_rng(0).uniform(size=(300, 64))
    images = ef.ParticleFlow(target, rng=0).run(start, 2000).particles[:30].reshape(5, 6, 8, 8)
    picture = np.pad(images, ((0, 0), (0, 0), (0, 1), (0, 1))).transpose(0, 2, 1, 3).reshape(45, 54)
    axes.imshow(-picture, cmap="gray", vmin=-1, vmax=0)
    axes.set_axis_off()


def posterior(axes: Axes) -> None:
    """Samples given the distance from the origin, seen with noise, beside those of the prior."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(10_000, 2))
    seen = np.linalg.norm(points, axis=1, keepdims=True) + 0.1 * rng.normal(size=(10_000, 1))
    flow = inverse.PosteriorFlow(device="cpu").fit(points, seen, progress=False)
    samples = flow.sample(np.array([1.5]), 1500, rng=0).samples
    axes.scatter(*points[:1500].T, s=3, c=_GREY, alpha=0.35, linewidths=0)
    axes.scatter(*samples.T, s=3, c=_ORANGE, alpha=0.8, linewidths=0)
    axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    axes.set_axis_off()


def test(axes: Axes) -> None:
    """The statistic of two samples beside those of their relabellings."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 5)), rng.normal(0.2, 1, size=(200, 5))
    result = ef.energy_test(x, y, n_resamples=999, rng=0)
    axes.hist(result.null_distribution, bins=30, color=_GREY, alpha=0.6)
    axes.axvline(float(result.statistic), color=_BLUE, linewidth=4)
    axes.text(
        float(result.statistic), 0.97, f"p = {result.pvalue:g} ", color=_BLUE, fontsize=19,
        ha="right", va="top", transform=axes.get_xaxis_transform(),
    )  # fmt: skip
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(_GREY)
    axes.set(xticks=[], yticks=[])


def main() -> None:
    """Draw the three side by side."""
    figure = Figure(figsize=(10.8, 4.2), dpi=100, layout="constrained")
    panels = {"samples of digits": digits, "a posterior": posterior, "a test of two samples": test}
    for axes, (title, draw) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        draw(axes)
        axes.set_title(title, color=_GREY, fontsize=22)
    figure.savefig(_ASSETS / "uses.png", transparent=True)


if __name__ == "__main__":
    main()
