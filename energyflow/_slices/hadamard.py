"""Directions from random signs and Walsh-Hadamard transforms, without a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce
from itertools import accumulate, pairwise
from operator import add
from typing import ClassVar

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, HadamardProducts, namespace
from numpy.typing import NDArray

from .._core.checks import check_count
from .._core.random import Source
from .constants import constant_of
from .projectors import moved, moved_index
from .slicing import Slicing

_FACTOR = 64  # transforms of at most this length are matrix products
_MIN_LENGTH = 64  # the bias falls with the length
_LONG = 1024  # from where two rounds are uniform enough


@dataclass(frozen=True)
class HadamardSlicing(Slicing):
    r"""Rows of products of random signs and Walsh-Hadamard transforms.

    .. math:: \Theta = H S_k \cdots H S_1

    with H the orthonormal Walsh-Hadamard matrix of length D, the least power of two that is at
    least d and 64, and S diagonal matrices of independent random signs. Points are padded with
    zeros to D numbers; every D directions have fresh signs, and fewer than D are distinct random
    rows of one such product.

    Parameters
    ----------
    rounds : int, optional
        The number k of signs and transforms; three below D = 1024 and two from there on when not
        given.

    Raises
    ------
    TypeError, ValueError
        If `rounds` is not a positive integer.

    Notes
    -----
    Projecting N points on P directions costs O(N P k log D) and stores no matrix; in chunks of
    fewer than D slices, every chunk costs what D slices cost.

    The directions are orthogonal in R^D, but only nearly uniform. Measured on differences along
    one or two coordinates, the worst case, lengths (r = 1) are wrong in the mean by 25% for one
    round, by 1.0% at D = 64 and 0.3% or less from D = 128 on for two, and by 0.3% or less for
    three. Powers with small exponents see more of it: for r = 0.5, two rounds are wrong by 4.1% at
    D = 64, 2.2% at 128 and 0.6% at 1024, three by 0.8% at 64 and 0.3% from 128 on; for r = 0.1 the
    default is wrong by 3.7% at D = 64, 0.9% at 256 and 2.5% at 1024. Differences along many
    coordinates are right to 0.3%.

    Padded rows are not unit vectors of R^d. A uniform direction of R^D has the same products with
    padded points as its first d coordinates have with the points, and padding changes no norm: the
    constant c(D, r) would be exact for it, and is exact for these rows but for their bias.

    References
    ----------
    Ailon, Chazelle, "The fast Johnson-Lindenstrauss transform and approximate nearest neighbors",
    SIAM J. Comput. 2009.
    Choromanski, Rowland, Weller, "The unreasonable effectiveness of structured random orthogonal
    embeddings", NeurIPS 2017.
    """

    rounds: int | None = None
    unbiased: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.rounds is not None:
            check_count("rounds", self.rounds)

    @property
    def name(self) -> str:  # type: ignore[override]
        """Its name, with the rounds where they were chosen."""
        return "hadamard" if self.rounds is None else f"hadamard, {self.rounds} rounds"

    def projector(self, n: int, d: int, source: Source, step: int = 0) -> HadamardProjector:
        """Draw signs, and rows for the last block."""
        length = padded_length(d)
        rounds = self.rounds or (3 if length < _LONG else 2)
        blocks = []
        for block, start in enumerate(range(0, n, length)):
            normal = source.normal(step, block, (rounds + 1, length))
            xp = namespace(normal)
            count = min(length, n - start)
            order = xp.argsort(normal[rounds, :]) if count < length else _all(normal, length)
            signs = xp.where(normal[:rounds, :] < 0, -1.0, 1.0)
            blocks.append(Rows(signs, order, count))
        return HadamardProjector(d, tuple(blocks))


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of one product: its signs, all D rows in some order, and how many are meant.

    Where all rows are meant, they are in their own order.
    """

    signs: Array  # (rounds, D)
    order: Array  # (D,)
    count: int

    @property
    def length(self) -> int:
        """D."""
        return int(self.signs.shape[1])

    def project(self, x: Array) -> Array:
        """Points (..., N, d) to rows (..., count, N)."""
        xp = namespace(x)
        spare = self.length - x.shape[-1]
        if spare:
            zeros = xp.zeros((*x.shape[:-1], spare), dtype=x.dtype, device=compat.device(x))
            x = xp.concat([x, zeros], axis=-1)
        signs = moved(self.signs, x)
        for k in range(signs.shape[0]):
            x = transform(x * signs[k, :])
        if self.count < self.length:
            x = xp.take(x, moved_index(self.order[: self.count], x), axis=-1)
        return xp.matrix_transpose(x)

    def project_back(self, g: Array, d: int) -> Array:
        """Rows (..., count, N) to sums (..., N, d)."""
        xp = namespace(g)
        g = xp.matrix_transpose(g)
        if self.count < self.length:
            own = namespace(self.order)
            place = own.clip(own.argsort(self.order), 0, self.count)  # count: nowhere
            none = xp.zeros_like(g[..., :1])
            g = xp.take(xp.concat([g, none], axis=-1), moved_index(place, g), axis=-1)
        signs = moved(self.signs, g)
        for k in reversed(range(signs.shape[0])):
            g = transform(g) * signs[k, :]
        return g[..., :d]

    def split(self, size: int) -> Iterator[Rows]:
        """Pieces of at most `size` rows."""
        if size >= self.count:
            yield self
            return
        xp = namespace(self.order)
        for start in range(0, self.count, size):
            stop = min(start + size, self.count)
            parts = self.order[start:stop], self.order[:start], self.order[stop:]
            yield Rows(self.signs, xp.concat(parts), stop - start)


