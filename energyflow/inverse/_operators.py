"""Forward operators: from images to what is seen of them, and back to the image grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from energyflow_backends import Array, library_of, namespace

from .._core.checks import as_numbers, check_array, check_finite, shape

if TYPE_CHECKING:
    from ._noise import Noise
    from ._problem import Problem


_LEAST = 1e-6  # of the singular values that count, in units of the largest


class Operator(ABC):
    """A map from images to clean observations; `operator + noise` is a `Problem`.

    Images are arrays (n, *image): NumPy arrays, or torch tensors where the operator is a product
    with matrices. Numbers keep their library, device and dtype.

    Notes
    -----
    A subclass gives its `name`, `settings`, and two hooks, which are called with checked arrays:
    ``_apply(images)`` makes the observations (n, *observation) of a call, and
    ``_lift(observations)`` the first guess (n, *image) of `lift`. `check_image`,
    `check_observation` and `restricted` are there to be overridden.
    """

    name: str

    def __call__(self, images: Array) -> Array:
        """Clean observations (n, *observation) of images (n, *image)."""
        self._check("images", images, self.check_image)
        with np.errstate(over="ignore", invalid="ignore"):
            observed = self._apply(images)
        xp = namespace(observed)
        if not bool(xp.all(xp.isfinite(observed))):
            raise ValueError("images must be small enough for their observations to be finite")
        return observed

    def lift(self, observations: Array) -> Array:
        """The natural first guess: observations (n, *observation) on the image grid."""
        self._check("observations", observations, self.check_observation)
        return self._lift(observations)

    def __add__(self, noise: Noise) -> Problem:
        from ._problem import Problem

        return Problem(self, noise)

    def restricted(self, observations: Array) -> Array:
        """Observations (n, *observation) with zeros where nothing is ever seen."""
        return observations

    def check_image(self, found: tuple[int, ...]) -> str | None:
        """What is wrong with images of this shape, if anything."""
        return None

    def check_observation(self, found: tuple[int, ...]) -> str | None:
        """What is wrong with observations of this shape, if anything."""
        return None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The arguments that make an equal operator, as JSON and TOML can hold them."""

    @abstractmethod
    def _apply(self, images: Array) -> Array:
        """Clean observations (n, *observation) of checked images (n, *image)."""

    @abstractmethod
    def _lift(self, observations: Array) -> Array:
        """The first guess (n, *image) for checked observations (n, *observation)."""

    def _check(self, name: str, array: Any, what_is_wrong: Any) -> None:
        check_array(name, array)
        if array.ndim < 2 or 0 in array.shape:
            raise ValueError(f"{name} must have shape (n, ...) and not be empty, got {array.shape}")
        problem = what_is_wrong(shape(array)[1:])
        if problem is not None:
            raise ValueError(f"{name} must have {problem}, got {shape(array)[1:]}")
        check_finite(name, array)


class Linear(Operator):
    r"""A matrix, or a diagonal: y = A x for vectors x in R^d.

    Parameters
    ----------
    matrix : array (m, d) or (d,)
        A, or its diagonal.

    Raises
    ------
    TypeError, ValueError
        Not one or two dimensions of finite real numbers.

    Notes
    -----
    `lift` is the pseudoinverse, by which noise in weak directions is amplified; singular values
    below 1e-6 times the largest count as zero.
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

    def check_image(self, found: tuple[int, ...]) -> str | None:
        """Vectors of the number of columns."""
        return _expected(found, (self.matrix.shape[-1],))

    def check_observation(self, found: tuple[int, ...]) -> str | None:
        """Vectors of the number of rows."""
        return _expected(found, (self.matrix.shape[0],))

    def settings(self) -> dict[str, Any]:
        """The matrix."""
        return {"matrix": self.matrix.tolist()}

    def adjoint(self, observations: Array) -> Array:
        """A^T y for each of the observations (n, m): vectors (n, d)."""
        self._check("observations", observations, self.check_observation)
        return _product(self.matrix.T, observations)

    def _apply(self, images: Array) -> Array:
        return _product(self.matrix, images)

    def _lift(self, observations: Array) -> Array:
        return _product(self._inverse, observations)


class Mask(Operator):
    """Inpainting: pixels that are not seen are zero.

    Parameters
    ----------
    seen : array of bool
        Of the image's shape, or of its last dimensions (H, W) for all channels.

    Raises
    ------
    TypeError, ValueError
        Not zeros and ones, or nothing seen.
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
        """See the rows first, ..., last - 1 of images whose shape ends in (H, W)."""
        seen = np.zeros(tuple(shape)[-2:], dtype=bool)
        seen[first:last] = True
        return cls(seen)

    def check_image(self, found: tuple[int, ...]) -> str | None:
        """Shapes that end in that of the mask."""
        size = self.seen.shape
        return None if found[-len(size) :] == size else f"shapes that end in {size}"

    def check_observation(self, found: tuple[int, ...]) -> str | None:
        """The same as images."""
        return self.check_image(found)

    def settings(self) -> dict[str, Any]:
        """The mask, as zeros and ones."""
        return {"seen": self.seen.astype(int).tolist()}

    def adjoint(self, observations: Array) -> Array:
        """The operator itself, on observations (n, *image)."""
        return self(observations)

    def restricted(self, observations: Array) -> Array:
        """What is seen, without noise where nothing is."""
        return self._apply(observations)

    def _apply(self, images: Array) -> Array:
        return images * like(self.seen, images)

    def _lift(self, observations: Array) -> Array:
        return self._apply(observations)


def _product(matrix: np.ndarray[Any, Any], vectors: Array) -> Array:
    """A x for each x of vectors (n, d); A is a matrix or a diagonal."""
    factor = like(matrix.T, vectors)
    return vectors * factor if matrix.ndim == 1 else vectors @ factor


def _pseudoinverse(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of a matrix, or the diagonal of that of a diagonal."""
    with np.errstate(over="ignore", invalid="ignore"):
        if matrix.ndim == 2:
            inverse = np.linalg.pinv(matrix, rcond=_LEAST)
        else:
            large = np.abs(matrix) > _LEAST * np.abs(matrix).max()
            inverse = np.where(large, 1 / np.where(large, matrix, 1), 0)
    if not np.isfinite(inverse).all():
        raise ValueError("matrix must have a pseudoinverse within the range of float64")
    return inverse


def like(array: np.ndarray[Any, Any], other: Array) -> Array:
    """A NumPy array in the library, on the device and in the dtype of another."""
    if library_of(other) == "numpy":
        return array.astype(other.dtype, copy=False)
    xp = namespace(other)
    return xp.astype(xp.asarray(array.copy(), device=other.device), other.dtype)


def _expected(found: tuple[int, ...], size: tuple[int, ...]) -> str | None:
    return None if found == size else f"shape (n, {size[0]})"
