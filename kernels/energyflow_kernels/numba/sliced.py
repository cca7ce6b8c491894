"""The sliced energy distance and its gradient in one fused call, on the CPU."""

from collections.abc import Collection

import numpy as np

from .matrix_products import extremes
from .rows import (
    MEMORY,
    Doubles,
    Floats,
    Side,
    check,
    flat_gradient,
    flat_rows,
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
        Dtypes other than float32 or float64, or unequal ones.
    ValueError
        Shapes that do not fit, empty sets, or one point for the U estimator.

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
    shapes = x.shape, y.shape, shape
    if any(len(shape) != 2 or shape[1] != shapes[2][1] for shape in shapes) or min(shapes[2]) < 1:
        raise ValueError(
            "x, y, slices: expected (N, d), (M, d) and (P, d), got {}, {}, {}".format(*shapes)
        )
    if slices.dtype != x.dtype:
        raise TypeError(f"slices: expected {x.dtype} like x, got {slices.dtype}")
    check(x, y, len(x), len(y), unbiased, wrt)
    x, y = (np.require(points, None, ("C", "A")) for points in (x, y))
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
    if not in_place:
        rows = np.empty((max(stop - start for start, stop in parts), n_x + n_y), x.dtype)
    for start, stop in parts:
        px, py = rows[: stop - start, :n_x], rows[: stop - start, n_x:]
        rays.project(x, start, px, threads)
        rays.project(y, start, py, threads)
        solve(
            Side(*flat_rows(px), n_x, *weights[0], *flat_gradient(None if gx is None else px, x)),
            Side(*flat_rows(py), n_y, *weights[1], *flat_gradient(None if gy is None else py, y)),
            values[start:stop],
            scratch,
            unbiased=unbiased,
            in_place=in_place,
        )
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
    points = np.require(points, None, ("C", "A"))
    n, d = points.shape
    n_threads = usable_threads() if n_threads is None else n_threads
    length = d * -(-64 // d)
    low = np.full((n_threads, length), np.inf, points.dtype)
    high = -low
    flat = locked(points.reshape(-1))

    def work(thread: int, start: int, stop: int) -> None:
        extremes(flat, d, start, stop, low[thread], high[thread])

    block = max(1, _EXTENT_BLOCK // d)
    share(work, n, block, n_threads if points.size >= 4 * _EXTENT_BLOCK else 1)
    return low.reshape(-1, d).min(axis=0), high.reshape(-1, d).max(axis=0)
