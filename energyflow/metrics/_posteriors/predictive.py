"""Posterior predictive check: whether an observation looks like those of posterior samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from energyflow_backends import ArrayLike, Doubles, Floats

from ..._core.checks import check_flag, warn
from .._points import as_points, distance_blocks, host
from .names import as_names

_NAMED = 3  # numbers outside that a verdict names


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """The result of `posterior_predictive`: k numbers of the observation, n simulated ones.

    Attributes
    ----------
    names : tuple of str
        The numbers of the observation.
    pvalues : array (k,)
        Of each number, two-sided, corrected for their number (Westfall and Young).
    above : array (k,)
        Where each number of the observation lies: its distance from the mean of the simulated
        ones, in their standard deviations.
    distance_pvalue : float
        Of the energy distance of the observation from the simulated ones.
    shift_pvalue : float
        Of the mean of `above`, two-sided.
    distance : float
        The observation's mean distance to the simulated ones over the median of their own to each
        other.
    n_simulated : int
        Simulated observations.
    """

    names: tuple[str, ...] = field(repr=False)
    pvalues: Doubles = field(repr=False)
    above: Doubles = field(repr=False)
    distance_pvalue: float
    shift_pvalue: float
    distance: float
    n_simulated: int

    def verdict(self, alpha: float = 0.05) -> str:
        """What is found of the simulated ones: "no deviation found", "shifted up", and so on.

        Parameters
        ----------
        alpha : float
            Level of all tests together: of the mean, of the distance, and of the single numbers.
        """
        words = []
        if self.shift_pvalue <= alpha / 3:
            words.append(f"shifted {'down' if self.above.mean() > 0 else 'up'}")
        if self.distance_pvalue <= alpha / 3:
            if self.distance < 1:
                words.append("too wide")
            elif not words:
                words.append("too narrow or of another shape")
        out = [name for name, p in zip(self.names, self.pvalues, strict=True) if p <= alpha / 3]
        if out:
            more = f" and {len(out) - _NAMED} more" if len(out) > _NAMED else ""
            words.append(f"outside: {', '.join(out[:_NAMED])}{more}")
        if not words and 6 / (self.n_simulated + 1) > alpha:
            return "too few simulated observations to tell"
        return " and ".join(words) or "no deviation found"

    def outside(self, alpha: float = 0.05) -> tuple[str, ...]:
        """The names of the numbers of the observation that lie outside the simulated ones.

        Parameters
        ----------
        alpha : float
            Level of the tests of all numbers together. Where there are fewer than 1 / alpha - 1
            simulated observations, nothing can be found, and a warning says so.
        """
        if 1 / (self.n_simulated + 1) > alpha:
            warn(
                f"{self.n_simulated} simulated observations are too few to find a number outside "
                f"at the level {alpha:g}: simulate {ceil(1 / alpha) - 1} or more"
            )
        return tuple(self.names[k] for k in np.flatnonzero(self.pvalues <= alpha))

    def __repr__(self) -> str:
        return (
            f"PredictiveCheck({self.n_simulated} simulated, distance_pvalue="
            f"{self.distance_pvalue:.3g}, shift_pvalue={self.shift_pvalue:.3g}, "
            f"{(self.pvalues <= 0.05).sum()} of {len(self.names)} numbers outside: "
            f"{self.verdict()})"
        )


def posterior_predictive(
    simulated: ArrayLike,
    observation: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    held_out: bool = False,
) -> PredictiveCheck:
    r"""Posterior predictive check: an observation among those simulated from posterior samples.

    .. math:: p_j = \frac{1}{n + 1} \# \left\{i : \max_l |z_{il}| \ge |z_j| \right\}

    for each number j of the observation, with z the numbers of all n + 1 observations in their
    standard deviations from their means. The maximum is over the numbers l that lie no further out
    than j, and p-values grow from the number that lies furthest out on. Of the energy distance
    that each of the n + 1 has from the others p is the share of distances at least as large as the
    observation's, and of the mean of the z twice the lesser of the shares on either side.

    Parameters
    ----------
    simulated : array (n, ...)
        An observation of each sample of the posterior, with fresh noise.
    observation : array (...)
        The observation that the posterior is of; or other numbers computed from both alike.
    names : sequence of str, optional
        Of its numbers; their places, from "0", when not given.
    held_out : bool
        Whether the posterior has not seen the observation: a second one of the same truth. Then the
        test of the distance has two sides, and also finds samples that are too wide.

    Returns
    -------
    PredictiveCheck

    Raises
    ------
    TypeError, ValueError
        If shapes or names do not fit, there are fewer than 2 simulated observations, or numbers
        are NaN or infinite.

    Notes
    -----
    Cost: O(n^2 k). The least p-value is 1 / (n + 1), of the mean 2 / (n + 1): take n = 120 or more,
    whatever k is. Ties count as further out: p-values are too large there, never too small. A
    number with heavy tails hides others: give its logarithm or rank. An observation that the
    posterior has seen lies nearer to the simulated ones than a fresh one: there p-values are too
    large as well, and only a held-out observation can show that samples are too wide.

    References
    ----------
    Gelman, Meng, Stern, "Posterior predictive assessment of model fitness via realized
    discrepancies", Statistica Sinica 1996. Székely, Rizzo, "Energy statistics: A class of
    statistics based on distances", 2013. Westfall, Young, "Resampling-Based Multiple Testing",
    1993 (step-down maxima).
    """
    held_out = check_flag("held_out", held_out)
    points = _together(host("simulated", simulated), host("observation", observation))
    labels = as_names(names, points.shape[1])
    points = (points - points.mean(axis=0)) / _scale(points)  # the observation is the last
    blocks = distance_blocks(points, points)
    far = np.concatenate([np.asarray(block).sum(axis=1) for _, block in blocks])
    distance_pvalue = float(_two_sided(far)) if held_out else float((far >= far[-1]).mean())
    above = (points[-1] - points[:-1].mean(axis=0)) / _scale(points[:-1])
    return PredictiveCheck(
        labels, _step_down(points), above, distance_pvalue,
        float(_two_sided(points.mean(axis=1))), float(far[-1] / (np.median(far[:-1]) or 1.0)),
        len(points) - 1,
    )  # fmt: skip


def _together(simulated: Floats, observation: Floats) -> Doubles:
    """Simulated observations and, last, the true one, (n + 1, k)."""
    if simulated.ndim < 1 or simulated.shape[1:] != observation.shape or 0 in simulated.shape:
        raise ValueError(
            "simulated must have shape (n, ...) and observation (...), "
            f"got {simulated.shape} and {observation.shape}"
        )
    if len(simulated) < 2:
        raise ValueError("simulated must hold at least 2 observations, got 1")
    parts = {"simulated": simulated, "observation": observation[None]}
    flat = [as_points(name, part.reshape(len(part), -1)) for name, part in parts.items()]
    return np.concatenate([np.asarray(rows, np.float64) for rows in flat])


def _scale(points: Doubles) -> Doubles:
    """Standard deviations of the columns, 1 where there is none."""
    spread = points.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _step_down(points: Doubles) -> Doubles:
    """P-values (k,) of the columns of the last of n + 1 exchangeable rows of mean zero."""
    far = np.abs(points)
    order = np.argsort(-far[-1], kind="stable")
    furthest = np.maximum.accumulate(far[:, order[::-1]], axis=1)[:, ::-1]  # of those left, a row
    pvalues = np.empty(len(order))
    pvalues[order] = np.maximum.accumulate((furthest >= furthest[-1]).mean(axis=0))
    return pvalues


def _two_sided(values: Doubles) -> Doubles:
    """P-values of the last of n + 1 exchangeable values, along the first axis."""
    count = len(values)
    sides = np.minimum((values <= values[-1]).sum(axis=0), (values >= values[-1]).sum(axis=0))
    return np.asarray(np.minimum(1, 2 * sides / count))
