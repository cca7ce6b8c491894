"""A picture of samples beside their nearest training points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from energyflow_backends import Floats

from .._core.image_grid import image_grid
from .._core.pictures import ASIDE, REACHED, _figure, _save
from ..datasets import Dataset
from ._report import Report

COLUMNS = 12
ROWS = (2, 3)


def save_neighbours(path: Path, report: Report, dataset: Dataset) -> Path:
    """Draw images above the training images nearest to them; of vectors, the distances."""
    if dataset.train.ndim == 4:
        return _save_pairs(path, report, dataset.train)
    return _save_distances(path, report)


def _save_pairs(path: Path, report: Report, train: Floats) -> Path:
    nearest_first = np.argsort(report.neighbours.distances, kind="stable")
    edge = 0.6  # inches
    height = edge * (2 * train.shape[2] + 4) / (train.shape[3] + 2)
    figure = _figure(edge * COLUMNS, height * sum(ROWS) + 0.8)
    panels = figure.subplots(2, 1, height_ratios=ROWS)
    orders = {
        "samples nearest to training data": nearest_first,
        "samples in order": np.arange(report.n_samples),
    }
    for axes, rows, (title, order) in zip(panels, ROWS, orders.items(), strict=True):
        shown = order[: rows * COLUMNS]
        pairs = report.samples[shown], train[report.neighbours.nearest[shown]]
        axes.imshow(pair_mosaic(*pairs, columns=COLUMNS), cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(f"{title}, each above its nearest training image", fontsize="medium")
        axes.set_axis_off()
    return _save(figure, path)


def pair_mosaic(upper: Floats, lower: Floats, *, columns: int) -> Floats:
    """Lay pairs of images (n, C, H, W) out, one above the other, in one picture (h, w, C)."""
    white = 0.0 if upper.shape[1] == 1 else 1.0  # gray images are drawn as ink
    between = np.full_like(upper[:, :, :1], white)
    pairs = np.concatenate([upper, between, lower], axis=2).clip(0, 1)  # (n, C, 2 H + 1, W)
    return image_grid(pairs, columns, border=((1, 2), (1, 1)), fill=white)


def _save_distances(path: Path, report: Report) -> Path:
    figure = _figure(6.4, 4.0)
    axes = figure.add_subplot()
    near = report.neighbours
    axes.ecdf(near.distances, label="samples", color=REACHED)
    axes.ecdf(near.held_out_distances, label="held-out data", color=ASIDE)
    axes.set(xlabel="distance to the nearest training point", ylabel="fraction of points")
    axes.legend(frameon=False)
    return _save(figure, path)
