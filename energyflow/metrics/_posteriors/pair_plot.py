"""A corner figure: each parameter by itself, and each pair of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from energyflow_backends import ArrayLike, Doubles

from ..._core.pictures import ASIDE, REACHED, _figure
from .._points import as_points, host
from .names import as_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 10
_LEVELS = (0.9, 0.5)  # of the regions, the outer one first
_POINTS = 2000


def pair_plot(
    samples: ArrayLike, truth: ArrayLike | None = None, names: Sequence[str] | None = None
) -> Figure:
    """Draw a corner figure of samples: histograms on the diagonal, pairs of parameters below.

    Regions of highest density hold 50 % and 90 % of the samples; points are samples.

    Parameters
    ----------
    samples : array (n, d)
        At least 2 samples of at most 10 parameters.
    truth : array (d,), optional
        The true parameters, drawn as lines.
    names : sequence of str, optional
        The parameters; their places, from "0", when not given.

    Returns
    -------
    matplotlib.figure.Figure
        `figure.savefig(path)` writes it. Text can be read at a width of 390 pixels for d <= 4.

    Raises
    ------
    TypeError, ValueError
        If shapes or names do not fit, there are more than 10 parameters, or numbers are NaN or
        infinite.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    x = _checked(samples)
    d = x.shape[1]
    labels = as_names(names, d)
    true = None if truth is None else host("truth", truth)
    if true is not None:
        if true.shape != (d,):
            raise ValueError(f"truth must have shape ({d},), got {true.shape}")
        as_points("truth", true[None])
    edges = [_edges(x[:, k], None if true is None else true[k]) for k in range(d)]
    side = max(4.4, 1.3 * d)
    figure = _figure(side, side)
    panels = figure.subplots(d, d, sharex="col", squeeze=False)
    for row in range(d):
        for column in range(d):
            axes = panels[row, column]
            if column > row:
                axes.set_axis_off()
                continue
            if row == column:
                axes.hist(x[:, row], edges[row], color=REACHED, alpha=0.75)
                axes.spines[["top", "left", "right"]].set_visible(False)
                axes.set_yticks([])
            else:
                _pair(axes, x[:, column], x[:, row], edges[column], edges[row])
            _label(axes, row, column, labels, edges)
            if true is not None:
                axes.axvline(true[column], color=ASIDE)
                if row != column:
                    axes.axhline(true[row], color=ASIDE)
    figure.align_labels()
    return figure


def _checked(samples: ArrayLike) -> Doubles:
    x = host("samples", samples).astype(np.float64)
    if x.ndim != 2 or len(x) < 2 or not 1 <= x.shape[1] <= MOST:
        raise ValueError(
            f"samples must have shape (n, d) with n at least 2 and d from 1 to {MOST}, "
            f"got {x.shape}: choose columns, samples[:, [0, 3]]"
        )
    return np.asarray(as_points("samples", x))


def _edges(values: Doubles, truth: float | None) -> Doubles:
    """Edges of bins over all but a few samples, and over the truth."""
    low, high = np.quantile(values, (0.001, 0.999))
    if truth is not None:
        low, high = min(low, truth), max(high, truth)
    room = 0.1 * (high - low) or max(abs(high), 1.0) * 0.5
    bins = int(np.clip(len(values) ** 0.4, 10, 50))
    return np.linspace(low - room, high + room, bins + 1)


def _pair(axes: Any, x: Doubles, y: Doubles, x_edges: Doubles, y_edges: Doubles) -> None:
    """Points, and regions of highest density over them."""
    from scipy.ndimage import gaussian_filter

    every = -(-len(x) // _POINTS)
    axes.plot(x[::every], y[::every], ".", color=REACHED, markersize=1, alpha=0.4, rasterized=True)
    counts, _, _ = np.histogram2d(x, y, [x_edges, y_edges])
    density = gaussian_filter(counts, 1.0)
    falling = np.sort(density.ravel())[::-1]
    held = falling.cumsum() / falling.sum()
    heights = sorted({float(falling[np.searchsorted(held, level)]) for level in _LEVELS})
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in (x_edges, y_edges)]
    top = max(heights[-1] * (1 + 1e-9), falling[0])
    colours = ("#9fb8d1", REACHED)[-len(heights) :]
    axes.contourf(*centres, density.T, [*heights, top], colors=colours, alpha=0.85)


def _label(
    axes: Any, row: int, column: int, names: Sequence[str], edges: Sequence[Doubles]
) -> None:
    """Limits, and names and few ticks at the outer edges of the figure."""
    from matplotlib.ticker import MaxNLocator

    d = len(names)
    axes.set_xlim(edges[column][0], edges[column][-1])
    axes.xaxis.set_major_locator(MaxNLocator(2, prune="both"))
    if row != column:
        axes.set_ylim(edges[row][0], edges[row][-1])
        axes.yaxis.set_major_locator(MaxNLocator(2, prune="both"))
        axes.tick_params(labelleft=column == 0)
    if row == d - 1:
        axes.set_xlabel(names[column])
    if column == 0 and row:
        axes.set_ylabel(names[row])
