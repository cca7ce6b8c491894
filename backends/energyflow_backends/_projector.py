"""What a projector is: P slices as maps from points to rows of numbers, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

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

    A projector may have two more members, which `structure_of` and `arrays_of` ask for:

    - ``structure(like)``: how its rows are made, for fused kernels that make them themselves, with
      arrays in the library, dtype and device of `like`.
    - ``arrays``: the arrays that it holds, which may be traced.
    """

    def project(self, x: Array) -> Array:
        """Points (..., N, d) to rows of projected numbers (..., P, N)."""

    def project_back(self, g: Array) -> Array:
        """The transposed map: rows (..., P, N) to sums over the slices (..., N, d)."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Rows are products of the points with a matrix."""

    directions: Array  # (P, d)


@dataclass(frozen=True, eq=False)
class HadamardProducts:
    """Rows of products of random signs and Walsh-Hadamard transforms.

    With H the orthonormal transform of length D (a power of two) and s the signs of one product,
    its rows are ``H s[k-1] ... H s[0]`` applied to points padded with zeros to D numbers.
    """

    d: int  # dimension of the points
    signs: Array  # (products, k, D), each 1 or -1
    picked: tuple[Array, ...]  # the distinct rows (K,) of each product; all in order where K = D


Structure: TypeAlias = Matrix | HadamardProducts


def structure_of(projector: Blocks, like: Array) -> Structure | None:
    """How the rows of a projector are made, in arrays like `like`; None where it does not say."""
    structure = getattr(projector, "structure", None)
    made: Structure | None = None if structure is None else structure(like)
    return made


def arrays_of(projector: Blocks | None) -> tuple[Array, ...]:
    """The arrays that a projector holds, which may be traced."""
    arrays: tuple[Array, ...] = getattr(projector, "arrays", ())
    return arrays