@dataclass(frozen=True, eq=False)
class HadamardProjector:
    """Rows of several products, each with its own signs."""

    d: int
    parts: tuple[Rows, ...]

    @property
    def n_projections(self) -> int:
        """Number of slices P."""
        return sum(part.count for part in self.parts)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What it holds, which may be traced."""
        return tuple(part.signs for part in self.parts)

    def structure(self, like: Array) -> HadamardProducts:
        """The signs (products, rounds, D) and the rows of each product, for fused kernels."""
        signs = namespace(like).stack([moved(part.signs, like) for part in self.parts])
        picked = tuple(part.order[: part.count] for part in self.parts)
        return HadamardProducts(self.d, signs, picked)

    def blocks(self, size: int) -> Iterator[HadamardProjector]:
        """At most `size` slices at a time; every piece of a product transforms all points anew."""
        waiting: list[Rows] = []
        for part in self.parts:
            for piece in part.split(size):
                if waiting and sum(w.count for w in waiting) + piece.count > size:
                    yield HadamardProjector(self.d, tuple(waiting))
                    waiting = []
                waiting.append(piece)
        yield HadamardProjector(self.d, tuple(waiting))

    def project(self, x: Array) -> Array:
        """Points (..., N, d) to rows (..., P, N)."""
        rows = [part.project(x) for part in self.parts]
        return rows[0] if len(rows) == 1 else namespace(x).concat(rows, axis=-2)

    def project_back(self, g: Array) -> Array:
        """Rows (..., P, N) to sums over the slices (..., N, d)."""
        edges = accumulate((part.count for part in self.parts), initial=0)
        parts = zip(self.parts, pairwise(edges), strict=True)
        return reduce(add, (part.project_back(g[..., i:j, :], self.d) for part, (i, j) in parts))

    def constant(self, exponent: float) -> float:
        """c(D, r): that of uniform directions of the padded space."""
        return constant_of(self.parts[0].length, exponent)


def padded_length(d: int) -> int:
    """D, the least power of two that serves points in R^d."""
    return max(_MIN_LENGTH, 1 << (d - 1).bit_length())


def transform(x: Array) -> Array:
    """Orthonormal Walsh-Hadamard transform along the last axis, whose length is a power of two.

    H of length K L is the Kronecker product of H of length K and of length L: the numbers are seen
    as a K by L matrix, whose rows and then columns are transformed, each by one matrix product.
    """
    xp, length = namespace(x), x.shape[-1]
    if length <= _FACTOR:
        h = moved(_matrix(length), x)
        return xp.reshape(xp.matmul(xp.reshape(x, (-1, length)), h), x.shape)
    short = 1 << (length.bit_length() // 2)
    rows = transform(xp.reshape(x, (*x.shape[:-1], length // short, short)))
    columns = transform(xp.matrix_transpose(rows))
    return xp.reshape(xp.matrix_transpose(columns), x.shape)


@cache
def _matrix(length: int) -> NDArray[np.float64]:
    """The symmetric orthonormal matrix, by doubling."""
    h: NDArray[np.float64] = np.ones((1, 1))
    while len(h) < length:
        h = np.block([[h, h], [h, -h]])
    h /= length**0.5
    return h


def _all(like: Array, length: int) -> Array:
    return namespace(like).arange(length, device=compat.device(like))
