"""Ridge regression of images on observations: a linear first guess that data teach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .._core.checks import check_array, check_finite
from .._core.files import load_array, replacing

Floats = NDArray[np.floating]
_FOLDS = 5
_RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_LARGEST = 4096  # numbers of a condition, whose square is factorised


@dataclass(frozen=True, eq=False)
class Regression:
    r"""The linear map of conditions q to points p with the least error on pairs it has not seen.

    .. math:: g(q) = \bar p + W (q - \bar q) , \qquad
              W = S_{pq} \big( S_{qq} + \lambda \, \tfrac{\mathrm{tr} S_{qq}}{n} I \big)^{-1}

    with the covariances S of conditions of n numbers; lambda is the power of ten from 1e-5 to 1
    that is best across five folds.

    Attributes
    ----------
    matrix : array (n, d)
        W, transposed.
    offset : array (d,)
        g(0).
    """

    matrix: Floats
    offset: Floats

    @classmethod
    def fit(cls, points: Floats, conditions: Floats) -> tuple[Self, Floats]:
        """Learn from pairs; give the regression, and what each point is beyond it.

        Parameters
        ----------
        points : array (N, *image)
            p, at least two.
        conditions : array (N, ...)
            q, of at most 4096 numbers each.

        Returns
        -------
        Regression
            The mean of those of the folds.
        array (N, *image)
            p - g(q), where the g of each fold has not seen the fold: as large as for new pairs.

        Raises
        ------
        TypeError, ValueError
            Not finite floating numbers, too few pairs or too many numbers.

        Notes
        -----
        Cost O((N + n) n (n + d)). With N not well above n the regression has little to go by.
        """
        for name, array in (("points", points), ("conditions", conditions)):
            check_array(name, array)
            check_finite(name, array)
        p, q = (np.reshape(v, (len(v), -1)).astype(np.float64) for v in (points, conditions))
        if len(p) != len(q) or len(p) < 2:
            raise ValueError(f"regression needs pairs, at least 2, got {len(p)} and {len(q)}")
        if q.shape[1] > _LARGEST:
            raise ValueError(
                f"regression takes conditions of at most {_LARGEST} numbers, got {q.shape[1]}"
            )
        folds = np.arange(len(p)) % min(_FOLDS, len(p))
        factors = [_Fold(p[folds != k], q[folds != k]) for k in range(folds.max() + 1)]

        def beyond(ridge: float) -> Floats:
            away = np.empty_like(p)
            for k, factor in enumerate(factors):
                here = folds == k
                matrix, offset = factor.solve(ridge)
                away[here] = p[here] - q[here] @ matrix - offset
            return away

        errors = {ridge: float(np.square(beyond(ridge)).mean()) for ridge in _RIDGES}
        best = min(errors, key=errors.__getitem__)
        solved = [factor.solve(best) for factor in factors]
        dtype = points.dtype
        matrix, offset = (np.mean(part, axis=0).astype(dtype) for part in zip(*solved, strict=True))
        return cls(matrix, offset), beyond(best).astype(dtype).reshape(points.shape)

    def __call__(self, conditions: Floats) -> Floats:
        """g(q) for conditions (N, ...), as rows (N, d)."""
        flat = np.reshape(conditions, (len(conditions), -1))
        return np.asarray(flat @ self.matrix + self.offset)

    def save(self, path: Path) -> None:
        """Write a .npz file."""
        with replacing(path) as handle:
            np.savez(handle, matrix=self.matrix, offset=self.offset)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            It cannot be read, or is damaged.
        """
        matrix, offset = (load_array(f"{path}:{name}") for name in ("matrix", "offset"))
        if matrix.ndim != 2 or matrix.shape[1:] != offset.shape:
            raise ValueError(
                f"{path}: expected arrays matrix (n, d) and offset (d,), "
                f"got {matrix.shape} and {offset.shape}"
            )
        return cls(matrix, offset)


class _Fold:
    """What all ridges share: means, and covariances by their eigenvectors."""

    def __init__(self, p: Floats, q: Floats) -> None:
        self.mean_p, self.mean_q = p.mean(axis=0), q.mean(axis=0)
        centred = q - self.mean_q
        values, self.vectors = np.linalg.eigh(centred.T @ centred)
        self.values = np.maximum(values, 0)
        self.joint = self.vectors.T @ (centred.T @ (p - self.mean_p))  # (n, d)

    def solve(self, ridge: float) -> tuple[Floats, Floats]:
        """W transposed, and g(0)."""
        more = ridge * self.values.mean() or 1.0
        matrix = self.vectors @ (self.joint / (self.values + more)[:, None])
        return matrix, self.mean_p - self.mean_q @ matrix
