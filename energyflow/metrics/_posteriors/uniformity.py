"""Whether ranks are uniform: p-values, the band of their distribution function, and deviations."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from energyflow_backends import Doubles, Floats, Integers

from ..._core.checks import check_choice, check_finite

TESTS = ("ecdf", "ks", "chi2")
_PLACES = 100  # at most, where the empirical distribution function is looked at
_SIMULATED = 9999
_SEED = 20190811


def ranks(samples: Floats, truths: Floats, rng: np.random.Generator) -> Doubles:
    r"""The place of each number of the truths (m, ...) among its samples (m, n, ...), in (0, 1).

    .. math:: u = \frac{\#\{x_i < z\} + v \, (\#\{x_i = z\} + 1)}{n + 1} , \qquad v \sim U(0, 1)

    Uniform where samples and truth are drawn alike, also where there are ties.
    """
    below = (samples < truths[:, None]).sum(axis=1)
    equal = (samples == truths[:, None]).sum(axis=1)
    u: Doubles = (below + rng.random(truths.shape) * (equal + 1)) / (samples.shape[1] + 1)
    return u.clip(2.0**-53, 1 - 2.0**-53)


def check_pairs(samples: Floats, truths: Floats, fewest: int = 2) -> tuple[Floats, Floats]:
    """Samples (m, n, ...) and at least so many truths (m, ...), finite."""
    fit = samples.ndim >= 2 and samples.shape[:1] + samples.shape[2:] == truths.shape
    if not fit or 0 in samples.shape:
        raise ValueError(
            "samples must have shape (m, n, ...) and truths (m, ...), "
            f"got {samples.shape} and {truths.shape}"
        )
    if len(truths) < fewest:
        raise ValueError(f"truths must be at least {fewest}, with samples each, got {len(truths)}")
    check_finite("samples", samples)
    check_finite("truths", truths)
    return samples, truths


def counts(u: Doubles, bins: int) -> Integers:
    """How many of the ranks (m, d) of each column are in each of the bins, (d, bins)."""
    edges = np.linspace(0, 1, bins + 1)
    return np.stack([np.histogram(column, edges)[0] for column in u.T])


def holm(pvalues: Doubles) -> Doubles:
    """P-values (d,), corrected for their number (Holm, 1979)."""
    d = len(pvalues)
    order = np.argsort(pvalues, kind="stable")
    corrected = np.empty(d)
    corrected[order] = np.maximum.accumulate(pvalues[order] * (d - np.arange(d)))
    return np.minimum(corrected, 1)


def uniformity(u: Doubles, test: str, bins: int) -> Doubles:
    """P-values (d,) of the columns of ranks (m, d), each by itself."""
    from scipy import stats

    if check_choice("test", test, TESTS) == "ks":
        return np.array([stats.kstest(column, "uniform").pvalue for column in u.T])
    if test == "chi2":
        return np.asarray(stats.chisquare(counts(u, bins), axis=1).pvalue)
    m = len(u)
    null = _null(m)
    observed = _least_tail(counts(u, len(places(m)) + 1).cumsum(axis=1)[:, :-1], m)
    return (1 + np.searchsorted(null, observed, side="right")) / (1 + len(null))


def places(m: int) -> Doubles:
    """Where the distribution function of m ranks is looked at, evenly within (0, 1)."""
    number = min(m, _PLACES)
    return np.arange(1, number + 1) / (number + 1)


def band(m: int, level: float = 0.95) -> tuple[Doubles, Doubles]:
    """Ends of the band that holds the distribution function of m uniform ranks at all `places`.

    A column leaves it where its p-value of the test "ecdf" is at most 1 - level.
    """
    from scipy.stats import binom

    null = _null(m)
    rank = int((1 - level) * (1 + len(null))) - 1
    critical = null[max(rank - 1, 0)] / 2
    low = binom.ppf(critical * (1 + 1e-9), m, places(m))
    return low / m, binom.isf(critical * (1 + 1e-9), m, places(m)) / m


@lru_cache(8)
def _null(m: int) -> Doubles:
    """Sorted statistics of m uniform ranks."""
    rng = np.random.default_rng(_SEED)
    cells = len(places(m)) + 1
    drawn = rng.multinomial(m, np.full(cells, 1 / cells), size=_SIMULATED)
    return np.sort(_least_tail(drawn.cumsum(axis=1)[:, :-1], m))


def _least_tail(below: Integers, m: int) -> Doubles:
    """The least two-sided binomial p-value of the counts (..., places) of ranks below places."""
    from scipy.special import bdtr

    at = places(m)
    few = below <= m * at
    tail = bdtr(np.where(few, below, m - below), m, np.where(few, at, 1 - at))
    return np.asarray(2 * tail.min(axis=-1))


def deviations(u: Doubles) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Shift (d,) and relative width (d,) of the samples behind ranks (m, d), and their p-values.

    Normal scores of uniform ranks are standard normal. Of samples N(a, s^2) of a posterior N(0, 1)
    they have the mean -a / s and the standard deviation 1 / s.
    """
    from scipy.special import ndtri
    from scipy.stats import chi2, norm

    scores = ndtri(u)
    m, spread = len(u), scores.std(axis=0, ddof=1)
    shift = -scores.mean(axis=0)
    below = chi2.cdf((m - 1) * spread**2, m - 1)
    p_width = 2 * np.minimum(below, 1 - below)
    return shift, 1 / spread, 2 * norm.sf(abs(shift) * np.sqrt(m)), p_width
