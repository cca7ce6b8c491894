"""Projections by random signs and Walsh-Hadamard transforms, and their transposes, on the CPU.

Points are taken in tiles of 64: a tile stands in memory as (D, 64), flat, so that butterflies work
on contiguous numbers, several to an instruction, and it fits the second-level cache.
"""

# mypy: disable-error-code="no-untyped-def"

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..typing import Floats
from .compiler import compiled, inner
from .rows import flat, locked
from .threads import share, usable_threads

_TILE = 64  # points
_CHUNK = 64  # rows of a tile that fit the first-level cache: 16 KiB in float32
_LINE = 16  # coordinates read at once: a cache line in float32
_BLOCK_NUMBERS = 1 << 18  # some 0.6 ms of work, against microseconds to hand a block out


@inner()
def _pass_of_two(z, start, stop, h):
    """Butterflies between rows h apart."""
    span = h * _TILE
    for base in range(start * _TILE, stop * _TILE, 2 * span):
        a = z[base : base + span]
        b = z[base + span : base + 2 * span]
        for i in range(span):
            p = a[i]
            q = b[i]
            a[i] = p + q
            b[i] = p - q


@inner()
def _pass_of_four(z, start, stop, h):
    """Butterflies between rows h and then 2 h apart, in one sweep."""
    span = h * _TILE
    for base in range(start * _TILE, stop * _TILE, 4 * span):
        a = z[base : base + span]
        b = z[base + span : base + 2 * span]
        c = z[base + 2 * span : base + 3 * span]
        d = z[base + 3 * span : base + 4 * span]
        for i in range(span):
            p = a[i] + b[i]
            q = a[i] - b[i]
            r = c[i] + d[i]
            s = c[i] - d[i]
            a[i] = p + r
            b[i] = q + s
            c[i] = p - r
            d[i] = q - s


@inner()
def _first_pass(z, signs, start, stop):
    """Multiply rows by their signs, and butterflies among each four of them."""
    for j in range(start, stop, 4):
        a = z[j * _TILE : (j + 1) * _TILE]
        b = z[(j + 1) * _TILE : (j + 2) * _TILE]
        c = z[(j + 2) * _TILE : (j + 3) * _TILE]
        d = z[(j + 3) * _TILE : (j + 4) * _TILE]
        on_a = signs[j]
        on_b = signs[j + 1]
        on_c = signs[j + 2]
        on_d = signs[j + 3]
        for i in range(_TILE):
            p = on_a * a[i] + on_b * b[i]
            q = on_a * a[i] - on_b * b[i]
            r = on_c * c[i] + on_d * d[i]
            s = on_c * c[i] - on_d * d[i]
            a[i] = p + r
            b[i] = q + s
            c[i] = p - r
            d[i] = q - s


@inner()
def _transform(z, signs):
    """Signs and an unscaled transform of a tile: short strides chunk by chunk, then long ones."""
    length = signs.size
    chunk = min(length, _CHUNK)
    for start in range(0, length, chunk):
        _first_pass(z, signs, start, start + chunk)
        h = 4
        while 4 * h <= chunk:
            _pass_of_four(z, start, start + chunk, h)
            h *= 4
        if h < chunk:
            _pass_of_two(z, start, start + chunk, h)
    h = chunk
    while 4 * h <= length:
        _pass_of_four(z, 0, length, h)
        h *= 4
    if h < length:
        _pass_of_two(z, 0, length, h)


@compiled()
def _make_rows(x, signs, scale, picked, out, out_step, z, start, stop):
    """Rows of the points start to stop; z is scratch for one tile."""
    d = x.shape[1]
    rounds = signs.shape[0]
    for left in range(start, stop, _TILE):
        size = min(_TILE, stop - left)
        for first in range(0, d, _LINE):
            for j in range(first, min(first + _LINE, d)):
                for i in range(size):
                    z[j * _TILE + i] = x[left + i, j] * scale
        z[d * _TILE :] = 0
        for k in range(rounds):
            _transform(z, signs[k])
        for p in range(picked.size):
            row = z[picked[p] * _TILE : (picked[p] + 1) * _TILE]
            here = out[p * out_step + left : p * out_step + left + size]
            for i in range(size):
                here[i] = row[i]


@compiled()
def _add_back(g, g_step, signs, scale, picked, out, z, start, stop):
    """Add the transposed map of the rows to the points start to stop; z is scratch."""
    d = out.shape[1]
    rounds, length = signs.shape
    ones = np.ones(length, signs.dtype)
    for left in range(start, stop, _TILE):
        size = min(_TILE, stop - left)
        if picked.size < length:
            z[:] = 0
        for p in range(picked.size):
            row = z[picked[p] * _TILE : (picked[p] + 1) * _TILE]
            here = g[p * g_step + left : p * g_step + left + size]
            for i in range(size):
                row[i] = here[i]
        _transform(z, ones)
        for k in range(rounds - 1, 0, -1):
            _transform(z, signs[k])
        for first in range(0, d, _LINE):
            for j in range(first, min(first + _LINE, d)):
                factor = signs[0, j] * scale
                for i in range(size):
                    out[left + i, j] += z[j * _TILE + i] * factor


