"""Wasserstein distances and their gradients of many one-dimensional problems, on the CPU."""

from collections.abc import Collection

import numpy as np

from ...typing import Doubles, Floats
from ..row_kernels import COUNTERS
from ..rows import check, flat_gradient, flat_rows, flat_weights
from ..threads import share, usable_threads
from .quantiles import transport_rows

_BLOCK_POINTS = 1 << 14  # points a block at least
_SHARED_POINTS = 1 << 15  # points in all from which waking a second thread pays


def wasserstein_rows(
    xp: Floats,
    yp: Floats,
    a: Floats | None = None,
    b: Floats | None = None,
    *,
    p: float = 2.0,
    wrt: Collection[str] = ("x",),
    n_threads: int | None = None,
) -> tuple[Doubles, Floats | None, Floats | None]:
    r"""Wasserstein distance of each row of points, to the power p, and its gradient.

    W_p^p = int_0^1 |A^-1(t) - B^-1(t)|^p dt with the quantile functions of the row of x and of y.

    Parameters
    ----------
    xp, yp : arrays (R, N) and (R, M)
        Rows of points, float32 or float64, with any step between them; rows that are not
        contiguous are copied.
    a, b : arrays (N,) or (R, N), and (M,) or (R, M), optional
        Weights, non-negative and of sum one; uniform when not given.
    p : float
        The power, at least 1.
    wrt : collection of str
        Which gradients are wanted, of "x" and "y".
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    values : array (R,)
        float64; not finite for a row that is not finite.
    gx, gy : arrays (R, N) and (R, M), or None
        Gradients in the dtype of the rows; None where not wanted.

    Raises
    ------
    TypeError
        If the dtypes are not float32 or float64, or differ.
    ValueError
        If shapes do not fit, or rows are empty.

    Notes
    -----
    Two radix sorts a row and one run through both: time R (N + M), scratch of some 40 bytes a point
    and thread. Equal points of a row share the slopes that they have together, by their weights: a
    subgradient that depends on no order. With uniform weights, levels are exact integers. The
    results are the same bits for every number of threads.
    """
    if xp.ndim != 2 or yp.ndim != 2 or len(xp) != len(yp):
        raise ValueError(f"xp, yp: expected (R, N) and (R, M), got {xp.shape} and {yp.shape}")
    (n_rows, n), m = xp.shape, yp.shape[1]
    check(xp, yp, n, m, False, wrt)
    values = np.empty(n_rows)
    gx = np.empty(xp.shape, xp.dtype) if "x" in wrt else None
    gy = np.empty(yp.shape, yp.dtype) if "y" in wrt else None
    x = *flat_rows(xp), n, *flat_weights(a, xp.shape), *flat_gradient(gx, xp)
    y = *flat_rows(yp), m, *flat_weights(b, yp.shape), *flat_gradient(gy, yp)

    def work(thread: int, start: int, stop: int) -> None:
        counts = np.empty(COUNTERS, np.uint32)
        transport_rows(*x, *y, float(p), values, counts, start, stop)

    threads = usable_threads() if n_threads is None else n_threads
    threads = threads if n_rows * (n + m) >= _SHARED_POINTS else 1
    share(work, n_rows, max(_BLOCK_POINTS // (n + m), n_rows // (8 * threads), 1), threads)
    return values, gx, gy
