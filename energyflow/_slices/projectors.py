"""Projectors: directions with their scale, as maps from points to rows of numbers and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, Matrix, library_of, namespace

from .constants import constant_of

_SMALL = 3  # up to this dimension, products are summed one coordinate at a time


@dataclass(frozen=True, eq=False)
class DenseProjector:
    """Unit directions as the rows of a matrix (P, d).

    Up to three dimensions the products are summed coordinate by coordinate, which keeps equal
    points exactly equal; matrix products may round equal points differently.
    """

    directions: Array

    @property
    def n_projections(self) -> int:
        """Number of slices P."""
        return int(self.directions.shape[0])

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What it holds, which may be traced."""
        return (self.directions,)

    def blocks(self, size: int) -> Iterator[DenseProjector]:
        """Slices in order, at most `size` at a time."""
        count = int(self.directions.shape[0])
        if count <= size:
            return iter((self,))
        return (
            DenseProjector(self.directions[start : min(start + size, count), :])
            for start in range(0, count, size)
        )

    def project(self, x: Array) -> Array:
        """Points (..., N, d) to rows (..., P, N)."""
        xp, theta = namespace(x), self.matrix(x)
        columns = xp.matrix_transpose(x)  # (..., d, N)
        if theta.shape[1] > _SMALL:
            return xp.matmul(theta, columns)
        rows = theta[:, :1] * columns[..., :1, :]
        for k in range(1, theta.shape[1]):
            rows = rows + theta[:, k : k + 1] * columns[..., k : k + 1, :]
        return rows

    def project_back(self, g: Array) -> Array:
        """Rows (..., P, N) to sums over the slices (..., N, d)."""
        xp, theta = namespace(g), self.matrix(g)
        if theta.shape[1] > _SMALL:
            return xp.matmul(xp.matrix_transpose(g), theta)
        sums = [xp.sum(g * theta[:, k : k + 1], axis=-2) for k in range(theta.shape[1])]
        return xp.stack(sums, axis=-1)

    def constant(self, exponent: float) -> float:
        """c(d, r) of unit directions."""
        return constant_of(int(self.directions.shape[1]), exponent)

    def matrix(self, like: Array) -> Array:
        """The directions (P, d) in the library, dtype and device of `like`."""
        return moved(self.directions, like)

    def structure(self, like: Array) -> Matrix:
        """The matrix, for fused kernels."""
        return Matrix(moved(self.directions, like))


def moved(array: Array, like: Array) -> Array:
    """Floating numbers in the library, dtype and device of `like`."""
    if type(array) is type(like) is np.ndarray:
        return array if array.dtype == like.dtype else array.astype(like.dtype)
    xp, device = namespace(like), compat.device(like)
    if library_of(array) == library_of(like):
        return xp.astype(compat.to_device(array, device), like.dtype, copy=False)
    return xp.asarray(np.asarray(array), dtype=like.dtype, device=device)


def moved_index(index: Array, like: Array) -> Array:
    """Whole numbers in the library and on the device of `like`."""
    if library_of(index) == library_of(like):
        own: Array = compat.to_device(index, compat.device(like))
        return own
    return namespace(like).asarray(np.asarray(index), device=compat.device(like))
