"""How large the difference of two samples is, with an interval by the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import energyflow_backends as backends
import numpy as np
from energyflow_backends import Doubles

from .._core.random import Source

_HELD = 2**28  # bytes of weights held at once


@dataclass(frozen=True)
class EffectSize:
    """How large the difference of two samples is, without a unit.

    Attributes
    ----------
    value : float
        Energy coefficient of inhomogeneity by the U estimator: at most 1, and about 0, of either
        sign, for samples of one distribution.
    low, high : float
        Ends of the interval.
    confidence : float
        The probability with which such intervals hold the distributions' coefficient.
    """

    value: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.confidence:.0%}: {self.low:.4g} to {self.high:.4g})"


def bootstrapped(
    points: Doubles, sizes: tuple[int, int], exponent: float, source: Source, count: int
) -> tuple[float, Doubles]:
    """The coefficient of pooled points (T, d), and `count` of bootstrap samples of them.

    Both samples are drawn with replacement. Pairs of one point drawn twice have no distance, so
    that means within a bootstrap sample of n points are (1 - 1 / n) times too small; those of the
    U estimator, again. Dividing by both keeps the bootstrap around the coefficient itself.
    """
    n, m = sizes
    all_pairs = np.zeros((n + m, 2, 1))
    all_pairs[:n, 0], all_pairs[n:, 1] = 1 / n, 1 / m
    apart = np.array([1 - 1 / n, 1 - 1 / m])
    value = float(_coefficients(points, all_pairs, exponent, apart)[0])
    at_once = max(1, _HELD // (16 * (n + m)))
    parts = []
    for block, start in enumerate(range(0, count, at_once)):
        rng = source.host(block, 0)
        width = min(at_once, count - start)
        weights = np.zeros((n + m, 2, width))
        weights[:n, 0] = rng.multinomial(n, np.full(n, 1 / n), width).T / n
        weights[n:, 1] = rng.multinomial(m, np.full(m, 1 / m), width).T / m
        parts.append(_coefficients(points, weights, exponent, apart**2))
    return value, np.concatenate(parts)


def _coefficients(points: Doubles, weights: Doubles, exponent: float, apart: Doubles) -> Doubles:
    """1 - (mean distance within) / (mean distance between), 0 where all points are equal."""
    sums = backends.exact_distance_sums(points, weights, exponent)
    between = 2 * sums[0, 1]
    within = sums[0, 0] / apart[0] + sums[1, 1] / apart[1]
    positive = between > 0
    coefficients: Doubles = np.where(positive, 1 - within / np.where(positive, between, 1.0), 0.0)
    return coefficients
