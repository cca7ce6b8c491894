"""Pictures of ranks, coverage and pairs of parameters, as figures of matplotlib."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from energyflow_backends import Doubles, Integers

from ..._core.pictures import ASIDE, REACHED, _figure, _save
from .uniformity import band, places

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 8
_LEVEL = 0.95


class Drawn:
    """A result that draws itself."""

    @abstractmethod
    def figure(self) -> Figure:
        """Draw the result, as a figure."""

    def save_figure(self, path: str | Path) -> Path:
        """Write `figure` to a file.

        Parameters
        ----------
        path : path
            Of the file, in one of matplotlib's formats: .png, .pdf, .svg and others.

        Returns
        -------
        Path

        Raises
        ------
        ModuleNotFoundError, OSError
            If matplotlib is not installed, or the file cannot be written.
        """
        return _save(self.figure(), Path(path))


def ranks_figure(
    names: Sequence[str],
    ranks: Doubles,
    counts: Integers,
    pvalues: Doubles,
    verdicts: Mapping[str, str],
) -> Figure:
    """Rank histograms and differences of distribution functions, a row for each parameter."""
    shown = np.sort(np.argsort(pvalues, kind="stable")[:MOST_ROWS])
    figure = _figure(5.6, 0.5 + 1.8 * len(shown))
    rows = figure.subplots(len(shown), 2, sharex=True, squeeze=False)
    for (left, right), k in zip(rows, shown, strict=True):
        _histogram(left, counts[k])
        _difference(right, ranks[:, k])
        title = f"{names[k]}: {verdicts[names[k]]}, p = {pvalues[k]:.2g}"
        left.set_title(title, fontsize="medium", loc="left")
    for axes in rows[-1]:
        axes.set(xlabel="rank", xlim=(0, 1))
    return figure


def _histogram(axes: Any, counts: Integers) -> None:
    """Counts, and the interval that each alone stays within."""
    from scipy.stats import binom

    bins, m = len(counts), int(counts.sum())
    low, high = binom.interval(_LEVEL, m, 1 / bins)
    axes.axhspan(low, high, color="0.85")
    axes.axhline(m / bins, color="0.4", linewidth=0.8)
    axes.stairs(counts, np.linspace(0, 1, bins + 1), fill=True, color=REACHED, alpha=0.75)
    axes.set(ylabel="truths", ylim=(0, None))


def _difference(axes: Any, ranks: Doubles) -> None:
    """The distribution function less that of uniform ranks, and the band for all places."""
    at = places(len(ranks))
    low, high = band(len(ranks), _LEVEL)
    ecdf = np.searchsorted(np.sort(ranks), at, side="right") / len(ranks)
    axes.fill_between(at, low - at, high - at, color="0.85", linewidth=0)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.plot(at, ecdf - at, color=REACHED)
    axes.set(ylabel="ECDF difference")


def coverage_figure(
    levels: Doubles, coverage: Doubles, low: Doubles, high: Doubles, title: str
) -> Figure:
    """Expected coverage over the level, with its interval."""
    figure = _figure(4.4, 4.4)
    axes = figure.add_subplot()
    axes.fill_between(levels, low, high, color=REACHED, alpha=0.25, linewidth=0)
    axes.plot(levels, coverage, color=REACHED, label="samples")
    axes.plot([0, 1], [0, 1], color=ASIDE, linestyle="--", label="right")
    axes.set(xlabel="credibility level", ylabel="expected coverage", xlim=(0, 1), ylim=(0, 1))
    axes.set_aspect("equal")
    axes.set_title(title, fontsize="medium")
    axes.legend(frameon=False)
    return figure
