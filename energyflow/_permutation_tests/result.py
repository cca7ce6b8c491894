"""The result of a test of samples: its statistic, its p-value, and the points that drive it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from energyflow_backends import Array, namespace, to_host

from .._slices.slicing import Slicing
from .._sums.kernel_sums import kernel_sum
from ..kernels import Riesz


@dataclass(frozen=True, eq=False)
class EnergyTestResult:
    """The result of `energy_test`.

    Attributes
    ----------
    statistic : array ()
        E of two samples; of more, the mean of the pairs' E weighted by n_g n_h / (n_g + n_h). In
        the library, on the device and in the common dtype of the samples, as all arrays here.
    pvalue : float
        (1 + number of relabellings with a statistic at least as large) / (1 + n_resamples).
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
        The samples.
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
    _slicing: str | Slicing
    _rng: int

    def __repr__(self) -> str:
        how = "exact" if self.method == "exact" else f"{self.n_projections} slices"
        return (
            f"EnergyTestResult(statistic={float(self.statistic):.6g}, pvalue={self.pvalue:.6g}, "
            f"n_resamples={self.null_distribution.shape[0]}, {how})"
        )

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
        on_a_line = self.samples[0].shape[1] == 1 and self.exponent == 1
        by_pairs = self.method == "exact" and not on_a_line
        scores = []
        for g, sample in enumerate(self.samples):
            others = [other for h, other in enumerate(self.samples) if h != g]
            far, near = (
                kernel_sum(
                    sample, cloud, kernel=Riesz(self.exponent),
                    method="direct" if by_pairs else "sliced",
                    n_projections=max(self.n_projections, 1),
                    slicing=self._slicing, rng=self._rng,
                )
                for cloud in (xp.concat(others, axis=0), sample)
            )  # fmt: skip
            scores.append(near - far)  # the kernel is -|x - y|^r
        return tuple(scores)

    def save_null(self, path: str | Path) -> Path:
        """Draw the null distribution with the statistic in it.

        Parameters
        ----------
        path : path
            Of the PNG file.

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
            Of the PNG file.

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
