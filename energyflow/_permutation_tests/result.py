"""The result of a test of samples: its statistic, its p-value, and the points that drive it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from energyflow_backends import Array, namespace, to_host

from .._core.checks import check_count, check_number
from .._core.random import Rng, as_source
from .._slices.slicing import Slicing, SlicingName
from .._sums.kernel_sums import kernel_sum
from ..kernels import Riesz
from .effect_size import EffectSize, bootstrapped
from .pooled import PooledPoints


@dataclass(frozen=True, eq=False)
class EnergyTestResult:
    """The result of `energy_test`.

    Attributes
    ----------
    statistic : array ()
        E of two samples; of more, the mean of the pairs' E weighted by n_g n_h / (n_g + n_h). In
        the library, on the device and in the common dtype of the samples, as all arrays here.
    pvalue : float
        (1 + number of relabellings with a statistic at least as large) / (1 + n_resamples); where
        all were enumerated, their share.
    null_distribution : array (n_resamples,)
        The statistic of each relabelling.
    scaled_statistic : array ()
        Sum over pairs of n_g n_h / (n_g + n_h) E(g, h), the statistic of dcor and of R's energy.
    pairwise : array (k, k)
        E of each pair of samples.
    method : str
        "exact" or "sliced".
    n_projections : int
        Slices; 0 where the method is exact.
    exponent : float
        The power r.
    samples : tuple of arrays (n_g, d)
        The samples, after scaling.
    columns : tuple of str or None
        Names of the coordinates, where the samples were data frames.
    scale : str
        "none", "sd" or "rank": what the coordinates were divided by or became.
    enumerated : bool
        Whether the null distribution holds every relabelling once, the true one among them.
    """

    statistic: Array
    pvalue: float
    null_distribution: Array
    scaled_statistic: Array
    pairwise: Array
    method: str
    n_projections: int
    exponent: float
    samples: tuple[Array, ...]
    columns: tuple[str, ...] | None
    scale: Literal["none", "sd", "rank"]
    enumerated: bool
    _slicing: SlicingName | Slicing
    _rng: int

    def __repr__(self) -> str:
        how = "exact" if self.method == "exact" else f"{self.n_projections} slices"
        how += "" if self.scale == "none" else f", scaled by {self.scale}"
        return (
            f"EnergyTestResult(statistic={float(self.statistic):.6g}, pvalue={self.pvalue:.6g}, "
            f"n_resamples={self.null_distribution.shape[0]}, {how})"
        )

    def inhomogeneity(self) -> Array:
        r"""How large the difference of two samples is: the energy coefficient of inhomogeneity.

        .. math:: H = \frac{E(x, y)}{2 \, \mathbb{E} |x - y|^r}

        between 0, where the samples are equal, and 1, where each is a single point. It has no unit.

        Returns
        -------
        array ()
            In the library, on the device and in the dtype of the statistic.

        Raises
        ------
        ValueError
            There are more than two samples.

        Notes
        -----
        Computed by the test's method. 0 where all points are equal.

        References
        ----------
        Székely, Rizzo, "Energy statistics: A class of statistics based on distances", 2013.
        """
        if len(self.samples) != 2:
            raise ValueError(f"samples must be 2 for a coefficient, got {len(self.samples)}")
        xp = namespace(self.samples[0])
        cross = -2 * xp.mean(self._kernel_means(*self.samples))
        one = xp.ones_like(cross)
        ratio = self.statistic / xp.where(cross > 0, cross, one)
        return xp.where(cross > 0, ratio, xp.zeros_like(ratio))

    def effect_size(
        self, n_resamples: int = 999, *, confidence: float = 0.95, rng: Rng = None
    ) -> EffectSize:
        r"""How large the difference of two samples is, whatever their sizes, with an interval.

        .. math:: \frac{E_U(x, y)}{2 \, \mathbb{E} |x - y|^r} ,

        `inhomogeneity` by the U estimator, which has no bias that depends on the sizes. The
        interval lies between quantiles of bootstrap samples.

        Parameters
        ----------
        n_resamples : int
            Bootstrap samples: points of each sample, drawn with replacement.
        confidence : float
            Between 0 and 1.
        rng : int, generator or None
            Where they come from. None draws fresh entropy.

        Returns
        -------
        EffectSize

        Raises
        ------
        ValueError
            There are not two samples of two points or more, or a number is out of range.

        Notes
        -----
        Two normal samples on the line that are 0.2, 0.5 and 0.8 standard deviations apart have
        0.010, 0.058 and 0.135. Cost O(T^2 (d + R)) for T points and R bootstrap samples, whatever
        the test's method; at most 256 MiB at once. Points are drawn independently of each other,
        also where the test had strata. Near 0 the interval is wider than it needs to be.

        References
        ----------
        Székely, Rizzo, "Energy statistics: A class of statistics based on distances", 2013. Efron,
        Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
        """
        if len(self.samples) != 2:
            raise ValueError(f"samples must be 2 for a size of effect, got {len(self.samples)}")
        n_resamples = check_count("n_resamples", n_resamples)
        if not 0 < check_number("confidence", confidence) < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
        pool = PooledPoints(self.samples, ("samples[0]", "samples[1]"))
        n, m = (int(size) for size in pool.sizes)
        if min(n, m) < 2:
            raise ValueError(f"samples must hold two points each for U estimators, got {n} and {m}")
        value, resampled = bootstrapped(
            pool.whole(), (n, m), self.exponent, as_source(rng), n_resamples
        )
        tail = (1 - confidence) / 2
        low, high = (float(q) for q in np.quantile(resampled, (tail, 1 - tail)))
        return EffectSize(value, low, high, confidence)

    def scores(self) -> tuple[Array, ...]:
        r"""How much each point drives the difference: the witness function at the points.

        .. math:: s(x) = \frac{1}{T - n_g} \sum_{y \notin g} |x - y|^r
                  - \frac{1}{n_g} \sum_{y \in g} |x - y|^r

        for a point x of sample g, T points in all: positive where x lies nearer to its own sample
        than to the others. For two samples the means of both add up to E.

        Returns
        -------
        tuple of arrays (n_g,)
            One for each sample, in the samples' library and common dtype, in units of length^r.

        Notes
        -----
        Computed by the test's method: all pairs, or the same slices in O(P T log T).
        """
        xp = namespace(self.samples[0])
        scores = []
        for g, sample in enumerate(self.samples):
            others = [other for h, other in enumerate(self.samples) if h != g]
            far = self._kernel_means(sample, xp.concat(others, axis=0))
            scores.append(self._kernel_means(sample, sample) - far)
        return tuple(scores)

    def _kernel_means(self, points: Array, cloud: Array) -> Array:
        """Means of -|x - y|^r over a cloud at each point, by the test's method."""
        on_a_line = points.shape[1] == 1 and self.exponent == 1
        by_pairs = self.method == "exact" and not on_a_line
        return kernel_sum(
            points, cloud, kernel=Riesz(self.exponent),
            method="direct" if by_pairs else "sliced",
            n_projections=max(self.n_projections, 1),
            slicing=self._slicing, rng=self._rng,
        )  # fmt: skip

    def save_null(self, path: str | Path) -> Path:
        """Draw the null distribution with the statistic in it.

        Parameters
        ----------
        path : path
            Of the file, in one of matplotlib's formats: .png, .pdf, .svg and others.

        Returns
        -------
        Path

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        from .._core import pictures as _pictures

        null = to_host(self.null_distribution)
        return _pictures.save_null(Path(path), null, float(self.statistic), self.pvalue)

    def save_scores(self, path: str | Path) -> Path:
        """Draw points in the plane, coloured by their scores.

        Parameters
        ----------
        path : path
            Of the file, in one of matplotlib's formats: .png, .pdf, .svg and others.

        Returns
        -------
        Path

        Raises
        ------
        ValueError
            If the points are not in two dimensions.
        ModuleNotFoundError, OSError
            As `save_null`.
        """
        if self.samples[0].shape[1] != 2:
            raise ValueError(
                f"samples must be in 2 dimensions to be drawn, got {self.samples[0].shape[1]}"
            )
        from .._core import pictures as _pictures

        clouds = [to_host(sample) for sample in self.samples]
        return _pictures.save_scores(Path(path), clouds, [to_host(s) for s in self.scores()])
