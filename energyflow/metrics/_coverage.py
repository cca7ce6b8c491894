"""Calibration: whether samples of posteriors have the right width, by ranks and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from energyflow_backends import Array, Doubles, Floats, Integers

from .._core.checks import as_numbers, check_count, check_finite
from .._core.random import as_generator
from ._points import host


@dataclass(frozen=True, eq=False)
class Calibration:
    """The places of truths among samples of their posteriors.

    Attributes
    ----------
    counts : integer array (bins,)
        Rank histogram: how many numbers of the truths have a rank in each bin. Flat for samples of
        the true posteriors, low in the middle where samples are too narrow, high in the middle
        where they are too wide, a slope where they are biased.
    levels, coverage : arrays (k,)
        The share of the numbers within the central interval of each level, equal to the level for
        samples of the true posteriors.
    """

    counts: Integers
    levels: Doubles
    coverage: Doubles

    @property
    def error(self) -> float:
        """Mean absolute difference of coverage and level."""
        return float(np.abs(self.coverage - self.levels).mean())


def calibration(
    samples: Array,
    truths: Array,
    rng: int | np.random.Generator = 0,
    *,
    bins: int = 10,
    levels: Sequence[float] | Doubles = (0.1, 0.3, 0.5, 0.7, 0.9),
) -> Calibration:
    r"""Rank histogram and expected coverage over pairs of a truth and samples of its posterior.

    .. math:: u = \frac{\#\{x_i < z\} + v \, (\#\{x_i = z\} + 1)}{n + 1} , \qquad v \sim U[0, 1)

    for each number z of a truth and its n samples; u is uniform on [0, 1) where samples and truth
    are drawn alike, also where there are ties. Central intervals hold u within level / 2 of 1 / 2.

    Parameters
    ----------
    samples : array (m, n, ...)
        n samples for each of m observations.
    truths : array (m, ...)
        The true values, of which there are observations.
    rng : int or numpy.random.Generator
        Draws v.
    bins : int
        Bins of the histogram, of equal width in u.
    levels : sequence of float
        Levels of the intervals, between 0 and 1.

    Returns
    -------
    Calibration

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, numbers are NaN or infinite, or levels are not between 0 and 1.

    Notes
    -----
    Numbers of one image depend on each other: over few observations the histogram is less flat
    than counts alone would have it.

    References
    ----------
    Talts et al., "Validating Bayesian Inference Algorithms with Simulation-Based Calibration",
    2018; Gneiting, Raftery, "Strictly Proper Scoring Rules", JASA 2007.
    """
    bins = check_count("bins", bins)
    nominal = as_numbers("levels", levels)
    if nominal.ndim != 1 or not nominal.size or not np.all((nominal > 0) & (nominal < 1)):
        raise ValueError(f"levels must lie between 0 and 1, got {levels}")
    u = _ranks(host("samples", samples), host("truths", truths), as_generator(rng))
    bin_of = np.minimum((u * bins).astype(np.int64), bins - 1)  # u may have been rounded to 1
    counts = np.bincount(bin_of.ravel(), minlength=bins)
    inside = np.abs(u.ravel() - 0.5)[:, None] <= nominal / 2  # (numbers, levels)
    return Calibration(counts, nominal, inside.mean(axis=0))


def _ranks(samples: Floats, truths: Floats, rng: np.random.Generator) -> Doubles:
    """The u of each number of the truths."""
    fit = samples.ndim >= 2 and samples.shape[:1] + samples.shape[2:] == truths.shape
    if not fit or 0 in samples.shape:
        raise ValueError(
            "samples must have shape (m, n, ...) and truths (m, ...), "
            f"got {samples.shape} and {truths.shape}"
        )
    check_finite("samples", samples)
    check_finite("truths", truths)
    below = (samples < truths[:, None]).sum(axis=1)
    equal = (samples == truths[:, None]).sum(axis=1)
    ranks: Doubles = (below + rng.random(truths.shape) * (equal + 1)) / (samples.shape[1] + 1)
    return ranks
