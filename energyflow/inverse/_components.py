"""Principal components, each in units of its own spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._core.checks import check_number
from .._core.files import load_array, replacing

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Components:
    r"""The fewest principal components that keep a share of the variance of points.

    .. math:: z_j = \langle x - \bar x, v_j \rangle / \sqrt{\lambda_j} , \qquad
              x \approx \bar x + \sum_{j < k} z_j \sqrt{\lambda_j} \, v_j

    with the eigenvectors v and eigenvalues lambda of the covariance.

    Attributes
    ----------
    mean : array (d,)
    basis : array (k, d)
        Rows sqrt(lambda_j) v_j.
    """

    mean: Floats
    basis: Floats

    @classmethod
    def of(cls, points: Floats, share: float) -> Self:
        """Learn from points (N, ...), 0 < share <= 1; cost O(N d^2 + d^3)."""
        flat = points.reshape(len(points), -1).astype(np.float64)
        mean = flat.mean(axis=0)
        centred = flat - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(flat))
        values, vectors = values[::-1], vectors[:, ::-1]
        real = int((values > 1e-12 * values[0]).sum())
        kept = np.cumsum(values[:real])
        count = min(int(np.searchsorted(kept, share * kept[-1])) + 1, real) if real else 1
        scale = np.sqrt(np.where(values[:count] > 0, values[:count], 1.0))
        basis = scale[:, None] * vectors[:, :count].T
        return cls(mean.astype(points.dtype), basis.astype(points.dtype))

    def reduce(self, points: Floats) -> Floats:
        """Coordinates z (N, k) of points (N, ...)."""
        flat = points.reshape(len(points), -1) - self.mean
        basis = self.basis.astype(np.float64)  # of float32 the squares may vanish
        dual = basis / np.square(basis).sum(axis=1, keepdims=True)
        return np.asarray(flat @ dual.T).astype(points.dtype)

    def expand(self, z: Floats) -> Floats:
        """Points (N, d) of z (N, k)."""
        return np.asarray(z @ self.basis + self.mean)

    def save(self, path: Path) -> None:
        """Write a .npz file."""
        with replacing(path) as handle:
            np.savez(handle, mean=self.mean, basis=self.basis)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            It cannot be read, or is damaged.
        """
        mean, basis = (load_array(f"{path}:{name}") for name in ("mean", "basis"))
        if basis.ndim != 2 or basis.shape[1:] != mean.shape:
            raise ValueError(
                f"{path}: expected arrays mean (d,) and basis (k, d), "
                f"got {mean.shape} and {basis.shape}"
            )
        return cls(mean, basis)


def checked_share(share: Any) -> float | None:
    """The share of the variance, or None.

    Raises
    ------
    TypeError, ValueError
        It is no number, or not above 0 and at most 1.
    """
    if share is None:
        return None
    if not 0 < check_number("components", share) <= 1:
        raise ValueError(f"components must be above 0 and at most 1, got {float(share):g}")
    return float(share)
