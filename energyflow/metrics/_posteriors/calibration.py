"""The former name of simulation-based calibration, over all parameters together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from energyflow_backends import ArrayLike, Doubles, Integers

from ..._core.checks import check_count, warn
from ..._core.random import Rng
from .sbc import LEVELS, check_levels, sbc


@dataclass(frozen=True, eq=False)
class Calibration:
    """The result of `calibration`: `SBC` has all of it, for each parameter.

    Attributes
    ----------
    counts : integer array (bins,)
        Rank histogram of all numbers.
    levels, coverage : arrays (k,)
        The share of the numbers within the central interval of each level.
    """

    counts: Integers
    levels: Doubles
    coverage: Doubles

    @property
    def error(self) -> float:
        """Mean absolute difference of coverage and level."""
        return float(np.abs(self.coverage - self.levels).mean())


def calibration(
    samples: ArrayLike,
    truths: ArrayLike,
    rng: Rng = 0,
    *,
    bins: int = 10,
    levels: Sequence[float] | Doubles = LEVELS,
) -> Calibration:
    """The former name of `sbc`, of all numbers pooled.

    Parameters
    ----------
    samples : array (m, n, ...)
        As in `sbc`.
    truths : array (m, ...)
        As in `sbc`.
    rng, bins
        As in `sbc`.
    levels : sequence of float
        As in `SBC.coverage`.

    Returns
    -------
    Calibration

    Raises
    ------
    TypeError, ValueError
        As `sbc`.

    References
    ----------
    Talts et al., "Validating Bayesian Inference Algorithms with Simulation-Based Calibration",
    2018.
    """
    warn("metrics.calibration is now metrics.sbc", DeprecationWarning)
    nominal = check_levels(levels)
    check_count("bins", bins, 2, 10_000)
    found = sbc(samples, truths, rng, bins=bins)
    pooled = found.counts.sum(axis=0), nominal, found.coverage(nominal).mean(axis=1)
    return Calibration(*pooled)
