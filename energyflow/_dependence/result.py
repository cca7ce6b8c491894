"""The result of a test of independence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from energyflow_backends import Array, to_host


@dataclass(frozen=True, eq=False)
class IndependenceTestResult:
    """The result of `independence_test`.

    Attributes
    ----------
    statistic : array ()
        The squared distance covariance, or the partial one. In the library, on the device and in
        the common dtype of x and y, as the null distribution.
    pvalue : float
        (1 + number of permutations with a statistic at least as large) / (1 + n_resamples); where
        all were enumerated, their share.
    null_distribution : array (n_resamples,)
        The statistic of each permutation.
    enumerated : bool
        Whether the permutations are all there are, the identity among them.
    estimator : str
        "V" or "U".
    method : str
        "exact" or "sliced".
    n_projections : int
        Pairs of directions; 0 where the method is exact.
    exponent : float
        The power r.
    """

    statistic: Array
    pvalue: float
    null_distribution: Array
    enumerated: bool
    estimator: str
    method: str
    n_projections: int
    exponent: float

    def __repr__(self) -> str:
        how = f"{self.n_projections} slices" if self.n_projections else "exact"
        which = "all of them" if self.enumerated else "random"
        return (
            f"IndependenceTestResult(statistic={float(self.statistic):.6g}, "
            f"pvalue={self.pvalue:.6g}, {self.null_distribution.shape[0]} permutations, {which}, "
            f"{how})"
        )

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
            matplotlib is not installed.
        OSError
            The file cannot be written.
        """
        from .._core import pictures

        null = to_host(self.null_distribution)
        return pictures.save_null(Path(path), null, float(self.statistic), self.pvalue)
