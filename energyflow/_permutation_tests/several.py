"""P-values from relabellings: of one statistic, and of the largest of several."""

from __future__ import annotations

import numpy as np
from energyflow_backends import Doubles

_TIE = 1e-10  # of the statistic, below which a difference is one of rounding


def pvalue(statistics: Doubles, rounding: float = 0.0, *, observed: float | None = None) -> float:
    """The share of statistics (1 + R,) that are at least as large as one, up to rounding.

    That one is the first, unless another is given as `observed`.
    """
    one = statistics[0] if observed is None else observed
    least = one - _TIE * abs(one) - rounding
    return float(np.mean(statistics >= least))


def standardised(statistics: Doubles, rounding: Doubles) -> Doubles:
    """Statistics (B, 1 + R) less their means over relabellings, divided by standard deviations.

    Those that vary by no more than `rounding` (B,) become 0. The largest of B is a statistic of
    its own: all relabellings, the first among them, have been treated alike.
    """
    deviations = statistics.std(axis=1)
    scale = np.where(deviations > rounding, deviations, np.inf)
    values: Doubles = (statistics - statistics.mean(axis=1, keepdims=True)) / scale[:, None]
    return values