def hadamard_rows(
    x: Floats,
    signs: Floats,
    picked: NDArray[np.integer[Any]] | None,
    out: Floats,
    *,
    n_threads: int | None = None,
) -> None:
    r"""Project points on rows of a product of signs and Walsh-Hadamard transforms.

    out = (H S_k ... H S_1 [x, 0])[picked], with H orthonormal of length D.

    Parameters
    ----------
    x : array (N, d)
        Points, d <= D, float32 or float64.
    signs : array (k, D)
        Each 1 or -1, in the dtype of x; D is a power of two, at least 4.
    picked : array (K,), optional
        Distinct rows wanted, each below D; all D in order when not given.
    out : array (K, N)
        Rows in the dtype of x, with any step between them; overwritten.
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Raises
    ------
    TypeError
        If dtypes differ, or are neither float32 nor float64.
    ValueError
        If shapes do not fit, or rows of `out` are not contiguous.

    Notes
    -----
    Time N D k log D, scratch of 64 D numbers a thread.  Equal points get equal numbers, and the
    results are the same bits for every number of threads.

    References
    ----------
    N. Ailon and B. Chazelle, The fast Johnson-Lindenstrauss transform and approximate nearest
    neighbors, SIAM J. Comput. 39 (2009).
    """
    x, signs, rows, scale = _checked(x, signs, picked, out)
    flat_out, step = flat(out)

    def work(z: Floats, start: int, stop: int) -> None:
        _make_rows(x, signs, scale, rows, flat_out, step, z, start, stop)

    _share(work, len(x), signs, n_threads)


def hadamard_back(
    g: Floats,
    signs: Floats,
    picked: NDArray[np.integer[Any]] | None,
    out: Floats,
    *,
    scale: float = 1.0,
    n_threads: int | None = None,
) -> None:
    r"""Add the transposed map of `hadamard_rows`, times scale.

    out^T += scale ([I 0] S_1 H ... S_k H)[:, picked] g

    Parameters
    ----------
    g : array (K, N)
        Rows, float32 or float64, with any step between them.
    signs, picked
        As for `hadamard_rows`.
    out : array (N, d)
        Sums, d <= D, in the dtype of g, contiguous; the result is added to them.
    scale : float
        Factor of what is added.
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Raises
    ------
    TypeError, ValueError
        As `hadamard_rows`.

    Notes
    -----
    Time and scratch as for `hadamard_rows`.
    """
    if not out.flags.c_contiguous:
        raise ValueError("out: expected a contiguous array (N, d)")
    _, signs, rows, unit = _checked(out, signs, picked, g)
    factor = out.dtype.type(unit * scale)
    flat_g, step = flat(g)

    def work(z: Floats, start: int, stop: int) -> None:
        _add_back(flat_g, step, signs, factor, rows, out, z, start, stop)

    _share(work, len(out), signs, n_threads)


def _share(
    work: Callable[[Floats, int, int], None], n: int, signs: Floats, n_threads: int | None
) -> None:
    """Hand out whole tiles of points, with scratch for every thread."""
    length = signs.shape[1]
    block = _TILE * max(1, _BLOCK_NUMBERS // (_TILE * length))
    n_threads = min(usable_threads() if n_threads is None else n_threads, -(-n // block))
    tiles = [np.zeros(_TILE * length, signs.dtype) for _ in range(max(1, n_threads))]
    share(lambda thread, start, stop: work(tiles[thread], start, stop), n, block, len(tiles))


def _checked(
    points: Floats, signs: Floats, picked: NDArray[np.integer[Any]] | None, rows: Floats
) -> tuple[Floats, Floats, NDArray[np.int64], Any]:
    """Contiguous points, signs and picked rows, and the scale; raise where they do not fit."""
    dtypes = {points.dtype, signs.dtype, rows.dtype}
    if len(dtypes) > 1 or points.dtype not in (np.float32, np.float64):
        raise TypeError(f"expected arrays of float32 or of float64, got {sorted(map(str, dtypes))}")
    if points.ndim != 2 or rows.ndim != 2 or signs.ndim != 2 or 0 in signs.shape:
        raise ValueError(
            "expected points (N, d), signs (k, D) and rows (K, N), "
            f"got {points.shape}, {signs.shape} and {rows.shape}"
        )
    rounds, length = signs.shape
    if length < 4 or length & (length - 1) or points.shape[1] > length:
        raise ValueError(
            f"signs: expected a power of two of columns, at least 4 and {points.shape[1]}, "
            f"got {length}"
        )
    # a copy: nobody may change after the check what will be an index
    wanted = np.arange(length) if picked is None else np.array(picked, np.int64)
    if wanted.ndim != 1 or (wanted.size and not 0 <= wanted.min() <= wanted.max() < length):
        raise ValueError(f"picked: expected rows (K,) from 0 to {length - 1}")
    if rows.shape != (wanted.size, len(points)):
        raise ValueError(f"rows: expected shape {(wanted.size, len(points))}, got {rows.shape}")
    scale = points.dtype.type(float(length) ** (-rounds / 2))
    points, signs = (locked(np.ascontiguousarray(array)) for array in (points, signs))
    return points, signs, wanted, scale
