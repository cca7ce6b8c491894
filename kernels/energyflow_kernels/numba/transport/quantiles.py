"""Transport between two sorted rows in compiled code: both are run through in step.

Reference: F. Santambrogio, Optimal transport for applied mathematicians, Birkhaeuser 2015,
proposition 2.17.
"""

import math

import numpy as np
from numba import uint64

from ..compiler import compiled, inner
from ..row_kernels import _load, _read_sorted, _scatter, _sort_row


@inner()
def _cost(away, p):  # type: ignore[no-untyped-def]
    """|u|^p and its derivative, which is nothing at u = 0."""
    if p == 2.0:
        return away * away, 2.0 * away
    if p == 1.0:
        return abs(away), np.sign(away)
    power = math.pow(abs(away), p - 1.0)
    return power * abs(away), p * math.copysign(power, away)


@inner("reassoc", "contract")
def _pair_squares(zx, zy, slope_x, slope_y):  # type: ignore[no-untyped-def]
    """`_pair` for p = 2, in a loop that becomes vectors."""
    total = 0.0
    share = 1.0 / zx.size
    for k in range(zx.size):
        away = np.float64(zx[k]) - np.float64(zy[k])
        total += away * away
        slope_x[k] = (2.0 * share) * away
    for k in range(zx.size):
        slope_y[k] = -slope_x[k]
    return total * share


@inner()
def _pair(zx, zy, p, slope_x, slope_y):  # type: ignore[no-untyped-def]
    """Point k of x goes to point k of y."""
    share = 1.0 / zx.size
    total = 0.0
    for k in range(zx.size):
        cost, slope = _cost(np.float64(zx[k]) - np.float64(zy[k]), p)
        total += cost
        slope_x[k] = share * slope
        slope_y[k] = -share * slope
    return total * share


@inner()
def _merge_counting(zx, zy, p, slope_x, slope_y):  # type: ignore[no-untyped-def]
    """Uniform weights of n and m points: levels are whole numbers of 1 / (n m)."""
    n, m = zx.size, zy.size
    slope_x[:] = 0.0
    slope_y[:] = 0.0
    unit = 1.0 / (float(n) * float(m))
    i, j, level, total = 0, 0, 0, 0.0
    for _ in range(n + m):
        if i >= n or j >= m:
            break
        end_x, end_y = (i + 1) * m, (j + 1) * n
        end = min(end_x, end_y)
        mass = float(end - level) * unit
        cost, slope = _cost(np.float64(zx[i]) - np.float64(zy[j]), p)
        total += mass * cost
        slope_x[i] += mass * slope
        slope_y[j] -= mass * slope
        level = end
        i += int(end_x == end)
        j += int(end_y == end)
    return total


@inner()
def _merge_weighing(zx, zy, a, b, p, slope_x, slope_y):  # type: ignore[no-untyped-def]
    """Weights in sorted order; what they lack in one goes to the last points."""
    n, m = zx.size, zy.size
    slope_x[:] = 0.0
    slope_y[:] = 0.0
    i, j, level, total = 0, 0, 0.0, 0.0
    end_x = a[0] if n > 1 else 1.0
    end_y = b[0] if m > 1 else 1.0
    for _ in range(n + m):
        end = min(end_x, end_y)
        mass = max(end - level, 0.0)
        cost, slope = _cost(np.float64(zx[i]) - np.float64(zy[j]), p)
        total += mass * cost
        slope_x[i] += mass * slope
        slope_y[j] -= mass * slope
        level = max(level, end)
        step_x, step_y = end_x <= end, end_y <= end
        if (step_x and i + 1 == n) or (step_y and j + 1 == m) or not (step_x or step_y):
            break
        if step_x:
            i += 1
            end_x = end_x + a[i] if i + 1 < n else 1.0
        if step_y:
            j += 1
            end_y = end_y + b[j] if j + 1 < m else 1.0
    return total


@inner()
def _share_ties(z, weights, slopes):  # type: ignore[no-untyped-def]
    """Equal points get the slopes of all of them, by their weights (empty: by their number)."""
    n = z.size
    start = 0
    while start < n:
        stop = start + 1
        while stop < n and z[stop] == z[start]:
            stop += 1
        if stop - start > 1:
            total, mass = 0.0, 0.0
            for k in range(start, stop):
                total += slopes[k]
                mass += weights[k] if weights.size else 1.0
            for k in range(start, stop):
                own = weights[k] if weights.size else 1.0
                slopes[k] = total * (own / mass) if mass > 0.0 else 0.0
        start = stop


@inner()
def _in_order(order, weights, out):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = weights[order[k] & uint64(0xFFFFFFFF)]


@compiled()
def transport_rows(  # type: ignore[no-untyped-def]
    x, x_step, n, a, a_step, gx, gx_step,
    y, y_step, m, b, b_step, gy, gy_step,
    p, values, counts, start, stop,
):  # fmt: skip
    """Costs of transport between the rows start to stop, and their gradients.

    All arrays are flat, and a row stands at its number times the step. Empty weights are uniform,
    an empty gradient is not wanted. `counts` is the scratch of a sort.
    """
    row_x, row_y = np.empty(n, x.dtype), np.empty(m, x.dtype)
    zx, zy = np.empty(n, x.dtype), np.empty(m, x.dtype)
    words_x, words_y = np.empty((2, n), np.uint64), np.empty((2, m), np.uint64)
    slope_x, slope_y = np.empty(n), np.empty(m)
    weighing = a.size > 0 or b.size > 0
    ax, by = np.empty(n if weighing else 0), np.empty(m if weighing else 0)
    for r in range(start, stop):
        _load(x[r * x_step :], row_x)
        _load(y[r * y_step :], row_y)
        order_x, _ = _sort_row(row_x, words_x[0], words_x[1], counts)
        order_y, _ = _sort_row(row_y, words_y[0], words_y[1], counts)
        _read_sorted(order_x, row_x, zx)
        _read_sorted(order_y, row_y, zy)
        if weighing:
            if a.size:
                _in_order(order_x, a[r * a_step : r * a_step + n], ax)
            else:
                ax[:] = 1.0 / n
            if b.size:
                _in_order(order_y, b[r * b_step : r * b_step + m], by)
            else:
                by[:] = 1.0 / m
            values[r] = _merge_weighing(zx, zy, ax, by, p, slope_x, slope_y)
        elif n != m:
            values[r] = _merge_counting(zx, zy, p, slope_x, slope_y)
        elif p == 2.0:
            values[r] = _pair_squares(zx, zy, slope_x, slope_y)
        else:
            values[r] = _pair(zx, zy, p, slope_x, slope_y)
        if gx.size:
            _share_ties(zx, ax, slope_x)
            _scatter(order_x, slope_x, gx[r * gx_step : r * gx_step + n])
        if gy.size:
            _share_ties(zy, by, slope_y)
            _scatter(order_y, slope_y, gy[r * gy_step : r * gy_step + m])
