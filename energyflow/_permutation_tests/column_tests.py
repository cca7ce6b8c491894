"""Which columns make the difference: energy tests of each alone, and of all but each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, Doubles, namespace, not_compiled, to_host

from .._core.checks import check_count
from .._core.random import Rng, as_source
from .._slices.slicing import Slicing, SlicingName
from .energy_test import energy_test
from .samples import as_samples
from .several import pvalue, standardised

_ROUNDING = 1e-12  # of the largest statistic, below which it does not vary


@dataclass(frozen=True, eq=False)
class ColumnTests:
    """The result of `column_tests`: arrays (d,), a number for each column.

    Attributes
    ----------
    columns : tuple of str
        Their names; for arrays their places, from "0".
    alone : array (d,)
        The statistic of `energy_test` for each column by itself.
    pvalues : array (d,)
        Its p-value, corrected for the number of columns.
    without : array (d,)
        The statistic of all columns but this one.
    pvalues_without : array (d,)
        Its p-value, corrected likewise.
    statistic : float
        The statistic of all columns.
    scale : str
        "none", "sd" or "rank": what columns were divided by or became.
    """

    columns: tuple[str, ...]
    alone: Doubles
    pvalues: Doubles
    without: Doubles
    pvalues_without: Doubles
    statistic: float
    scale: str

    @property
    def shares(self) -> Doubles:
        """The part of the statistic that goes when a column is left out, (d,); it may be negative.

        Shares need not add up to one: related columns share their differences. They are 0 where
        the statistic is.
        """
        if self.statistic == 0:
            return np.zeros_like(self.without)
        return 1 - self.without / self.statistic

    def __repr__(self) -> str:
        best = int(np.argmin(self.pvalues))
        return (
            f"ColumnTests({len(self.columns)} columns, smallest p-value {self.pvalues[best]:.6g}: "
            f"{self.columns[best]!r})"
        )

    def save_figure(self, path: str | Path) -> Path:
        """Draw the distance of each column alone, and its share, as bars with corrected p-values.

        Parameters
        ----------
        path : path
            Of the file, in one of matplotlib's formats: .png, .pdf, .svg and others. It is as wide
            as a page of text, 6.4 inches.

        Returns
        -------
        Path

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        from .._core import pictures

        return pictures.save_columns(
            Path(path), self.columns, self.alone, self.shares, self.pvalues
        )


@not_compiled
def column_tests(
    *samples: Any,
    n_resamples: int = 999,
    exponent: float = 1.0,
    method: Literal["auto", "exact", "sliced"] = "auto",
    n_projections: int = 128,
    slicing: SlicingName | Slicing = "auto",
    strata: Sequence[Any] | None = None,
    scale: Literal["auto", "none", "sd", "rank"] = "sd",
    rng: Rng = None,
) -> ColumnTests:
    r"""Test which columns make the difference of samples: each alone, and all but each.

    All tests see the same relabellings. P-values are corrected by the largest statistic: with
    :math:`t_{b k}` that of column b and relabelling k, less its mean over k and divided by its
    standard deviation over k, and k = 0 the samples as they are,

    .. math:: \tilde p_c = \frac{\#\{k : \max_b t_{b k} \ge t_{c 0}\}}{1 + R} .

    The probability that one or more is at most alpha, of columns that do not differ, is at most
    alpha, however columns are related (Westfall and Young).

    Parameters
    ----------
    *samples : arrays (n_g, d) or data frames
        As in `energy_test`, with d >= 2 columns.
    n_resamples : int
        Random relabellings.
    exponent, method, n_projections, slicing, strata
        As in `energy_test`.
    scale : "sd", "none" or "rank"
        As in `energy_test`; of arrays, too, columns are divided by their standard deviations.
    rng : int, generator or None
        Where directions and relabellings come from. None draws fresh entropy.

    Returns
    -------
    ColumnTests

    Raises
    ------
    TypeError, ValueError
        As `energy_test`; also if there is a single column.

    Notes
    -----
    Cost: 2 d + 1 tests of T points, d of them O(T (log T + R)). A column may differ in its relation
    to others and not by itself: only leaving it out shows that.

    References
    ----------
    Westfall, Young, "Resampling-Based Multiple Testing", 1993. Székely, Rizzo, "Testing for equal
    distributions in high dimension", InterStat 2004.
    """
    names = [f"samples[{k}]" for k in range(len(samples))]
    given = as_samples(samples, scale, names)
    n_resamples = check_count("n_resamples", n_resamples)
    seed = int(as_source(rng).host(0, 0).integers(2**31))

    def statistics(points: tuple[Array, ...]) -> Doubles:
        alone = points[0].shape[1:] == (1,)  # where families for other dimensions have no meaning
        result = energy_test(
            *points, n_resamples=n_resamples, exponent=exponent, method=method,
            n_projections=n_projections, slicing="auto" if alone else slicing, strata=strata,
            scale="none", rng=seed,
        )  # fmt: skip
        null = to_host(result.null_distribution).astype(np.float64)
        return np.concatenate([[float(result.statistic)], null])  # (1 + R,)

    whole = statistics(given.points)
    d = int(given.points[0].shape[1])
    if d < 2:
        raise ValueError("samples must have two columns or more to be compared, got 1")
    columns = given.columns or tuple(map(str, range(d)))
    places = [np.arange(d) == column for column in range(d)]
    alone = np.stack([statistics(_taken(given.points, place)) for place in places])
    without = np.stack([statistics(_taken(given.points, ~place)) for place in places])
    return ColumnTests(
        columns, alone[:, 0], corrected(alone), without[:, 0], corrected(without),
        float(whole[0]), given.scale,
    )  # fmt: skip


def _taken(points: tuple[Array, ...], kept: Any) -> tuple[Array, ...]:
    """Some columns of each sample."""
    xp, device = namespace(points[0]), compat.device(points[0])
    places = xp.asarray(np.flatnonzero(kept), device=device)
    return tuple(xp.take(sample, places, axis=1) for sample in points)


def corrected(statistics: Doubles) -> Doubles:
    """P-values (d,) of the first of statistics (d, 1 + R), corrected by the largest of all d."""
    scores = standardised(statistics, _ROUNDING * np.abs(statistics).max(axis=1))
    largest = scores.max(axis=0)
    return np.array([pvalue(largest, observed=score) for score in scores[:, 0]])
