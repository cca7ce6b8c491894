"""Ways to make the rows of slices and to bring their slopes back to the points, on the CPU."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..typing import Floats
from .hadamard import hadamard_back, hadamard_rows
from .matrix_products import TILE_ROWS, pack_directions, project, project_back
from .rows import flat, locked
from .threads import share, usable_threads

# Points a block, and terms of a product from which waking a second thread pays.
_BLOCK_POINTS = 1 << 9
_SHARED_TERMS = 1 << 20


class Slices(Protocol):
    """Directions t_p, p = 0 to n - 1, in d dimensions.

    A part of them, as `parts` gives it, is projected on and back at once, and `copies` tells how
    many times the memory of the points its rows may take.
    """

    n: int
    d: int
    copies: int
    dtype: np.dtype[Any]

    def parts(self, size: int) -> Iterator[tuple[int, int]]:
        """Start and stop of parts of at most `size` slices, which cover them in order."""

    def project(self, points: Floats, start: int, rows: Floats, n_threads: int) -> None:
        """Fill rows (K, N) by the products of the points (N, d) with the slices from `start`."""

    def add_back(
        self, slopes: Floats, start: int, scale: float, out: Floats, n_threads: int
    ) -> None:
        """Add the slopes (K, N) times scale times the slices from `start` on to out (N, d)."""


class DenseSlices:
    """Directions (P, d), one a row, float32 or float64."""

    copies = 0

    def __init__(self, directions: Floats) -> None:
        self.n, self.d = directions.shape
        self.dtype = directions.dtype
        rays = np.zeros((self.n + TILE_ROWS, self.d), directions.dtype)  # tiles read further
        rays[: self.n] = directions
        self._flat = rays.reshape(-1)

    def parts(self, size: int) -> Iterator[tuple[int, int]]:
        """Parts of `size` slices, and the rest."""
        starts = range(0, self.n, size)
        return zip(starts, (*starts[1:], self.n), strict=True)

    def project(self, points: Floats, start: int, rows: Floats, n_threads: int) -> None:
        """Matrix products tile by tile: K N d terms."""
        (count, n), d = rows.shape, self.d
        flat_points, (flat_rows, step) = locked(points.reshape(-1)), flat(rows)

        def work(thread: int, low: int, high: int) -> None:
            project(flat_points, self._flat, start, count, d, flat_rows, step, low, high)

        _share_points(work, n, rows.size * d, n_threads)

    def add_back(
        self, slopes: Floats, start: int, scale: float, out: Floats, n_threads: int
    ) -> None:
        """Matrix products tile by tile: K N d terms."""
        (count, n), d = slopes.shape, self.d
        packed = pack_directions(self._flat, start, count, d, scale)
        (flat_slopes, step), flat_out = flat(slopes), out.reshape(-1)

        def work(thread: int, low: int, high: int) -> None:
            project_back(locked(flat_slopes), step, count, packed, d, flat_out, low, high)

        _share_points(work, n, slopes.size * d, n_threads)


class HadamardSlices:
    """Picked rows of several products of signs and Walsh-Hadamard transforms, see `hadamard_rows`.

    signs is (B, k, D), picked B times (K_b,), with points of d <= D numbers.
    """

    copies = 2

    def __init__(self, signs: Floats, picked: Sequence[NDArray[np.integer[Any]]], d: int) -> None:
        self._signs, self._picked = signs, [np.asarray(rows) for rows in picked]
        self._starts = np.cumsum([0, *(len(rows) for rows in self._picked)])
        self.n, self.d = int(self._starts[-1]), d
        self.dtype = signs.dtype

    def parts(self, size: int) -> Iterator[tuple[int, int]]:
        """Every product by itself, or in pieces, each of which transforms the points anew."""
        for low, high in zip(self._starts[:-1], self._starts[1:], strict=True):
            for start in range(low, high, size):
                yield start, min(start + size, int(high))

    def _rows(self, start: int, count: int) -> tuple[Floats, NDArray[np.integer[Any]]]:
        block = int(np.searchsorted(self._starts, start, side="right")) - 1
        first = start - self._starts[block]
        return self._signs[block], self._picked[block][first : first + count]

    def project(self, points: Floats, start: int, rows: Floats, n_threads: int) -> None:
        """Butterflies: N k D log D operations."""
        signs, picked = self._rows(start, len(rows))
        hadamard_rows(points, signs, picked, rows, n_threads=n_threads)

    def add_back(
        self, slopes: Floats, start: int, scale: float, out: Floats, n_threads: int
    ) -> None:
        """Butterflies: N k D log D operations."""
        signs, picked = self._rows(start, len(slopes))
        hadamard_back(slopes, signs, picked, out, scale=scale, n_threads=n_threads)


def project_points(points: Floats, slices: Floats | Slices, n_threads: int | None = None) -> Floats:
    """The rows (P, N) of all slices for points (N, d).

    Notes
    -----
    Every number is summed in one order, whatever other points there are.
    """
    points = np.require(points, None, ("C", "A"))
    rays = as_slices(slices)
    rows = np.empty((rays.n, len(points)), points.dtype)
    for start, stop in rays.parts(rays.n):
        rays.project(points, start, rows[start:stop], n_threads or usable_threads())
    return rows


def project_rows_back(
    rows: Floats, slices: Floats | Slices, scale: float = 1.0, n_threads: int | None = None
) -> Floats:
    """Sums (N, d) over slices of rows (P, N), times `scale`: `project_points` transposed."""
    rows = np.require(rows, None, ("C", "A"))
    rays = as_slices(slices)
    sums = np.zeros((rows.shape[1], rays.d), rows.dtype)
    for start, stop in rays.parts(rays.n):
        rays.add_back(rows[start:stop], start, scale, sums, n_threads or usable_threads())
    return sums


def as_slices(slices: Floats | Slices) -> Slices:
    """A matrix of directions (P, d), or what is made already."""
    return DenseSlices(slices) if isinstance(slices, np.ndarray) else slices


def _share_points(work: Any, n: int, terms: int, n_threads: int) -> None:
    """Blocks of whole tiles of points and of rows, for as many threads as they are worth."""
    if terms < _SHARED_TERMS:
        work(0, 0, n)
        return
    block = max(_BLOCK_POINTS, n // (8 * n_threads)) // 192 * 192
    share(work, n, block, n_threads)
