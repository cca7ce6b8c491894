"""Sums over the pairs of two blocks of points, tile by tile, in compiled code."""

import numpy as np

from ..compiler import compiled
from .panels import DEPTH, SIDE, add_to, pack, pulls, squared_distances, turn
from .profiles import evaluate
from .tiles import LANES

STRIP = 8  # rows of a tile whose distances become forces while they are in the first cache


@compiled("reassoc", "contract")
def _weigh(value, pull, low, n, width, a, b, row_sums, to_rows, to_columns):  # type: ignore[no-untyped-def]
    """Weighted sums of a strip's values, and its pulls weighted for both sides; their sum."""
    total = 0.0
    for i in range(n):
        mine = 0.0
        own = a[low + i]
        for j in range(width):
            mine += b[j] * value[i, j]
        for j in range(width):
            to_rows[low + i, j] = b[j] * pull[i, j]
        for j in range(width):
            to_columns[low + i, j] = own * pull[i, j]
        row_sums[low + i] = mine
        total += own * mine
    return total


@compiled("reassoc", "contract")
def _row_totals(forces, n_rows, n_columns, out):  # type: ignore[no-untyped-def]
    for i in range(n_rows):
        total = 0.0
        for j in range(n_columns):
            total += forces[i, j]
        out[i] = total


@compiled()
def _column_totals(forces, n_rows, n_columns, out):  # type: ignore[no-untyped-def]
    out[:] = 0.0
    for i in range(n_rows):
        for j in range(n_columns):
            out[j] += forces[i, j]


