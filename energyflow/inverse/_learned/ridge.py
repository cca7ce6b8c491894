"""Cross-fitted ridge regression of images on observations: a linear first guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from energyflow_backends import Doubles, Floats
from numpy.typing import NDArray

from ..._core.checks import check_array, check_finite
from .affine import AffineMap

_FOLDS = 5
_RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
LARGEST = 4096  # numbers of a condition, whose square is factorised


@dataclass(frozen=True, eq=False)
class CrossFittedRidge(AffineMap):
    r"""Ridge regression of points p on conditions q, fitted and applied to different folds.

    .. math:: g(q) = \bar p + W (q - \bar q) , \qquad
              W = S_{pq} \big( S_{qq} + \lambda \, \tfrac{\mathrm{tr} S_{qq}}{n} I \big)^{-1}

    with the covariances S of conditions of n numbers; lambda is the power of ten from 1e-5 to 1
    with the least error in cross-validation with five folds: one for all pixels of images, one for
    each number of vectors. Numbers of conditions that are vectors or series are first divided by
    their standard deviations: units do not matter.

    Attributes
    ----------
    matrix : array (n, d)
        W, transposed.
    offset : array (d,)
        g(0).
    """

    _matrix_and_offset = "matrix", "offset"
    matrix: Floats
    offset: Floats

    @classmethod
    def fit(cls, points: Floats, conditions: Floats) -> tuple[Self, Floats]:
        """Learn from pairs; return the regression and the residuals.

        Parameters
        ----------
        points : array (N, *image)
            p, at least two.
        conditions : array (N, ...)
            q, of at most 4096 numbers each.

        Returns
        -------
        CrossFittedRidge
            The mean of those of the folds.
        array (N, *image)
            Residuals p - g(q), where the g of each fold is fitted to the other folds: they are as
            large as for new pairs.

        Raises
        ------
        TypeError, ValueError
            If numbers are not floating and finite, pairs are too few or conditions too long.

        Notes
        -----
        Cost O((N + n) n (n + d)). With N not well above n the regression is close to the mean.
        """
        for name, array in (("points", points), ("conditions", conditions)):
            check_array(name, array)
            check_finite(name, array)
        p, q = (np.reshape(v, (len(v), -1)).astype(np.float64) for v in (points, conditions))
        if len(p) != len(q) or len(p) < 2:
            raise ValueError(f"regression needs pairs, at least 2, got {len(p)} and {len(q)}")
        if q.shape[1] > LARGEST:
            raise ValueError(
                f"regression takes conditions of at most {LARGEST} numbers, got {q.shape[1]}"
            )
        # float32 would lose what is small beside the means
        dtype = points.dtype if np.ndim(conditions) > 3 else np.dtype(np.float64)
        shift, scale = _units(q, by_column=np.ndim(conditions) < 4)
        q = (q - shift) / scale
        varies = np.ptp(q, axis=0) > 0  # what is constant, such as corners, tells nothing
        q, n = q[:, varies], q.shape[1]
        fold_of = np.arange(len(p)) % min(_FOLDS, len(p))
        folds = [_Fold(p, q, fold_of == k, n) for k in range(fold_of.max() + 1)]
        errors = np.stack([np.square(_residuals(p, folds, r)).mean(axis=0) for r in _RIDGES])
        if points.ndim > 2:
            errors = np.broadcast_to(errors.mean(axis=1, keepdims=True), errors.shape)
        best = errors.argmin(axis=0)  # (d,)
        matrix, offset, left = (
            np.zeros((n, p.shape[1])),
            np.empty(p.shape[1]),
            np.empty_like(p),
        )
        for k in np.unique(best):
            columns = best == k
            left[:, columns] = _residuals(p, folds, _RIDGES[k])[:, columns]
            solved = zip(*(fold.solve(_RIDGES[k]) for fold in folds), strict=True)
            of_all, offset_of_all = (np.mean(part, axis=0) for part in solved)
            matrix[np.ix_(varies, columns)] = of_all[:, columns]
            offset[columns] = offset_of_all[columns]
        matrix = matrix / scale[:, None]
        found = cls(matrix.astype(dtype), (offset - shift @ matrix).astype(dtype))
        return found, left.astype(points.dtype).reshape(points.shape)

    def __call__(self, conditions: Floats) -> Floats:
        """g(q) for conditions (N, ...), as rows (N, d)."""
        flat = np.reshape(conditions, (len(conditions), -1))
        return np.asarray(flat @ self.matrix + self.offset)

    def rescaled(self, factor: Doubles) -> Self:
        """For points in units that are larger by a factor (d,)."""
        return type(self)(self.matrix / factor, self.offset / factor)


def _residuals(p: Doubles, folds: list[_Fold], ridge: float) -> Doubles:
    """Points less the regression of the folds that they are not in: (N, d)."""
    left = np.empty_like(p)
    for fold in folds:
        left[fold.held_out] = p[fold.held_out] - fold.mean_p - fold.seen @ fold.weights(ridge)
    return left


def _units(q: Doubles, by_column: bool) -> tuple[Doubles, Doubles]:
    """What numbers of conditions (N, n) are moved and divided by."""
    if not by_column:
        return np.zeros(q.shape[1]), np.ones(q.shape[1])
    width = np.ptp(q, axis=0)
    width = np.where(width > 0, width, 1.0)  # whose squares may overflow, or vanish
    scale = width * (q / width).std(axis=0)
    return q.mean(axis=0), np.where(scale > 0, scale, 1.0)


def _eigenvectors(q: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues (k,) and eigenvectors (n, k) of q^T q, for rows (N, n); k = min(n, N).

    Where rows are fewer, by those of q q^T; the others are zero.
    """
    if len(q) >= q.shape[1]:
        values, vectors = np.linalg.eigh(q.T @ q)
        return np.maximum(values, 0), vectors
    values, rows = np.linalg.eigh(q @ q.T)
    values = np.maximum(values, 0)
    least = np.finfo(float).eps * values.max()
    return values, q.T @ (rows / np.sqrt(np.maximum(values, least)) if least else rows)


class _Fold:
    """Means and covariances of the pairs outside a fold, by eigenvectors, for all ridges.

    n : numbers of a condition, of which q has those that vary.
    """

    def __init__(self, p: Doubles, q: Doubles, held_out: NDArray[np.bool_], n: int) -> None:
        self.held_out, self.n, apart = held_out, n, q[held_out]
        p, q = p[~held_out], q[~held_out]
        self.mean_p, self.mean_q = p.mean(axis=0), q.mean(axis=0)
        centred = q - self.mean_q
        self.values, self.vectors = _eigenvectors(centred)
        self.joint = self.vectors.T @ (centred.T @ (p - self.mean_p))  # (n, d)
        self.seen = (apart - self.mean_q) @ self.vectors  # conditions that are held out

    def weights(self, ridge: float) -> Doubles:
        """W transposed, for coordinates along the eigenvectors."""
        more = ridge * self.values.sum() / self.n or 1.0
        return np.asarray(self.joint / (self.values + more)[:, None])

    def solve(self, ridge: float) -> tuple[Doubles, Doubles]:
        """W transposed, and g(0)."""
        matrix = self.vectors @ self.weights(ridge)
        return matrix, self.mean_p - self.mean_q @ matrix
