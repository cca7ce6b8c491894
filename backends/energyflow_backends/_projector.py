"""What every projector offers: directions, their scale and padding, behind two maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from ._arrays import Array


class Blocks(Protocol):
    """P slices that come as projectors of some of them."""

    @property
    def n_projections(self) -> int:
        """Number of slices P."""

    def blocks(self, size: int) -> Iterator[Projector]:
        """Split into projectors of at most `size` slices where that can be done, in order."""

    def constant(self, exponent: float) -> float:
        """The factor c with ``|z|^r = c * mean over slices of |projected z|^r`` in expectation."""


@runtime_checkable
class Projector(Blocks, Protocol):
    """A set of P directions in R^d that projects points and projects gradients back.

    The sliced sum is ``constant(r) * mean over slices of the one-dimensional sums``, so the
    constant takes care of directions that are not unit vectors, or see part of the data only.
    """

    def project(self, x: Array) -> Array:
        """Points (..., N, d) to rows of projected numbers (..., P, N)."""

    def project_back(self, g: Array) -> Array:
        """The transposed map: rows (..., P, N) to sums over the slices (..., N, d)."""


@runtime_checkable
class DenseProjector(Projector, Protocol):
    """A projector that is a matrix, which fused kernels may read."""

    def matrix(self, like: Array) -> Array:
        """The directions (P, d) in the library, dtype and device of `like`."""


@runtime_checkable
class HadamardProjector(Projector, Protocol):
    """Rows of products of random signs and Walsh-Hadamard transforms, which fused kernels may make.

    With H the orthonormal transform of length D (a power of two) and s the signs of one product,
    its rows are ``H s[k-1] ... H s[0]`` applied to points padded with zeros to D numbers.
    """

    @property
    def d(self) -> int:
        """Dimension of the points."""

    @property
    def picked(self) -> tuple[Array, ...]:
        """The distinct rows (K,) that each product gives, K <= D; all in order where K = D."""

    def signs(self, like: Array) -> Array:
        """Signs (products, k, D), each 1 or -1, in the library, dtype and device of `like`."""
