"""Whether samples of posteriors spread as much as they should: ranks and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from energyflow_backends import to_host
from numpy.typing import NDArray

from .._core.checks import as_numbers, check_array, check_count, check_finite
from .._core.random import as_generator
from ._points import Floats


@dataclass(frozen=True, eq=False)
class Calibration:
    """Where truths lie among samples of their posteriors.

    Attributes
    ----------
    counts : integer array (bins,)
        Rank histogram: how many numbers of the truths have a rank in each bin. Flat for samples of
        the true posteriors, a valley in the middle where they spread too little, a hill where they
        spread too much, a slope where they are biased.
    levels, coverage : arrays (k,)
        The share of the numbers within the central interval of each level, equal to the level for
        samples of the true posteriors.
    """

    counts: NDArray[np.int64]
    levels: NDArray[np.float64]
    coverage: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Mean absolute difference of coverage and level."""
        return float(np.abs(self.coverage - self.levels).mean())


def calibration(
    samples: Any,
    truths: Any,
    rng: int | np.random.Generator = 0,
    *,
    bins: int = 10,
    levels: Any = (0.1, 0.3, 0.5, 0.7, 0.9),
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
        What was observed.
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
        Shapes that do not fit, NaN or infinity, levels outside.

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
    wanted = as_numbers("levels", levels)
    if wanted.ndim != 1 or not wanted.size or not np.all((wanted > 0) & (wanted < 1)):
        raise ValueError(f"levels must lie between 0 and 1, got {levels}")
    u = _places(_host("samples", samples), _host("truths", truths), as_generator(rng))
    places = np.minimum((u * bins).astype(np.int64), bins - 1)  # u may have been rounded to 1
    counts = np.bincount(places.ravel(), minlength=bins)
    inside = np.abs(u.ravel() - 0.5)[:, None] <= wanted / 2  # (numbers, levels)
    return Calibration(counts, wanted, inside.mean(axis=0))


def _host(name: str, values: Any) -> Floats:
    check_array(name, values)
    return to_host(values)


def _places(samples: Floats, truths: Floats, rng: np.random.Generator) -> Floats:
    """The u of each number of the truths."""
    if (
        samples.ndim < 2
        or 0 in samples.shape
        or samples.shape[:1] + samples.shape[2:] != (truths.shape)
    ):
        raise ValueError(
            "samples must have shape (m, n, ...) and truths (m, ...), "
            f"got {samples.shape} and {truths.shape}"
        )
    check_finite("samples", samples)
    check_finite("truths", truths)
    below = (samples < truths[:, None]).sum(axis=1)
    equal = (samples == truths[:, None]).sum(axis=1)
    places: Floats = (below + rng.random(truths.shape) * (equal + 1)) / (samples.shape[1] + 1)
    return places
