"""Linear operators: matrices, diagonals, and masks for inpainting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from energyflow_backends import Array, Floats, library_of, namespace
from numpy.typing import NDArray

from .._core.checks import as_numbers, check_finite
from ._base import A, Operator, Shape
from ._kinds import register

_RELATIVE_CUTOFF = 1e-6  # of singular values, in units of the largest


@register("operator")
class Linear(Operator):
    r"""A matrix, or a diagonal: y = A x for vectors x in R^d.

    Parameters
    ----------
    matrix : array (m, d) or (d,)
        A, or its diagonal.

    Raises
    ------
    TypeError, ValueError
        If `matrix` has not one or two dimensions of finite real numbers.

    Notes
    -----
    `lift` is the pseudoinverse, which amplifies noise in weak directions; singular values below
    1e-6 times the largest count as zero.
    """

    name = "linear"

    def __init__(self, matrix: Any) -> None:
        self.matrix = as_numbers("matrix", matrix)
        if self.matrix.ndim not in (1, 2) or 0 in self.matrix.shape:
            raise ValueError(
                f"matrix must have shape (m, d), or (d,) for a diagonal, got {self.matrix.shape}"
            )
        check_finite("matrix", self.matrix)
        self._inverse = _pseudoinverse(self.matrix)

    def check_image(self, image: Shape) -> str | None:
        """Vectors of the number of columns."""
        return _check_vector(image, self.matrix.shape[-1])

    def check_observation(self, observation: Shape) -> str | None:
        """Vectors of the number of rows."""
        return _check_vector(observation, self.matrix.shape[0])

    def adjoint(self, observations: Array) -> Array:
        """A^T y for each of the observations (n, m): vectors (n, d)."""
        observations = self._checked("observations", observations, self.check_observation)
        return _product(self.matrix.T, observations)

    def forward(self, images: Array) -> Array:
        """A x for each x."""
        return _product(self.matrix, images)

    def to_images(self, observations: Array) -> Array:
        """The pseudoinverse, applied to each observation."""
        return _product(self._inverse, observations)


@register("operator")
class Mask(Operator):
    """Inpainting: pixels that are not observed are zero.

    Parameters
    ----------
    seen : array of bool
        Of the image's shape, or of its last dimensions (H, W) for all channels.

    Raises
    ------
    TypeError, ValueError
        If `seen` holds other values than zeros and ones, or no one.
    """

    name = "mask"

    def __init__(self, seen: Any) -> None:
        self.seen = as_numbers("seen", seen)
        if self.seen.ndim == 0 or not np.isin(self.seen, (0, 1)).all():
            raise ValueError("seen must be an array of zeros and ones")
        self.seen = self.seen.astype(bool)
        if not self.seen.any():
            raise ValueError("seen must hold a one: nothing is seen")

    @classmethod
    def rows(cls, shape: Sequence[int], first: int, last: int) -> Mask:
        """Observe the rows first, ..., last - 1 of images whose shape ends in (H, W)."""
        seen = np.zeros(tuple(shape)[-2:], dtype=bool)
        seen[first:last] = True
        return cls(seen)

    def check_image(self, image: Shape) -> str | None:
        """Shapes that end in that of the mask."""
        size = self.seen.shape
        return None if image[-len(size) :] == size else f"shapes that end in {size}"

    def check_observation(self, observation: Shape) -> str | None:
        """The same as images."""
        return self.check_image(observation)

    def adjoint(self, observations: Array) -> Array:
        """The operator itself, on observations (n, *image)."""
        return self(observations)

    def restricted(self, observations: A) -> A:
        """What is observed, without noise at the other pixels."""
        return cast(A, self.forward(observations))

    def forward(self, images: Array) -> Array:
        """Zeros at the pixels that are not seen."""
        return images * like(self.seen, images)

    def to_images(self, observations: Array) -> Array:
        """What is seen, zeros elsewhere."""
        return self.forward(observations)


def like(array: NDArray[Any], other: Array) -> Array:
    """A NumPy array in the library, on the device and in the dtype of another array."""
    if library_of(other) == "numpy":
        return array.astype(other.dtype, copy=False)
    xp = namespace(other)
    return xp.astype(xp.asarray(array.copy(), device=other.device), other.dtype)


def _product(matrix: Floats, vectors: Array) -> Array:
    """A x for each x of vectors (n, d); A is a matrix or a diagonal."""
    factor = like(matrix.T, vectors)
    return vectors * factor if matrix.ndim == 1 else vectors @ factor


def _pseudoinverse(matrix: Floats) -> Floats:
    """Of a matrix, or the diagonal of that of a diagonal."""
    with np.errstate(over="ignore", invalid="ignore"):
        if matrix.ndim == 2:
            inverse: Floats = np.linalg.pinv(matrix, rcond=_RELATIVE_CUTOFF)
        else:
            large = np.abs(matrix) > _RELATIVE_CUTOFF * np.abs(matrix).max()
            inverse = np.where(large, 1 / np.where(large, matrix, 1), 0)
    if not np.isfinite(inverse).all():
        raise ValueError("matrix must have a pseudoinverse within the range of float64")
    return inverse


def _check_vector(vector: Shape, length: int) -> str | None:
    return None if vector == (length,) else f"shape (n, {length})"
