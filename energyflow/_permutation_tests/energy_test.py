"""Tests of whether samples come from one distribution, by permutations of their energy distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import array_api_compat as compat
import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, Doubles, namespace, not_compiled

from .._core.checks import check_choice, check_count, check_exponent, check_method
from .._core.progress import Progress, Report, in_batches
from .._core.random import Rng, as_source
from .._slices.directions import sampled_projector
from .._slices.slicing import Slicing, SlicingName
from .pooled import PooledPoints
from .relabelling import (
    Labels,
    all_relabellings,
    check_strata,
    number_of_all,
    relabellings,
)
from .result import EnergyTestResult
from .samples import as_samples, warn_of_scales
from .several import pvalue

_MOST_OF_ALL = 1_000_000  # relabellings that are enumerated
_ROUNDING = 1e-14  # of the mean distance to the mean, below which a difference is one of rounding


@not_compiled
def energy_test(
    *samples: Any,
    n_resamples: int | str = 999,
    exponent: float = 1.0,
    method: Literal["auto", "exact", "sliced"] = "auto",
    n_projections: int = 128,
    slicing: SlicingName | Slicing = "auto",
    strata: Sequence[Any] | None = None,
    scale: Literal["auto", "none", "sd", "rank"] = "auto",
    rng: Rng = None,
    progress: bool = False,
) -> EnergyTestResult:
    r"""Test whether samples come from one distribution, by their energy distance.

    The null hypothesis is that the pooled points may be relabelled at will. For two samples the
    statistic is E(x, y), see `energy_distance`; for k samples

    .. math:: \sum_{g < h} w_{gh} E(x_g, x_h) \Big/ \sum_{g < h} w_{gh} , \qquad
              w_{gh} = \frac{n_g n_h}{n_g + n_h} .

    The p-value is (1 + #{relabellings whose statistic is at least as large}) / (1 + n_resamples):
    ties count, up to rounding, and it is never zero.

    Parameters
    ----------
    *samples : arrays (n_g, d) or (n_g,), or data frames
        Two to 255 of them, in any unit of length. Lists and whole numbers become float64. Columns
        of frames (pandas, polars, or mappings of names to columns) are matched by name; a single
        column is (n,).
    n_resamples : int or "all"
        Random relabellings; "all" takes each that there is once, for small samples, and the p-value
        is then exact.
    exponent : float
        The power r, 0 < r < 2.
    method : "auto", "exact" or "sliced"
        "exact" sums over all pairs of points; "sliced" sorts them along directions, for r = 1;
        "auto" is exact up to 5000 points in all, and for r != 1. In one dimension both give the
        same numbers for r = 1, and the points are sorted.
    n_projections : int
        Number of slices P, where the method is sliced.
    slicing : str or Slicing
        How directions are drawn, as in `sliced_energy_distance`.
    strata : sequence of integer arrays (n_g,), optional
        One for each sample: points are relabelled only within their stratum (block, batch, pair).
    scale : "auto", "none", "sd" or "rank"
        "sd" divides each column by its standard deviation over all samples, "rank" takes the ranks
        of its numbers (mid-ranks, between 0 and 1); "none" compares them as they are. "auto" is
        "sd" for data frames and "none" for arrays, with a warning where the standard deviations of
        their columns differ by more than ten times: the widest columns decide then.
    rng : int, generator or None
        Where directions and relabellings come from: the same ones, and the same p-value, for every
        library. None draws fresh entropy.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    EnergyTestResult

    Raises
    ------
    TypeError
        If samples are not arrays, their libraries or devices differ, or a column holds no numbers.
    ValueError
        If there are fewer than two samples, shapes or names of columns do not fit, a sample is
        empty, a number is NaN or infinite, strata do not fit or leave nothing to relabel, the
        method is "sliced" with r != 1, distances overflow, or there are more than a million
        relabellings for "all".

    Notes
    -----
    T points, k samples, R resamples: sliced O(P T (log T + k^2 R)), no matrix; exact
    O(T^2 (d + k R)), some rows of the matrix at a time. Labels take T R bytes, for all pairs 8 k
    times as many; at most 256 MiB at once, beyond which distances are computed again. Everything
    is computed on the host in float64; for slices, points are read block by block and not copied.
    Statistics that differ by less than 1e-10 of the true one, or 1e-14 of the mean distance of
    points to their mean, count as equal.

    The level is exact for every n_resamples and P, since directions do not look at labels.

    References
    ----------
    Székely, Rizzo, "Testing for equal distributions in high dimension", InterStat 2004; "DISCO
    analysis", Annals of Applied Statistics 2010. Phipson, Smyth, "Permutation p-values should
    never be zero", 2010.
    """
    names = [f"samples[{k}]" for k in range(len(samples))]
    given = as_samples(samples, scale, names)
    samples = given.points
    pool = PooledPoints(samples, names)
    if given.columns is None and scale == "auto":
        warn_of_scales(pool)
    sizes, d = pool.sizes, pool.dimension
    exponent = check_exponent(exponent)
    chosen = check_method(method, exponent, pool.count)
    n_projections = 1 if d == 1 else check_count("n_projections", n_projections)
    blocks = check_strata(strata, sizes)
    source = as_source(rng)
    seed = int(source.host(0, 0).integers(2**31))
    sorting = chosen == "sliced" or (d == 1 and exponent == 1)
    if sorting:

        def energies_of(labels: list[Labels], report: Report) -> Doubles:
            projector = sampled_projector(n_projections, d, slicing, as_source(seed))
            return backends.sliced_permutation_energies(
                pool.blocks, labels, sizes, projector, report
            )
    else:
        points = pool.whole()

        def energies_of(labels: list[Labels], report: Report) -> Doubles:
            return backends.exact_permutation_energies(points, labels, sizes, exponent, report)

    bytes_each = 1 if sorting else 8 * len(sizes)
    whole = isinstance(n_resamples, str)
    if whole:
        check_choice("n_resamples, if it is no number,", n_resamples, ("all",))
        number = number_of_all(sizes, blocks, _MOST_OF_ALL)
        if number is None:
            raise ValueError(
                f"n_resamples must be a number (--resamples) where there are more than "
                f'{_MOST_OF_ALL} relabellings, got "all" (--all)'
            )
        count = number
        batches = all_relabellings(sizes, blocks, bytes_each)
    else:
        count = check_count("n_resamples", n_resamples) + 1
        batches = relabellings(sizes, blocks, source, count, bytes_each)
    steps = n_projections if sorting else pool.count
    counted = ((labels, sum(block.shape[1] for block in labels)) for labels in batches)
    bar = Progress(steps * count, "relabelling", progress)
    parts = in_batches(energies_of, counted, steps, bar)
    energies = np.concatenate(parts, axis=1)  # (pairs, 1 + R)
    first, second = np.triu_indices(len(sizes), 1)
    weights = sizes[first] * sizes[second] / (sizes[first] + sizes[second])
    scaled = weights @ energies
    statistics = scaled / weights.sum()
    pairwise = np.zeros((len(sizes), len(sizes)))
    pairwise[first, second] = pairwise[second, first] = energies[:, 0]
    xp, device = namespace(samples[0]), compat.device(samples[0])
    dtype = xp.result_type(*samples)

    def restored(array: Doubles) -> Array:
        with np.errstate(over="ignore"):  # beyond the range of float64 and float16 lies infinity
            values = np.asarray(array * np.float64(pool.unit) ** exponent)
            if not np.isfinite(values).all():
                raise ValueError(
                    "samples must be small enough for their distances to be finite in float64"
                )
            return xp.asarray(values, dtype=dtype, device=device)

    return EnergyTestResult(
        statistic=restored(statistics[0]),
        pvalue=pvalue(statistics, _ROUNDING * pool.mean_power(exponent)),
        null_distribution=restored(statistics if whole else statistics[1:]),
        scaled_statistic=restored(scaled[0]),
        pairwise=restored(pairwise),
        method=chosen,
        n_projections=n_projections if chosen == "sliced" else 0,
        exponent=exponent,
        samples=samples,
        columns=given.columns,
        scale=given.scale,
        enumerated=whole,
        _slicing=slicing,
        _rng=seed,
    )
