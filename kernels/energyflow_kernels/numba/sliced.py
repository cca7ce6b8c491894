"""The sliced energy distance and its gradient in one fused call, on the CPU."""

from collections.abc import Collection

import numpy as np

from ..typing import Doubles, Floats
from .matrix_products import extremes
from .rows import (
    MEMORY,
    Side,
    check,
    contiguous,
    flat,
    flat_weights,
    locked,
    make_scratch,
    scratch_bytes,
    solve,
    solving_threads,
)
from .slices import Slices, as_slices
from .threads import share, usable_threads

_CHUNK = 24 << 20
_EXTENT_BLOCK = 1 << 16


def sliced_energy(
    x: Floats,
    y: Floats,
    slices: Floats | Slices,
    a: Floats | None = None,
    b: Floats | None = None,
    *,
    unbiased: bool = False,
    wrt: Collection[str] = ("x",),
    scale: float = 1.0,
    n_threads: int | None = None,
) -> tuple[Doubles, Floats | None, Floats | None]:
    r"""Energy distance of every slice, and the slices' gradients projected back and summed.

    values_p = E(<x, t_p>, <y, t_p>),  gx_i = scale sum_p dE / d<x_i, t_p> t_p, with E as in
    `energy_rows`.

    Parameters
    ----------
    x, y : arrays (N, d) and (M, d)
        Points, both float32 or both float64.
    slices : array (P, d) or Slices
        Directions t, one a row, in the dtype of the points; or how to project on them and back.
    a, b : arrays (N,) and (M,), optional
        Weights, non-negative and of sum one; uniform when not given.
    unbiased : bool
        The U estimator in place of the V estimator.
    wrt : collection of str
        Which gradients are wanted, of "x" and "y".
    scale : float
        Factor of the gradients, alone.
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    values : array (P,)
        float64.
    gx, gy : arrays (N, d) and (M, d), or None
        Gradients in the dtype of the points; None where not wanted.

    Raises
    ------
    TypeError
        If dtypes differ, or are neither float32 nor float64.
    ValueError
        If shapes do not fit, a set is empty, or has one point with the U estimator.

    Notes
    -----
    Time P (N + M) (d + some fifty operations); memory beside the output at most 64 MiB plus
    a copy of the directions, where points are many 16 numbers a point plus an eighth of the
    points; for slices that are no matrix, plus twice the points.  Slices go through in parts
    whose rows stay within that, and lie in the threads' scratch where they would not; the
    gradients replace the rows.  Every number is summed in one order: the results are the same
    bits for every number of threads, and equal points have equal projections.
    """
    shape = slices.shape if isinstance(slices, np.ndarray) else (slices.n, slices.d)
    fits = len(shape) == 2 and min(shape) >= 1
    if not fits or x.ndim != 2 or y.ndim != 2 or not x.shape[1] == y.shape[1] == shape[1]:
        raise ValueError(
            f"x, y, slices: expected (N, d), (M, d) and (P, d), got {x.shape}, {y.shape}, {shape}"
        )
    if slices.dtype != x.dtype:
        raise TypeError(f"slices: expected {x.dtype} like x, got {slices.dtype}")
    check(x, y, len(x), len(y), unbiased, wrt)
    x, y = contiguous(x), contiguous(y)
    n_x, n_y = len(x), len(y)
    rays = as_slices(slices)
    weights = flat_weights(a, (1, n_x)), flat_weights(b, (1, n_y))
    values = np.empty(rays.n)
    gx = np.zeros(x.shape, x.dtype) if "x" in wrt else None
    gy = np.zeros(y.shape, y.dtype) if "y" in wrt else None

    size = n_x + n_y, x.dtype, unbiased or a is not None or b is not None
    threads = usable_threads() if n_threads is None else n_threads
    n_solving = min(solving_threads(threads, *size), rays.n)
    scratch, rows = make_scratch(n_solving, *size)
    points = x.nbytes + y.nbytes
    memory = min(_CHUNK, MEMORY - n_solving * scratch_bytes(*size))
    memory = max(memory, points // 8, rays.copies * points)
    slice_numbers = max(n_x + n_y, 2 * x.shape[1], 32)  # rows, and directions in tiles
    at_once = memory // (slice_numbers * x.itemsize)
    in_place = at_once < n_solving
    parts = list(rays.parts(max(n_solving, at_once // n_solving * n_solving)))
    whole_x, whole_y = rows[:, :n_x], rows[:, n_x:]
    if not in_place:
        most = max(stop - start for start, stop in parts) if len(parts) > 1 else rays.n
        whole_x, whole_y = np.empty((most, n_x), x.dtype), np.empty((most, n_y), x.dtype)
    for start, stop in parts:
        px, py = whole_x[: stop - start], whole_y[: stop - start]
        rays.project(x, start, px, threads)
        rays.project(y, start, py, threads)
        (flat_x, step_x), (flat_y, step_y) = flat(px), flat(py)
        solve(
            Side(
                locked(flat_x), step_x, n_x, *weights[0],
                *((flat_x, step_x) if gx is not None else (flat_x[:0], 0)),
            ),
            Side(
                locked(flat_y), step_y, n_y, *weights[1],
                *((flat_y, step_y) if gy is not None else (flat_y[:0], 0)),
            ),
            values[start:stop],
            scratch,
            unbiased=unbiased,
            in_place=in_place,
        )  # fmt: skip
        for slopes, out in ((px, gx), (py, gy)):
            if out is not None:
                rays.add_back(slopes, start, scale, out, threads)
    return values, gx, gy


def extent(points: Floats, n_threads: int | None = None) -> tuple[Floats, Floats]:
    """Least and greatest number of each coordinate.

    Parameters
    ----------
    points : array (N, d)
        float32 or float64.
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    low, high : arrays (d,)
        In the dtype of the points; arbitrary where there are NaN.

    Notes
    -----
    One pass over the points: time N d.
    """
    points = contiguous(points)
    n, d = points.shape
    n_threads = usable_threads() if n_threads is None else n_threads
    length = d * -(-64 // d)
    low = np.full((n_threads, length), np.inf, points.dtype)
    high = -low
    numbers = locked(points.reshape(-1))

    def work(thread: int, start: int, stop: int) -> None:
        extremes(numbers, d, start, stop, low[thread], high[thread])

    block = max(1, _EXTENT_BLOCK // d)
    share(work, n, block, n_threads if points.size >= 4 * _EXTENT_BLOCK else 1)
    return low.reshape(-1, d).min(axis=0), high.reshape(-1, d).max(axis=0)
