"""The sliced energy distance and its gradient in one fused call, on the CPU."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .numba_kernels import project_back
from .numba_rows import (
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
)
from .numba_threads import share, usable_threads

# Up to this dimension the projections are made where they are sorted, above by matrix products.
FUSED_DIMENSION = 3

_CHUNK = 8 << 20
_PRODUCT_CHUNK = 24 << 20
_BLOCK_POINTS = 1 << 13
_SHARED_TERMS = 1 << 18
_SERIAL_PRODUCT = 1 << 23
_UNTHREADED = 1 << 18


class _Task(NamedTuple):
    """What both ways of one call take: contiguous points, outputs to fill, and limits."""

    x: Floats
    y: Floats
    directions: Floats
    a: tuple[Doubles, int]
    b: tuple[Doubles, int]
    unbiased: bool
    values: Doubles
    gx: Floats | None
    gy: Floats | None
    n_threads: int

    def scratch(self, memory: int, thread_bytes: int = 0) -> list[tuple[NDArray[Any], ...]]:
        """Scratch for as many threads as fit into the memory, but for one at least."""
        weighing = self.unbiased or self.a[0].size > 0 or self.b[0].size > 0
        size = len(self.x) + len(self.y), self.x.dtype, weighing
        n_threads = min(self.n_threads, memory // (scratch_bytes(*size) + thread_bytes))
        return [make_scratch(*size) for _ in range(max(1, min(n_threads, len(self.directions))))]


def _add_back(g: Floats, directions: Floats, out: Floats, n_threads: int) -> None:
    """Add g^T (K, N)^T times directions (K, d) to out (N, d), slice after slice."""

    def work(thread: int, start: int, stop: int) -> None:
        project_back(g, directions, out, start, stop)

    share(work, len(out), _BLOCK_POINTS, n_threads if g.size >= _SHARED_TERMS else 1)


def _fused(task: _Task) -> None:
    """Project inside the passes that sort, and add the gradients up point by point."""
    x, y, gx, gy = task.x, task.y, task.gx, task.gy
    n_x, n_y = len(x), len(y)
    wanted = [out for out in (gx, gy) if out is not None]
    row_bytes = sum(len(out) for out in wanted) * x.itemsize
    scratch = task.scratch(MEMORY + sum(out.nbytes for out in wanted), row_bytes)
    chunk = min(len(task.directions), max(len(scratch), _CHUNK // max(1, row_bytes)))
    slopes_x = None if gx is None else np.empty((chunk, n_x), x.dtype)
    slopes_y = None if gy is None else np.empty((chunk, n_y), y.dtype)
    side_x = Side(locked(x.reshape(-1)), 0, n_x, *task.a, flat_gradient(slopes_x, x))
    side_y = Side(locked(y.reshape(-1)), 0, n_y, *task.b, flat_gradient(slopes_y, y))
    for start in range(0, len(task.directions), chunk):
        rays = task.directions[start : start + chunk]
        values = task.values[start : start + chunk]
        solve(side_x, side_y, rays, values, scratch, unbiased=task.unbiased)
        for slopes, out in ((slopes_x, gx), (slopes_y, gy)):
            if slopes is not None and out is not None:
                _add_back(slopes[: len(rays)], rays, out, task.n_threads)


def _product(left: Floats, right: Floats, out: Floats) -> None:
    """Write left times right into out, in blocks too small for BLAS to share among threads.

    Waking BLAS threads for a product of a millisecond can take longer than the product; a block
    of 2^18 multiplications is one thread's work in OpenBLAS. Large products go whole.
    """
    (rows, inner), columns = left.shape, right.shape[1]
    if rows * inner * columns > _SERIAL_PRODUCT:
        np.matmul(left, right, out=out)
        return
    step = max(16, _UNTHREADED // (inner * min(rows, columns)))
    for start in range(0, max(rows, columns), step):
        part = slice(start, start + step)
        if columns >= rows:
            np.matmul(left, right[:, part], out=out[:, part])
        else:
            np.matmul(left[part], right, out=out[part])


def _by_products(task: _Task) -> None:
    """Project and project back by matrix products, chunk by chunk; gradients replace the rows."""
    x, y, gx, gy = task.x, task.y, task.gx, task.gy
    n_x, n_y = len(x), len(y)
    row_bytes = (n_x + n_y) * x.itemsize
    scratch = task.scratch(MEMORY - _PRODUCT_CHUNK)
    chunk = min(len(task.directions), max(1, _PRODUCT_CHUNK // row_bytes))
    rows_x = np.empty((chunk, n_x), x.dtype)
    rows_y = np.empty((chunk, n_y), y.dtype)
    for start in range(0, len(task.directions), chunk):
        rays = task.directions[start : start + chunk]
        values = task.values[start : start + chunk]
        px, py = rows_x[: len(rays)], rows_y[: len(rays)]
        _product(rays, x.T, px)
        _product(rays, y.T, py)
        side_x = Side(*flat_rows(px), n_x, *task.a, flat_gradient(None if gx is None else px, x))
        side_y = Side(*flat_rows(py), n_y, *task.b, flat_gradient(None if gy is None else py, y))
        solve(side_x, side_y, None, values, scratch, unbiased=task.unbiased)
        for slopes, out in ((px, gx), (py, gy)):
            if out is not None and start == 0:
                _product(slopes.T, rays, out)
            elif out is not None:
                out += slopes.T @ rays


def sliced_energy(
    x: Floats,
    y: Floats,
    directions: Floats,
    a: Floats | None = None,
    b: Floats | None = None,
    *,
    unbiased: bool = False,
    wrt: Collection[str] = ("x",),
    n_threads: int | None = None,
) -> tuple[Doubles, Floats | None, Floats | None]:
    r"""Energy distance of every slice, and the slices' gradients projected back and summed.

    values_p = E(<x, t_p>, <y, t_p>),  gx_i = sum_p dE / d<x_i, t_p> t_p, with E of `energy_rows`.

    Args:
        x: points (N, d), float32 or float64.
        y: points (M, d), like `x`.
        directions: t (P, d), one a row, like `x`.
        a: weights (N,), non-negative and of sum one; None for uniform ones.
        b: weights (M,), likewise.
        unbiased: the U estimator in place of the V estimator.
        wrt: which gradients are wanted, of "x" and "y".
        n_threads: threads at most; None for all (see `usable_threads`).

    Returns:
        values (P,) in float64, gx (N, d) and gy (M, d) in the dtype of the points, or None.

    Raises:
        TypeError: dtypes other than float32 or float64, or unequal ones.
        ValueError: shapes that do not fit, empty sets, or one point for the U estimator.

    Notes:
        Time P (N + M) d; memory beside the output at most 64 MiB plus a copy of the gradient,
        or one thread's scratch (see `energy_rows`) and two rows where these are more.  Up to
        d = 3 equal points have equal projections and the results are the same bits for every
        number of threads; above, the projections are matrix products, which round alike from run
        to run with the same number of BLAS threads, and the rest depends on no thread number.
    """
    d = directions.shape[-1]
    shapes = x.shape, y.shape, directions.shape
    if any(len(shape) != 2 or shape[1] != d for shape in shapes) or min(directions.shape) < 1:
        raise ValueError(
            "x, y, directions: expected (N, d), (M, d) and (P, d), got {}, {}, {}".format(*shapes)
        )
    if directions.dtype != x.dtype:
        raise TypeError(f"directions: expected {x.dtype} like x, got {directions.dtype}")
    check(x, y, len(x), len(y), unbiased, wrt)
    x, y, directions = (np.require(array, None, ("C", "A")) for array in (x, y, directions))
    task = _Task(
        x,
        y,
        locked(directions),
        flat_weights(a, (1, len(x))),
        flat_weights(b, (1, len(y))),
        unbiased,
        np.empty(len(directions)),
        np.zeros(x.shape, x.dtype) if "x" in wrt else None,
        np.zeros(y.shape, y.dtype) if "y" in wrt else None,
        usable_threads() if n_threads is None else n_threads,
    )
    (_fused if d <= FUSED_DIMENSION else _by_products)(task)
    return task.values, task.gx, task.gy
