"""Sums of powers of distances over the points of a row, in near-linear time, on the CPU."""

import math

import numpy as np

from ..typing import Doubles, Floats
from .riesz_tree import DECAY, MAX_PROXIES, signed_sums
from .threads import share, usable_threads


def riesz_sums(
    xs: Floats,
    ys: Floats,
    weights: Floats,
    *,
    exponent: float,
    derivative: bool = False,
    tolerance: float = 1e-8,
    n_threads: int | None = None,
) -> Doubles:
    """Sums s_i = sum_j w_j |x_i - y_j|^r of each row, or their derivatives with respect to x_i.

    Parameters
    ----------
    xs, ys : arrays (R, N) and (R, M)
        Rows of points, float32 or float64; they are computed in float64.
    weights : array (R, M)
        Of any sign.
    exponent : float
        The power r, 0 < r < 2.
    derivative : bool
        The derivatives in place of the sums.
    tolerance : float
        Error relative to the largest sum of absolute values.
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    array (R, N)
        float64. A row that is not finite gives NaN; sums may overflow to infinity.

    Raises
    ------
    ValueError
        If the exponent is outside (0, 2) or the tolerance outside [1e-14, 1).

    Notes
    -----
    Costs a sort and O((N + M) log(1 / tolerance)) powers a row. A pair of coincident points has
    derivative zero. The tree sums the forces sign(z) |z|^(r-1) of charges q; the sums follow from
    |z|^r = z sign(z) |z|^(r-1) with the charges q and q y.
    """
    if not 0.0 < exponent < 2.0:
        raise ValueError(f"exponent must lie in (0, 2), got {exponent}")
    if not 1e-14 <= tolerance < 1.0:
        raise ValueError(f"tolerance must lie in [1e-14, 1), got {tolerance}")
    proxies = min(MAX_PROXIES, 2 + math.ceil(math.log(1 / tolerance) / math.log(DECAY)))
    n_rows, n = xs.shape
    sums = np.empty((n_rows, n))

    def work(thread: int, start: int, stop: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # the caller's does not reach threads
            for row in range(start, stop):
                sums[row] = _row(xs[row], ys[row], weights[row], exponent, derivative, proxies)

    share(work, n_rows, 1, n_threads or usable_threads())
    return sums


def _row(
    x: Floats, y: Floats, weights: Floats, exponent: float, derivative: bool, proxies: int
) -> Doubles:
    """The sums of one row."""
    pool = np.concatenate((x, y), dtype=np.float64)
    place, group = np.unique(pool, return_inverse=True)
    half_range = 0.5 * place[-1] - 0.5 * place[0]
    if not math.isfinite(half_range):
        return np.full(len(x), np.nan)
    if half_range == 0.0:
        return np.zeros(len(x))
    # a power of two brings the range near one without rounding
    binary = min(max(math.frexp(half_range)[1], -1000), 1000)
    z = np.ldexp(place, -binary)
    at_x, at_y = group[: len(x)], group[len(x) :]
    charge = np.zeros(len(z))
    np.add.at(charge, at_y, weights)

    def force(q: Doubles) -> Doubles:
        field: Doubles = signed_sums(z, q, exponent, proxies, 4 * proxies)[0]
        return field

    if derivative:
        sums = exponent * force(charge) * np.exp2(binary * (exponent - 1.0))
    else:
        from_middle = z - (0.5 * z[0] + 0.5 * z[-1])
        sums = from_middle * force(charge) - force(charge * from_middle)
        sums *= np.exp2(binary * exponent)
    return np.asarray(sums[at_x])
