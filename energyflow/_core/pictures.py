"""Pictures of flows, drawn by matplotlib on figures of their own (no pyplot, no screen)."""

from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from energyflow_backends import Floats

from .files import atomic_write
from .image_grid import image_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .flow_result import FlowResult

REACHED, ASIDE = "#1f4e79", "#c46210"
FORMATS = (".png", ".pdf", ".svg", ".eps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_MOST_DRAWN = 50_000


def save_history(path: Path, result: "FlowResult", level: tuple[float, str] | None = None) -> Path:
    """Draw the energy distance over the steps, and a `level` (height, name) to compare it with."""
    figure = _figure(6.4, 4.0)
    axes = figure.add_subplot()
    axes.plot(result.history_step, result.history_distance, color=REACHED, label="particles")
    if level is not None:
        axes.axhline(level[0], color=ASIDE, linestyle="--", label=level[1])
        axes.legend(frameon=False)
    if np.all(np.asarray(result.history_distance) > 0):
        axes.set_yscale("log")
    axes.set(xlabel="step", ylabel="energy distance E to the target")
    return _save(figure, path)


def save_losses(path: Path, curves: Mapping[str, Sequence[tuple[int, float]]]) -> Path:
    """Draw losses over the steps of training: pairs of both by the names of the curves."""
    figure = _figure(6.4, 4.0)
    axes = figure.add_subplot()
    for (name, pairs), colour in zip(curves.items(), (ASIDE, REACHED), strict=False):
        axes.plot(*zip(*pairs, strict=True), color=colour, label=name)
    axes.set(xlabel="step", ylabel="loss")
    axes.legend(frameon=False)
    return _save(figure, path)


def save_scatter(path: Path, particles: Floats, target: Floats | None = None) -> Path:
    """Draw particles (N, 2) over their target (M, 2), some tens of thousands of each at most."""
    figure = _figure(5.0, 5.0)
    axes = figure.add_subplot()
    clouds = [(particles, REACHED, "particles")]
    if target is not None:
        clouds.insert(0, (target, ASIDE, "target"))
    most = max(len(points) for points, _, _ in clouds)
    size = 2000 / np.sqrt(min(most, _MOST_DRAWN) * 100)
    how = {"s": size, "alpha": 0.6, "linewidths": 0}
    for points, colour, name in clouds:
        axes.scatter(*points[:: -(-len(points) // _MOST_DRAWN)].T, color=colour, label=name, **how)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(frameon=False)
    return _save(figure, path)


def save_null(path: Path, null: Floats, statistic: float, pvalue: float) -> Path:
    """Draw the statistics of relabelled samples as a histogram, and the true one as a line."""
    figure = _figure(6.4, 4.0)
    axes = figure.add_subplot()
    axes.hist(null, bins="auto", color=REACHED, label=f"{len(null)} relabellings")
    axes.axvline(statistic, color=ASIDE, label=f"the samples, p = {pvalue:.3g}")
    axes.set(xlabel="energy distance E", ylabel="count")
    axes.legend(frameon=False)
    return _save(figure, path)


def save_scores(path: Path, clouds: Sequence[Floats], scores: Sequence[Floats]) -> Path:
    """Draw points (N, 2) of each cloud in a panel of its own, coloured by their scores (N,)."""
    figure = _figure(1.0 + 4.0 * len(clouds), 4.4)
    panels = figure.subplots(1, len(clouds), sharex=True, sharey=True, squeeze=False)[0]
    top = max(float(np.abs(part).max()) for part in scores) or 1.0
    how = {"s": 6, "cmap": "RdBu_r", "vmin": -top, "vmax": top, "linewidths": 0}
    for number, (axes, cloud, part) in enumerate(zip(panels, clouds, scores, strict=True)):
        drawn = axes.scatter(*cloud.T, c=part, **how)
        axes.set_title(f"sample {number}", fontsize="medium")
        axes.set_aspect("equal", adjustable="box")
    figure.colorbar(drawn, ax=panels, label="score: nearer to its own sample, or (-) to others")
    return _save(figure, path)


def save_columns(
    path: Path, names: Sequence[str], alone: Floats, shares: Floats, pvalues: Floats
) -> Path:
    """Draw bars of columns' distances and shares (d,), the largest above, with their p-values."""
    order = np.argsort(alone)
    places = np.arange(len(names))
    figure = _figure(6.4, 1.2 + 0.24 * len(names))
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(places, alone[order], color=REACHED)
    left.set_yticks(places, [names[k] for k in order])
    left.set(xlabel="energy distance E of the column alone")
    left.margins(x=0.3)
    for place, k in enumerate(order):
        left.annotate(
            f"p = {pvalues[k]:.2g}", (alone[k], place), xytext=(3, 0), fontsize="small",
            textcoords="offset points", verticalalignment="center",
        )  # fmt: skip
    right.barh(places, 100 * shares[order], color=ASIDE)
    right.axvline(0, color="black", linewidth=0.8)
    right.set(xlabel="% of E lost without the column")
    right.spines["left"].set_visible(False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return _save(figure, path)


def save_images(
    path: Path, along_the_way: Sequence[tuple[int, Floats]], final: Floats, columns: int = 16
) -> Path:
    """Draw gray images, values 0 to 1: the same ones at several steps, then `final` ones.

    along_the_way: pairs of a step and images (n, h, w); final: images (m, h, w). The first
    `columns` images of each step make a row, `final` fills as many rows as it needs.
    """
    rows = len(along_the_way), -(-len(final) // columns)
    figure = _figure(0.5 * columns + 0.8, 0.55 * sum(rows) + 1.0)
    above, below = figure.subplots(2, 1, height_ratios=rows)
    shown = np.concatenate([images[:columns] for _, images in along_the_way])
    mosaic = image_grid(shown[:, None], columns)
    above.imshow(mosaic, cmap="gray_r", vmin=0, vmax=1)
    height = mosaic.shape[0] / rows[0]
    above.set_yticks(height * (np.arange(rows[0]) + 0.5), [f"{step}" for step, _ in along_the_way])
    above.set_ylabel("step")
    above.set_title("the same particles along the way", fontsize="medium")
    below.imshow(image_grid(final[:, None], columns), cmap="gray_r", vmin=0, vmax=1)
    below.set_yticks([])
    below.set_title(f"{len(final)} particles at the end", fontsize="medium")
    for axes in (above, below):
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return _save(figure, path)


def _figure(width: float, height: float) -> "Figure":
    """A figure that notebooks show, although pyplot does not know it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    vars(figure)["_repr_png_"] = partial(_png, figure)
    return figure


def _png(figure: "Figure") -> bytes:
    with BytesIO() as file:
        figure.savefig(file, format="png")
        return file.getvalue()


def _save(figure: "Figure", path: Path) -> Path:
    with atomic_write(path) as handle:
        figure.savefig(handle, format=path.suffix[1:].lower() or "png", dpi=150)
    return path
