"""Principal component analysis (PCA) with whitening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from energyflow_backends import Floats

from ..._core.checks import check_number
from ...models.data.principal_axes import principal_axes
from .affine import AffineMap


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
        """Learn from points (N, ...), 0 < share <= 1; see `principal_axes` for the cost."""
        centre, variances, axes = principal_axes(points.reshape(len(points), -1), share)
        deviations = np.sqrt(np.where(variances > 0, variances, 1.0))  # 0: all points are equal
        basis = deviations[:, None] * axes
        return cls(centre.astype(points.dtype), basis.astype(points.dtype))

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
