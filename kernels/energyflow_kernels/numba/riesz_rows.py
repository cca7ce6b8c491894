"""Energy distances of rows for any exponent, in near-linear time, on the CPU."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from ..typing import Doubles, Floats
from .riesz_tree import DECAY, MAX_PROXIES, signed_sums
from .threads import share, usable_threads

# Rows with fewer points in all than this are not worth handing to threads.
_THREADED_POINTS = 1 << 13


def riesz_rows(
    xp: Floats,
    yp: Floats,
    a: Floats | None = None,
    b: Floats | None = None,
    *,
    exponent: float,
    unbiased: bool = False,
    wrt: Collection[str] = ("x",),
    tolerance: float = 1e-4,
    n_threads: int | None = None,
) -> tuple[Doubles, Floats | None, Floats | None]:
    """Energy distance of each row and its gradient, for any exponent 0 < r < 2.

    E = 2 sum a_i b_j |x_i - y_j|^r - s_x sum a_i a_k |x_i - x_k|^r - s_y sum b_j b_l |y_j - y_l|^r,
    with s_x = s_y = 1, or s_x = 1 / (1 - sum a_i^2) and s_y = 1 / (1 - sum b_j^2) if unbiased.

    Parameters
    ----------
    xp, yp : arrays (R, N) and (R, M)
        Rows of points, float32 or float64; they are computed in float64.
    a, b : arrays (N,) or (R, N), and (M,) or (R, M), optional
        Weights of sum one; uniform when not given.
    exponent : float
        The power r.
    unbiased : bool
        The U estimator in place of the V estimator.
    wrt : collection of str
        Which gradients are wanted, of "x" and "y".
    tolerance : float
        Relative error of the gradient, at least 1e-12.
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    values : array (R,)
        float64; NaN for a row that is not finite.
    gx, gy : arrays (R, N) and (R, M), or None
        Gradients in the dtype of the rows; None where not wanted.

    Raises
    ------
    ValueError
        If the exponent is outside (0, 2), the tolerance outside [1e-12, 1), or all the weight is on
        one point with the U estimator.

    Notes
    -----
    Costs a sort and O((N + M) log(1 / tolerance)) powers a row, O(N + M) memory a thread. Pairs at
    distance zero have no gradient; -0.0 equals 0.0. x and y are summed as one measure of charges a
    and -b, so that errors cancel where the sums do. The error of a row's gradient is estimated from
    the last Chebyshev coefficients; above half of `tolerance` times the norm of the gradient with
    respect to x and y, the row is computed anew with more coefficients. Where they run out at 24,
    in sums that cancel to rounding, rounding decides. The U estimator holds the tolerance in its
    signed sum and in its self-sums, each by itself. Values have about the tolerance too, relative
    to the signed sum. Gaps below 1e-307 of a row's range are not resolved. Results are the same bit
    for bit for every number of threads.

    References
    ----------
    Fong and Darve, "The black-box fast multipole method", J. Comput. Phys. 228 (2009).
    """
    if not 0.0 < exponent < 2.0:
        raise ValueError(f"exponent must lie in (0, 2), got {exponent}")
    if not 1e-12 <= tolerance < 1.0:
        raise ValueError(f"tolerance must lie in [1e-12, 1), got {tolerance}")
    (n_rows, n), m = xp.shape, yp.shape[1]
    # Whole numbers over a common denominator, so that uniform charges at one place cancel exactly.
    uniform = a is None and b is None
    total = float(n * m) if uniform else 1.0
    each_x, each_y = (m, n) if uniform else (1.0 / n, 1.0 / m)
    a = np.broadcast_to(each_x if a is None else a, (n_rows, n))
    b = np.broadcast_to(each_y if b is None else b, (n_rows, m))
    if unbiased and max(np.max(np.sum((w / total) ** 2, axis=1), initial=0.0) for w in (a, b)) >= 1:
        raise ValueError("the unbiased estimator needs weight on two points or more")

    n_proxies = max(2, math.ceil(math.log(1.5 / tolerance) / math.log(DECAY)))
    values = np.empty(n_rows)
    gx = np.empty((n_rows, n), xp.dtype) if "x" in wrt else None
    gy = np.empty((n_rows, m), yp.dtype) if "y" in wrt else None

    def work(thread: int, start: int, stop: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # the caller's does not reach threads
            for row in range(start, stop):
                pool = np.concatenate((xp[row], yp[row]), dtype=np.float64)
                weight = np.concatenate((a[row], -b[row]), dtype=np.float64)
                gradient = np.empty(n + m)
                values[row] = _row(
                    pool, weight, total, n, exponent, n_proxies, tolerance, unbiased, gradient
                )
                if gx is not None:
                    gx[row] = gradient[:n]
                if gy is not None:
                    gy[row] = gradient[n:]

    n_threads = n_threads or usable_threads()
    share(work, n_rows, 1, n_threads if n_rows * (n + m) >= _THREADED_POINTS else 1)
    return values, gx, gy


def _row(
    pool: Doubles,
    weight: Doubles,
    total: float,
    n_x: int,
    exponent: float,
    n_proxies: int,
    tolerance: float,
    unbiased: bool,
    gradient: Doubles,
) -> float:
    """Value of one row and its gradient with respect to the pooled points, x first.

    pool (n,) points, weight (n,) total * a, then total * -b; the gradient goes to `gradient` (n,).
    Points that are not finite give NaN.
    """
    order = pool.argsort()
    z, w = pool[order], weight[order]
    half_range = float(0.5 * z[-1] - 0.5 * z[0])
    if not math.isfinite(half_range):
        gradient[:] = np.nan
        return math.nan
    if half_range == 0.0:
        gradient[:] = 0.0
        return 0.0
    # A power of two brings the range near one without rounding; squares and powers stay finite.
    binary = min(max(math.frexp(half_range)[1], -1000), 1000)
    z *= 2.0**-binary
    force, energy = _merged_sums(z, w, total, exponent, n_proxies, tolerance)
    value = -2.0 * energy
    if unbiased:
        for sign, mine in ((1.0, order < n_x), (-1.0, order >= n_x)):
            own = abs(w[mine])
            square = float(((own / total) ** 2).sum())
            excess = square / (1.0 - square)
            field, energy = _merged_sums(z[mine], own, total, exponent, n_proxies, tolerance)
            force[mine] += sign * excess * field
            value -= 2.0 * excess * energy
    scale = -2.0 * exponent / total * np.exp2(binary * (exponent - 1.0))
    gradient[order] = scale * w * force
    return float(value * np.exp2(binary * exponent))


def _merged_sums(
    z: Doubles, w: Doubles, total: float, exponent: float, p: int, tolerance: float
) -> tuple[Doubles, float]:
    """Field at each of the sorted points z, ties merged, and the energy of charges w / total.

    Proxies are added until the estimated error of the gradient w * field is within half the
    tolerance: measured errors were 0.2 to twice the estimate, the larger where it was extreme
    cancellation that called for more proxies.
    """
    group: Any = slice(None)
    place, charge = z, w
    fresh = z[1:] != z[:-1]
    if not fresh.all():
        group = np.concatenate([[0], np.cumsum(fresh)])
        place = z[np.concatenate([[True], fresh])]
        charge = np.bincount(group, w).astype(np.float64, copy=False)
    charge = charge / total
    squares = w * w
    while True:
        field, energy, doubt = signed_sums(place, charge, exponent, p, 4 * p)
        field = field[group]
        # not by BLAS, whose own threads would wait for each other in each of ours
        error, size = (float((squares * terms).sum()) for terms in (doubt[group], field * field))
        allowed = (0.5 * tolerance) ** 2 * size
        if not error > allowed or p >= MAX_PROXIES:
            return field, energy
        missing = 0.5 * math.log(error / allowed) / math.log(DECAY) if allowed > 0.0 else 99.0
        p = min(MAX_PROXIES, p + 1 + int(min(missing, 99.0)))
