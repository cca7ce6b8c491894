"""Normal scores of observations: numbers of any law as those of a standard normal one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from energyflow_backends import Doubles, Floats
from numpy.typing import NDArray
from scipy.special import ndtri

from ..._core.checks import check_finite
from ..._core.files import load_array, write_arrays

_MOST_KNOTS = 256  # of one number
_QUARTILES = ndtri([0.25, 0.75])
_FAR = 5.0  # interquartile ranges: a Gaussian never comes there


@dataclass(frozen=True, eq=False)
class NormalScores:
    r"""Each number of observations (n, m) by itself, through its distribution function F.

    .. math:: q \mapsto \Phi^{-1}(F(q))

    with middle ranks for equal numbers, linear between knots: counts, heavy tails and powers of ten
    come out alike. A column has light tails if all its numbers lie within 5 interquartile ranges
    (IQR) of the quartiles. Beyond what was observed, its scores go on with the slope of a Gaussian,
    1.349 / IQR; those of other columns are constant.

    Attributes
    ----------
    knots, scores : arrays (k, m)
        Increasing numbers, and what they become; the last ones may repeat.
    """

    knots: Doubles
    scores: Doubles

    @classmethod
    def of(cls, observations: Floats) -> Self:
        """Learn from observations (n, m)."""
        columns = [_knots(column) for column in observations.T.astype(np.float64)]
        longest = max(len(knots) for knots, _ in columns)
        padded = (
            np.stack([np.pad(c[k], (0, longest - len(c[k])), mode="edge") for c in columns], axis=1)
            for k in (0, 1)
        )
        return cls(*padded)

    def __call__(self, observations: Floats) -> Floats:
        """Scores (n, m) of observations (n, m)."""
        low, high, light = self._quartiles()
        slopes = np.divide(np.ptp(_QUARTILES), high - low, out=np.zeros_like(low), where=light)
        beyond = observations - np.clip(observations, self.knots[0], self.knots[-1])
        found = [
            np.interp(column, knots, scores)
            for column, knots, scores in zip(
                observations.T, self.knots.T, self.scores.T, strict=True
            )
        ]
        scored = np.stack(found, axis=1) + slopes * beyond
        return np.asarray(scored, observations.dtype)

    def features(self, observations: Floats) -> Floats:
        """Observations, with heavy tails cut, and beside them their scores: (n, 2 m).

        Linear laws stay linear, and no heavy tail outweighs what else a regression is fitted to.
        """
        low, high, light = self._quartiles()
        far = np.where(light | (high == low), np.inf, _FAR * (high - low))
        within = np.clip(observations, low - far, high + far).astype(observations.dtype)
        return np.concatenate([within, self(observations)], axis=1)

    def _quartiles(self) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
        """Lower and upper quartiles, and which columns have light tails: (m,) each."""
        quartiles = [
            np.interp(_QUARTILES, scores, knots)
            for knots, scores in zip(self.knots.T, self.scores.T, strict=True)
        ]
        low, high = np.transpose(quartiles)
        far = _FAR * (high - low)
        light = (high > low) & (self.knots[0] >= low - far) & (self.knots[-1] <= high + far)
        return low, high, light

    def save(self, path: Path) -> None:
        """Write a .npz file."""
        write_arrays(path, {"knots": self.knots, "scores": self.scores})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            If the file cannot be read, or is damaged.
        """
        knots, scores = (load_array(f"{path}:{name}") for name in ("knots", "scores"))
        if knots.ndim != 2 or 0 in knots.shape or knots.shape != scores.shape:
            raise ValueError(
                f"{path}: expected arrays knots and scores of one shape (k, m), "
                f"got {knots.shape} and {scores.shape}"
            )
        for name, array in (("knots", knots), ("scores", scores)):
            check_finite(f"{path}:{name}", array)
            if (np.diff(array, axis=0) < 0).any():
                raise ValueError(f"{path}: {name} must increase")
        return cls(knots, scores)


def _knots(column: Doubles) -> tuple[Doubles, Doubles]:
    """Some of the values of a column, the first and the last among them, and their scores."""
    values, counts = np.unique(column, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(column)
    chosen = np.linspace(0, len(values) - 1, min(len(values), _MOST_KNOTS)).round().astype(int)
    return values[chosen], ndtri(ranks[chosen])
