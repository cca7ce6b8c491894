"""Energy distances and their gradients of many one-dimensional problems, on the CPU."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..typing import Doubles, Floats
from .row_kernels import COUNTERS, solve_rows
from .threads import share, usable_threads

Scratch: TypeAlias = tuple[NDArray[Any] | None, ...]
_T = TypeVar("_T", bound=np.floating[Any])

MEMORY = 64 << 20
SCRATCH = 40 << 20  # of it
_SCRATCH_NUMBERS = 16  # of the dtype a point that scratch may take where that is more

# Points a block at least: some 0.15 ms of work, against microseconds to hand a block out; and
# blocks a thread, where there are enough rows.
_BLOCK_POINTS = 1 << 14
_BLOCKS = 8
# Points in all from which waking a second thread pays.
_SHARED_POINTS = 1 << 15


class Side(NamedTuple):
    """What the compiled code takes of x, or of y: flat arrays, and the steps between their rows."""

    points: Floats
    step: int
    n: int
    weights: Doubles
    weights_step: int
    gradient: Floats
    gradient_step: int


def locked(array: NDArray[_T]) -> NDArray[_T]:
    """A view that cannot be written to, so that the compiled code meets one type only."""
    view = array.view()
    view.flags.writeable = False
    return view


def contiguous(points: NDArray[_T]) -> NDArray[_T]:
    """The array, or a copy where its numbers do not lie one after the other."""
    flags = points.flags
    if flags.c_contiguous and flags.aligned:
        return points
    return np.require(points, None, ("C", "A"))


def flat(rows: NDArray[_T]) -> tuple[NDArray[_T], int]:
    """View rows as one flat array, and the step between them; ValueError for rows with holes."""
    n, size = rows.shape
    if rows.size == 0:
        return rows.reshape(-1), size
    step, rest = divmod(rows.strides[0], rows.itemsize)
    if (n > 1 and (rest or step < 0)) or (size > 1 and rows.strides[1] != rows.itemsize):
        raise ValueError("rows: expected contiguous rows, one after the other in memory")
    if step == size or n == 1:
        return rows.reshape(-1), size
    span = (n - 1) * step + size
    return np.lib.stride_tricks.as_strided(rows, (span,), (rows.itemsize,)), step


def flat_rows(array: NDArray[_T]) -> tuple[NDArray[_T], int]:
    """`flat` of rows that are only read, or of a copy where it cannot be."""
    try:
        view, step = flat(array)
    except ValueError:
        view, step = flat(np.array(array, order="C"))
    return locked(np.require(view, None, "A")), step


_UNIFORM = locked(np.empty(0))


def flat_weights(weights: Floats | None, shape: tuple[int, int]) -> tuple[Doubles, int]:
    """Flat weights and the step between their rows, 0 for one row; empty for uniform ones."""
    if weights is None:
        return _UNIFORM, 0
    if weights.shape not in (shape, shape[1:]):
        raise ValueError(f"weights: expected {shape[1:]} or {shape}, got {weights.shape}")
    shared = weights.ndim == 1 or weights.strides[0] == 0
    rows = (weights if weights.ndim == 2 else weights[None, :])[: 1 if shared else None]
    flat, step = flat_rows(rows.astype(np.float64, copy=False))
    return flat, 0 if shared else step


def flat_gradient(gradient: Floats | None, points: Floats) -> tuple[Floats, int]:
    """`flat` of a gradient; an empty array for one that is not wanted."""
    return (np.empty(0, points.dtype), 0) if gradient is None else flat(gradient)


def scratch_bytes(n: int, dtype: np.dtype[Any], weighing: bool) -> int:
    """Bytes that one thread needs beside its rows of n points."""
    return 4 * COUNTERS + n * (16 + (8 if dtype == np.float64 else 0) + (8 if weighing else 0))


def solving_threads(n_threads: int, n: int, dtype: np.dtype[Any], weighing: bool) -> int:
    """Threads, of so many at most, whose scratch stays within the bound; at least one."""
    bound = max(SCRATCH, _SCRATCH_NUMBERS * dtype.itemsize * n)
    return max(1, min(n_threads, bound // scratch_bytes(n, dtype, weighing)))


def make_scratch(
    count: int, n: int, dtype: np.dtype[Any], weighing: bool
) -> tuple[list[Scratch], Floats]:
    """Arrays first, second, row, counts and w of `solve_rows` for each of `count` threads.

    The second result views all the arrays `row` as one (count, n).
    """
    second = np.empty((count, n), np.uint64)
    rows: Floats = np.empty((0 if dtype == np.float32 else count, n))
    if dtype == np.float32:
        rows = second.view(np.float32)[:, :n]
    scratch: list[Scratch] = []
    for k in range(count):
        own = np.empty(n, np.uint64), second[k], rows[k], np.empty(COUNTERS, np.uint32)
        scratch.append((*own, np.empty(n) if weighing else None))
    return scratch, rows


def solve(
    x: Side,
    y: Side,
    values: Doubles,
    scratch: Sequence[Scratch],
    *,
    unbiased: bool,
    in_place: bool = False,
) -> None:
    """Fill the values (R,) and both sides' gradients, one thread for every scratch.

    in_place: row k, of as many as there is scratch, and its gradients lie in the k-th `row`.
    """
    n = x.n + y.n

    def work(thread: int, start: int, stop: int) -> None:
        own = scratch[start if in_place else thread]
        solve_rows(*x, *y, unbiased, values, *own, start, stop)

    n_threads = len(scratch) if n * values.size >= _SHARED_POINTS else 1
    if n_threads == 1 and not in_place:
        work(0, 0, values.size)
        return
    block = max(_BLOCK_POINTS // n, values.size // (_BLOCKS * n_threads), 1)
    share(work, values.size, 1 if in_place else block, n_threads)


def check(x: Floats, y: Floats, n_x: int, n_y: int, unbiased: bool, wrt: Collection[str]) -> None:
    """Raise for dtypes, sizes and names that the compiled code does not take."""
    if x.dtype != y.dtype or x.dtype not in (np.float32, np.float64):
        raise TypeError(f"x, y: expected both float32 or both float64, got {x.dtype} and {y.dtype}")
    least = 2 if unbiased else 1
    if min(n_x, n_y) < least or n_x + n_y >= 1 << 31:
        raise ValueError(
            f"x, y: expected at least {least} points each and fewer than 2^31 in all, "
            f"got {n_x} and {n_y}"
        )
    if not set(wrt) <= {"x", "y"}:
        raise ValueError(f"wrt: expected 'x' and 'y' only, got {tuple(wrt)}")


def energy_rows(
    xp: Floats,
    yp: Floats,
    a: Floats | None = None,
    b: Floats | None = None,
    *,
    unbiased: bool = False,
    wrt: Collection[str] = ("x",),
    n_threads: int | None = None,
) -> tuple[Doubles, Floats | None, Floats | None]:
    r"""Energy distance of each row of points, and its gradient.

    E = 2 sum a_i b_j |x_i - y_j| - s_x sum a_i a_k |x_i - x_k| - s_y sum b_j b_l |y_j - y_l|,
    dE/dx_i = 2 a_i ([B(x_i-) + B(x_i) - 1] - s_x [A(x_i-) + A(x_i) - 1]), and alike for y_j,
    with A and B the distribution functions of the row, s_x = s_y = 1 for the V estimator and
    s_x = 1 / (1 - sum a_i^2), s_y = 1 / (1 - sum b_j^2) for the U estimator.

    Parameters
    ----------
    xp, yp : arrays (R, N) and (R, M)
        Rows of points, both float32 or both float64, with any step between rows; rows that are not
        contiguous are copied.
    a, b : arrays (N,) or (R, N), and (M,) or (R, M), optional
        Weights, non-negative and of sum one; uniform when not given.
    unbiased : bool
        The U estimator in place of the V estimator.
    wrt : collection of str
        Which gradients are wanted, of "x" and "y".
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    values : array (R,)
        float64.
    gx, gy : arrays (R, N) and (R, M), or None
        Gradients in the dtype of the rows; None where not wanted.

    Raises
    ------
    TypeError
        If dtypes differ, or are neither float32 nor float64.
    ValueError
        If shapes do not fit, rows are empty, or have one point with the U estimator.

    Notes
    -----
    One radix sort a row serves the value and both gradients: time R (N + M), scratch of
    16 (float32) or 24 bytes a point and thread, with weights or the U estimator 8 more; threads
    are fewer where their scratch would pass 40 MiB and 16 numbers a point.  Ties get mid-ranks,
    the subgradient with sign(0) = 0, and -0.0 equals +0.0.  With uniform weights, counts are
    exact integers.  A row with a NaN or an infinity has a value that is not finite, and an
    arbitrary gradient.  The results are the same bits for every number of threads.

    References
    ----------
    G. J. Szekely and M. L. Rizzo, Energy statistics: a class of statistics based on distances,
    J. Stat. Plan. Inference 143 (2013).
    """
    if xp.ndim != 2 or yp.ndim != 2 or len(xp) != len(yp):
        raise ValueError(f"xp, yp: expected (R, N) and (R, M), got {xp.shape} and {yp.shape}")
    (n_rows, n_x), n_y = xp.shape, yp.shape[1]
    check(xp, yp, n_x, n_y, unbiased, wrt)
    values = np.empty(n_rows)
    gx = np.empty(xp.shape, xp.dtype) if "x" in wrt else None
    gy = np.empty(yp.shape, yp.dtype) if "y" in wrt else None
    weighing = unbiased or a is not None or b is not None
    size = n_x + n_y, xp.dtype, weighing
    n_threads = usable_threads() if n_threads is None else n_threads
    scratch, _ = make_scratch(max(1, min(solving_threads(n_threads, *size), n_rows)), *size)
    solve(
        Side(*flat_rows(xp), n_x, *flat_weights(a, xp.shape), *flat_gradient(gx, xp)),
        Side(*flat_rows(yp), n_y, *flat_weights(b, yp.shape), *flat_gradient(gy, yp)),
        values,
        scratch,
        unbiased=unbiased,
    )
    return values, gx, gy
