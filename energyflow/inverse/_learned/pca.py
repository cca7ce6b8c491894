"""Principal component analysis (PCA) with whitening, by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from energyflow_backends import Floats

from ..._core.checks import check_number
from ..._core.extras import need
from .affine import AffineMap

_RELATIVE_CUTOFF = 1e-12  # of variances, in units of the largest


@dataclass(frozen=True, eq=False)
class WhitenedPCA(AffineMap):
    r"""The fewest principal components that keep a share of the variance of points, whitened.

    .. math:: z_j = \langle x - \bar x, v_j \rangle / \sqrt{\lambda_j} , \qquad
              x \approx \bar x + \sum_{j < k} z_j \sqrt{\lambda_j} \, v_j

    with the eigenvectors v and eigenvalues lambda of the covariance: each z_j has variance one.

    Attributes
    ----------
    mean : array (d,)
    basis : array (k, d)
        Rows sqrt(lambda_j) v_j.
    """

    _matrix_and_offset = "basis", "mean"
    mean: Floats
    basis: Floats

    @classmethod
    def of(cls, points: Floats, share: float) -> Self:
        """Learn from points (N, ...), 0 < share <= 1; cost O(N d^2 + d^3).

        Raises
        ------
        ModuleNotFoundError
            If scikit-learn is not installed.
        """
        need("sklearn", "PCA", "models")
        from sklearn.decomposition import PCA

        flat = points.reshape(len(points), -1).astype(np.float64)
        mean = flat.mean(axis=0)
        centred = flat - mean  # scikit-learn centres only after squaring, which costs digits
        if centred.any():
            pca = PCA(share if share < 1 else None, svd_solver="covariance_eigh").fit(centred)
            variance = pca.explained_variance_ * (1 - 1 / len(flat))  # divided by N, not N - 1
            kept = variance > _RELATIVE_CUTOFF * variance[0]
            basis = np.sqrt(variance[kept, None]) * pca.components_[kept]
        else:  # equal points: any direction will do
            basis = np.eye(1, len(mean))
        return cls(mean.astype(points.dtype), basis.astype(points.dtype))

    def reduce(self, points: Floats) -> Floats:
        """Whiten points (N, ...): their coordinates z (N, k)."""
        flat = points.reshape(len(points), -1) - self.mean
        basis = self.basis.astype(np.float64)  # in float32 the squares may vanish
        dual = basis / np.square(basis).sum(axis=1, keepdims=True)
        return np.asarray(flat @ dual.T).astype(points.dtype)

    def expand(self, z: Floats) -> Floats:
        """Points (N, d) of whitened coordinates z (N, k)."""
        return np.asarray(z @ self.basis + self.mean)


def check_share(share: Any) -> float | None:
    """The share of the variance, or None.

    Raises
    ------
    TypeError, ValueError
        If it is no number, or not above 0 and at most 1.
    """
    if share is None:
        return None
    if not 0 < check_number("components", share) <= 1:
        raise ValueError(f"components must be above 0 and at most 1, got {float(share):g}")
    return float(share)
