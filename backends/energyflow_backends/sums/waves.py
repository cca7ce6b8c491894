"""Sums of waves over the weighted points of a row.

With the moments Y_k = sum_j w_j exp(2 pi i k y_j), the sums of w_j cos(2 pi k (x_i - y_j)) over j
and over weighted frequencies k are sum_k weight_k Re(exp(2 pi i k x_i) conj Y_k).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from importlib.util import find_spec
from operator import add
from typing import Any

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, namespace
from .._memory import MEMORY_BUDGET
from .._typing import Doubles, Native

_LONG = 2048  # points in a row from which planning a fast transform pays
_PRECISION = 1e-12  # of fast transforms; ten digits less take a tenth less time


@dataclass(frozen=True, eq=False)
class Waves:
    """Frequencies and their weights.

    The frequencies k = centre + offset form a grid, so that their waves are products of few:
    exp(2 pi i k u) = exp(2 pi i centre u) exp(2 pi i offset u).
    """

    centres: Doubles  # (n,)
    offsets: Doubles  # (m,)
    weights: Doubles  # (n, m)

    @property
    def frequencies(self) -> Doubles:
        """All k, (n, m)."""
        return np.asarray(self.centres[:, None] + self.offsets)

    def factors(self, derivative: bool) -> NDArray[np.inexact]:
        """What the waves are multiplied by, (n, m), in f or in its derivative."""
        return self.weights * (2j * math.pi * self.frequencies if derivative else 1)


def product_sums(waves: Waves, xs: Array, ys: Array, w: Array, derivative: bool) -> Array:
    """Sums (R, N) of the waves at x_i - y_j, or of their derivatives: xs (R, N), ys and w (R, M).

    By matrix products over the grid of frequencies, some rows at a time.
    """
    step = max(1, MEMORY_BUDGET // (64 * waves.weights.size))
    parts = []
    for start in range(0, xs.shape[0], step):
        part = slice(start, min(start + step, xs.shape[0]))
        parts.append(_product_sums(waves, xs[part, :], ys[part, :], w[part, :], derivative))
    return namespace(xs).concat(parts, axis=0)


def _product_sums(waves: Waves, xs: Array, ys: Array, w: Array, derivative: bool) -> Array:
    """Of few rows, a tile of points at a time."""
    xp = namespace(xs)
    dtype = xp.complex128 if xs.dtype == xp.float64 else xp.complex64

    def tiles(rows: Array) -> list[slice]:
        numbers = 3 * rows.shape[0] * (len(waves.centres) + len(waves.offsets))
        size = max(1, MEMORY_BUDGET // (16 * numbers))
        return [slice(k, min(k + size, rows.shape[1])) for k in range(0, rows.shape[1], size)]

    def at(frequencies: Doubles, points: Array) -> Array:
        phase = _like(2 * math.pi * frequencies, points, points.dtype)[:, None] * points[:, None, :]
        return xp.astype(xp.cos(phase), dtype) + 1j * xp.astype(xp.sin(phase), dtype)

    def moments_of(tile: slice) -> Array:
        charged = at(waves.centres, ys[:, tile]) * xp.astype(w[:, None, tile], dtype)
        fine = xp.matrix_transpose(at(waves.offsets, ys[:, tile]))
        return xp.matmul(charged, fine)  # (R, n, m)

    nothing: Native = 0.0
    moments = reduce(add, map(moments_of, tiles(ys)), nothing)
    moments = xp.conj(moments) * _like(waves.factors(derivative), moments, dtype)
    parts = []
    for tile in tiles(xs):
        coarse = at(waves.centres, xs[:, tile])
        inner = xp.matmul(xp.matrix_transpose(moments), coarse)  # (R, m, T)
        parts.append(xp.sum(xp.real(at(waves.offsets, xs[:, tile]) * inner), axis=1))
    return xp.concat(parts, axis=1)


def transforms_pay(xs: Array, ys: Array) -> bool:
    """Whether rows are long enough for `transformed_sums`, and finufft is installed."""
    return xs.shape[1] + ys.shape[1] >= _LONG and find_spec("finufft") is not None


def transformed_sums(
    waves: Waves, xs: Doubles, ys: Doubles, w: Doubles, derivative: bool
) -> Doubles:
    """`product_sums` of NumPy arrays by two non-uniform fast Fourier transforms a row.

    Rows are spread over threads.
    """
    import finufft  # type: ignore[import-untyped]
    from energyflow_kernels.numba.threads import share, usable_threads

    k = 2 * math.pi * waves.frequencies.ravel()
    factors = waves.factors(derivative).ravel()
    sums = np.empty(xs.shape)
    rows = [np.ascontiguousarray(v, dtype=np.float64) for v in (xs, ys)]

    def work(thread: int, start: int, stop: int) -> None:
        for row in range(start, stop):
            conjugate = finufft.nufft1d3(
                rows[1][row], w[row].astype(np.complex128), k,
                isign=-1, eps=_PRECISION, nthreads=1,
            )  # fmt: skip
            sums[row] = finufft.nufft1d3(
                k, factors * conjugate, rows[0][row], isign=1, eps=_PRECISION, nthreads=1
            ).real

    share(work, len(sums), 1, usable_threads())
    return sums


def _like(numbers: NDArray[np.inexact], array: Array, dtype: Any) -> Array:
    """Host numbers in the library and on the device of `array`."""
    return namespace(array).asarray(numbers, dtype=dtype, device=compat.device(array))