@compiled()
def block_sums(  # type: ignore[no-untyped-def]
    x, i_start, i_stop, a, y, j_start, j_stop, b, d, middle, scale, kind, first, second,
    rows, gx, gy, factor, same, exact,
):  # fmt: skip
    """Sum of a_i b_j F(|x_i - y_j|) over the points i of x and j of y, each pair once if `same`.

    Adds sum_j b_j F to rows, factor a_i sum_j b_j F' (x_i - y_j) / |x_i - y_j| to gx, and the
    like for y to gy; empty arrays are not wanted. All arrays are flat. The points are taken less
    `middle` (d,) and times `scale`; `same` says that both blocks are one, whose pairs are then
    taken once, but for the gradient and `rows`.
    """
    width = -(-min(d, DEPTH) // LANES) * LANES
    squares, to_columns = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    flat_squares, flat_columns = squares.reshape(-1), to_columns.reshape(-1)
    panels = np.zeros((4, SIDE * width))
    xs, ys, turned, pulled = panels[0], panels[1], panels[2], panels[3]
    value, pull = np.zeros((STRIP, SIDE)), np.zeros((STRIP, SIDE))
    mine, theirs = np.zeros(SIDE), np.zeros(SIDE)
    force, sums = np.zeros(SIDE), np.zeros(SIDE)
    total = 0.0
    for j in range(j_start, j_stop, SIDE):
        n_j = min(SIDE, j_stop - j)
        columns = -(-n_j // (2 * LANES)) * (2 * LANES)
        theirs[:n_j] = b[j : j + n_j]
        theirs[n_j:] = 0.0
        if d <= DEPTH:
            pack(y, j, n_j, d, 0, d, width, middle, scale, ys)
            turn(ys, width, turned)
        for i in range(i_start, min(i_stop, j + 1) if same else i_stop, SIDE):
            n_i = min(SIDE, i_stop - i)
            mine[:n_i] = a[i : i + n_i]
            diagonal = same and i == j
            both = gy.size > 0 and not diagonal
            squares[:] = 0.0
            for low in range(0, d, DEPTH):
                depth = min(DEPTH, d - low)
                wide = -(-depth // LANES) * LANES
                pack(x, i, n_i, d, low, depth, wide, middle, scale, xs)
                if d > DEPTH:
                    pack(y, j, n_j, d, low, depth, wide, middle, scale, ys)
                    turn(ys, wide, turned)
                squared_distances(xs, turned, wide, depth, n_i, columns, flat_squares)
            part = 0.0
            for strip in range(0, n_i, STRIP):
                evaluate(kind, first, second, squares[strip : strip + STRIP], columns, value, pull)
                part += _weigh(
                    value, pull, strip, min(STRIP, n_i - strip), columns, mine, theirs,
                    sums, squares, to_columns,
                )  # fmt: skip
            total += 0.5 * part if diagonal else part
            if rows.size:
                for k in range(n_i):
                    rows[i + k] += sums[k]
            for low in range(0, d if gx.size or both else 0, DEPTH):
                depth = min(DEPTH, d - low)
                wide = -(-depth // LANES) * LANES
                if d > DEPTH:
                    pack(x, i, n_i, d, low, depth, wide, middle, scale, xs)
                    pack(y, j, n_j, d, low, depth, wide, middle, scale, ys)
                if gx.size:
                    if not exact:
                        _row_totals(squares, n_i, n_j, force)
                    pulls(flat_squares, SIDE, 1, ys, n_j, wide, xs, pulled, n_i, exact)
                    add_to(gx, i, n_i, d, low, depth, wide, pulled, xs, force, mine, factor, exact)
                if both:
                    if not exact:
                        _column_totals(to_columns, n_i, n_j, force)
                    pulls(flat_columns, 1, SIDE, xs, n_i, wide, ys, pulled, n_j, exact)
                    add_to(
                        gy, j, n_j, d, low, depth, wide, pulled, ys, force, theirs, factor, exact
                    )
    return total


@compiled()
def set_energies(  # type: ignore[no-untyped-def]
    first_set, last_set, items, first_item, last_item,
    x, a, a_step, gx, y, b, b_step, gy, n, m, d, middle, scale, exponent, s_x, s_y, exact, values,
):  # fmt: skip
    """Energies of items of blocks of the sets first_set to last_set, and their gradients.

    An item is (which, i0, i1, j0, j1): the points i0 to i1 with j0 to j1, of x and y where `which`
    is 0, of x alone where it is 1, of y alone where it is 2. values is (sets, items).
    """
    none = np.empty(0)
    for s in range(first_set, last_set):
        xs, ys = x[s * n * d : (s + 1) * n * d], y[s * m * d : (s + 1) * m * d]
        own = gx[s * n * d : (s + 1) * n * d] if gx.size else gx
        other = gy[s * m * d : (s + 1) * m * d] if gy.size else gy
        a_s, b_s = a[s * a_step : s * a_step + n], b[s * b_step : s * b_step + m]
        for k in range(first_item, last_item):
            which, i0, i1, j0, j1 = items[k, 0], items[k, 1], items[k, 2], items[k, 3], items[k, 4]
            factor = 2.0
            if which == 1:
                factor = -2.0 * s_x[s]
                part = block_sums(
                    xs, i0, i1, a_s, xs, j0, j1, a_s, d, middle[s], scale[s], 0, exponent, 0.0,
                    none, own, own, factor, i0 == j0, exact,
                )  # fmt: skip
            elif which == 2:
                factor = -2.0 * s_y[s]
                part = block_sums(
                    ys, i0, i1, b_s, ys, j0, j1, b_s, d, middle[s], scale[s], 0, exponent, 0.0,
                    none, other, other, factor, i0 == j0, exact,
                )  # fmt: skip
            else:
                part = block_sums(
                    xs, i0, i1, a_s, ys, j0, j1, b_s, d, middle[s], scale[s], 0, exponent, 0.0,
                    none, own, other, factor, False, exact,
                )  # fmt: skip
            values[s, k] = factor * part


@compiled("reassoc", "contract")
def sum_of_squares(numbers):  # type: ignore[no-untyped-def]
    """In some order: for its size alone."""
    total = 0.0
    for k in range(numbers.size):
        total += np.float64(numbers[k]) * np.float64(numbers[k])
    return total
