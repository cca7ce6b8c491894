"""TARP: expected coverage of all parameters together, by distances to random points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from energyflow_backends import ArrayLike, Doubles, Floats

from ..._core.checks import check_count, check_finite
from ..._core.random import Rng, as_generator
from .._points import host
from .pictures import Drawn, coverage_figure
from .uniformity import check_pairs, deviations, ranks, uniformity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLACES = 50


@dataclass(frozen=True, eq=False)
class TARP(Drawn):
    """The result of `tarp`: m truths.

    Attributes
    ----------
    levels : array (k,)
        Credibility levels.
    coverage : array (k,)
        The share of truths within the random regions of each level: the level, if all is right.
    low, high : arrays (k,)
        Ends of the bootstrap interval of the coverage, 95 % at each level.
    area : float
        Of coverage less level, over the levels above 1 / 2: positive where samples are too wide,
        negative where they are too narrow or biased.
    pvalue : float
        Of the test of uniform ranks, by their distribution function as in `sbc`.
    ranks : array (m,)
        The share of samples nearer to the reference point than the truth is.
    """

    levels: Doubles = field(repr=False)
    coverage: Doubles = field(repr=False)
    low: Doubles = field(repr=False)
    high: Doubles = field(repr=False)
    area: float
    pvalue: float
    ranks: Doubles = field(repr=False)

    def verdict(self, alpha: float = 0.05) -> str:
        """What is found: "no deviation found", "too wide", "too narrow or biased", and so on.

        Parameters
        ----------
        alpha : float
            Level of the test.
        """
        if self.pvalue > alpha:
            return "no deviation found"
        _, width, _, p_width = deviations(self.ranks[:, None])
        if p_width[0] > alpha:
            return "biased or of another shape"
        return "too wide" if width[0] > 1 else "too narrow or biased"

    def figure(self) -> Figure:
        """Draw the expected coverage with its bootstrap interval, as a figure.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        title = f"{self.verdict()} (p = {self.pvalue:.2g})"
        return coverage_figure(self.levels, self.coverage, self.low, self.high, title)

    def __repr__(self) -> str:
        return (
            f"TARP({len(self.ranks)} truths, area={self.area:.3g}, pvalue={self.pvalue:.3g}: "
            f"{self.verdict()})"
        )


def tarp(
    samples: ArrayLike,
    truths: ArrayLike,
    rng: Rng = 0,
    *,
    references: ArrayLike | None = None,
    n_bootstrap: int = 200,
) -> TARP:
    r"""Tests of accuracy with random points: the expected coverage of all parameters together.

    .. math:: u = \frac{\#\{|x_i - r| < |z - r|\} + v}{n + 1} , \qquad v \sim U[0, 1)

    for a truth z, its n samples x and a reference point r, with each parameter divided by the
    standard deviation of the truths. For right posteriors u is uniform, whatever r: the coverage
    of the level c is the share of u below c.

    Parameters
    ----------
    samples : array (m, n, ...)
        n independent samples of the posterior of each of m observations.
    truths : array (m, ...)
        The parameters that each observation was simulated from.
    rng : int or generator
        Draws reference points, v and bootstrap samples.
    references : array (m, ...), optional
        A reference point for each truth, drawn without looking at the truth; it may depend on the
        observation. When not given, uniform between the least and the largest truth.
    n_bootstrap : int
        Bootstrap samples of the truths, for the interval of the coverage.

    Returns
    -------
    TARP

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, there are fewer than 2 truths, or numbers are NaN or infinite.

    Notes
    -----
    Cost: O(m n d). One reference point a truth; other seeds draw others. Reference points that do
    not depend on the observation cannot tell a prior from its posteriors, and a small shift
    averages out over points on all sides: `sbc` sees it, and says which parameter deviates. Only
    this test sees relations between parameters.

    References
    ----------
    Lemos, Coogan, Hezaveh, Perreault-Levasseur, "Sampling-Based Accuracy Testing of Posterior
    Estimators for General Inference", ICML 2023.
    """
    n_bootstrap = check_count("n_bootstrap", n_bootstrap, 2, 100_000)
    generator = as_generator(rng)
    x, z = check_pairs(host("samples", samples), host("truths", truths))
    r = _references(references, z, generator)
    scale = z.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1)
    u = ranks(_distances(x, r, scale), _distances(z[:, None], r, scale)[:, 0], generator)
    levels = np.linspace(0, 1, _PLACES + 1)
    each, _ = np.histogram(u, levels)
    drawn = generator.multinomial(len(u), each / len(u), size=n_bootstrap).cumsum(axis=1) / len(u)
    low, high = np.pad(np.quantile(drawn, (0.025, 0.975), axis=0), ((0, 0), (1, 0)))
    coverage = np.pad(each.cumsum() / len(u), (1, 0))
    area = float(np.minimum(1 - u, 0.5).mean()) - 3 / 8
    pvalue = float(uniformity(u[:, None], "ecdf", 2)[0])
    return TARP(levels, coverage, low, high, area, pvalue, u)


def _references(references: ArrayLike | None, truths: Floats, rng: np.random.Generator) -> Floats:
    """The points given, or points in the box of the truths."""
    if references is None:
        low, high = truths.min(axis=0), truths.max(axis=0)
        return np.asarray(low + (high - low) * rng.random(truths.shape))
    given = host("references", references)
    if given.shape != truths.shape:
        raise ValueError(
            f"references must have the shape of truths, {truths.shape}, got {given.shape}"
        )
    check_finite("references", given)
    return given


def _distances(points: Floats, references: Floats, scale: Doubles) -> Doubles:
    """Of points (m, n, ...) to their reference (m, ...), in units of the scale (...): (m, n)."""
    pairs = zip(points, references, strict=True)
    scaled = (((one - r) / scale).reshape(len(one), -1) for one, r in pairs)
    return np.stack([np.linalg.norm(each, axis=1) for each in scaled])
