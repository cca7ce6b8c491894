"""Sums over the pairs of blocks of points, tile by tile, in compiled code.

One function does all, for both dtypes and all profiles, so that one is compiled. Reference for the
tiles: F. G. Van Zee and R. A. van de Geijn, BLIS: a framework for rapidly instantiating BLAS
functionality, ACM Trans. Math. Softw. 41 (2015).
"""

# mypy: disable-error-code="no-untyped-def"

from typing import Any

import numpy as np
from numba import int64

from ...typing import Doubles
from ..compiler import compiled, inner
from .panels import DEPTH, PANEL, SIDE, add_norms, add_to_squares, finish_products, pack
from .profiles import evaluate
from .tiles import LANES, TILE_ROWS, add_products_1, add_products_2, add_pulls_1, add_pulls_2

PRODUCTS, DIFFERENCES, PULLS = 0, 1, 2  # what is summed over the coordinates of a tile
STRIP = 8  # rows of a tile whose distances become forces while they are in the first cache


def scratch(d: int) -> tuple[Doubles, Doubles, Doubles]:
    """What `sum_pairs` works in, for points in d dimensions: tiles, the same flat, and panels."""
    tiles = np.empty((2 * SIDE + 2 * STRIP + 5, SIDE))
    return tiles, tiles.reshape(-1), np.empty(4 * SIDE * (min(d, DEPTH) + LANES))


@inner("reassoc", "contract")
def _weigh(value, pull, low, n, width, own, others, row_sums, to_rows, to_columns):
    """Weighted sums of a strip's values, and its pulls weighted for both sides; the total."""
    total = 0.0
    for i in range(n):
        mine = 0.0
        charge = own[low + i]
        for j in range(width):
            mine += others[j] * value[i, j]
        for j in range(width):
            to_rows[low + i, j] = others[j] * pull[i, j]
        for j in range(width):
            to_columns[low + i, j] = charge * pull[i, j]
        row_sums[low + i] = mine
        total += charge * mine
    return total


@inner()
def _pulls(forces, row, step, others, count, width, own, sums, n_rows, exact):
    """Write sum_j force_ij (own_i - other_j) to the rows i of sums, or sum_j force_ij other_j.

    The force of row i and of j < count stands at i row + j step; `exact` asks for differences.
    """
    sums[: n_rows * width] = 0.0
    for i in range(0, n_rows, TILE_ROWS):
        at = i * width
        k = 0
        while k + 2 * LANES <= width:
            if exact:
                add_pulls_2(
                    forces, i * row, row, step, others, k, width, own, at + k, width, count,
                    sums, at + k, width,
                )  # fmt: skip
            else:
                add_products_2(
                    forces, i * row, row, step, others, k, width, own, at + k, width, count,
                    sums, at + k, width,
                )  # fmt: skip
            k += 2 * LANES
        if k < width:
            if exact:
                add_pulls_1(
                    forces, i * row, row, step, others, k, width, own, at + k, width, count,
                    sums, at + k, width,
                )  # fmt: skip
            else:
                add_products_1(
                    forces, i * row, row, step, others, k, width, own, at + k, width, count,
                    sums, at + k, width,
                )  # fmt: skip


@inner()
def _add_to(out, first, count, d, low, depth, width, sums, own, shares, factor, exact):
    """Add factor times share times pull to `count` points of out."""
    for i in range(count):
        share = factor * shares[i]
        start = (first + i) * d + low
        place = out[start : start + depth]
        row = sums[i * width : i * width + depth]
        if exact:
            for k in range(depth):
                place[k] += share * row[k]
        else:
            mine = own[i * width : i * width + depth]
            whole = sums[i * width + depth]
            for k in range(depth):
                place[k] += share * (whole * mine[k] - row[k])


@compiled()
def sum_pairs(
    doubles, singles, n, d, charges, charges_step, items, factors, kind, firsts, second, exact,
    rows, gradient, points, values, tiles, flat, panels,
    first_set, last_set, first_item, last_item,
):  # fmt: skip
    """Sums of charge_i charge_j F(|z_i - z_j|) over pairs of points of each set, item by item.

    All arrays but `items`, `factors`, `values` and `tiles` are flat; those from `tiles` on come
    from `scratch`. The points (sets, n, d) are in `doubles` or in `singles`, the other is empty; F
    is a profile whose first number is `firsts` of the set.
    Squared distances are sums of squared differences if `exact`, else made of products where none
    of a tile is near zero.
    An item (i0, i1, j0, j1, which, sides) takes the points i0 to i1 with j0 to j1, times
    factors[set, which]; where i0 = j0 both blocks are one, each pair is taken once, and a point
    with itself by half. values (sets, items) are the sums. To `rows`, unless empty, the sums over j
    of charge_j F are added, and to `gradient` those of the derivative in z_i (sides 1, 3) and in
    z_j (2, 3): factor charge_i charge_j F' (z_i - z_j) / |z_i - z_j|.
    """
    width = int64((min(d, DEPTH) + (0 if exact else 1) + LANES - 1) // LANES * LANES)
    panel = SIDE * width
    xs, ys = panels[:panel], panels[panel : 2 * panel]
    turned, pulled = panels[2 * panel : 3 * panel], panels[3 * panel : 4 * panel]
    flat_squares, flat_columns = flat[: SIDE * SIDE], flat[SIDE * SIDE : 2 * SIDE * SIDE]
    squares, to_columns = tiles[:SIDE], tiles[SIDE : 2 * SIDE]
    value, pull = tiles[2 * SIDE : 2 * SIDE + STRIP], tiles[2 * SIDE + STRIP :]
    x_norms, y_norms = tiles[-5], tiles[-4]
    mine, theirs, sums = tiles[-3], tiles[-2], tiles[-1]
    untouched = turned[:0]
    first_phase = DIFFERENCES if exact else PRODUCTS
    one: Any = int64(1)  # a plain 1 has a type of its own, for which functions are compiled anew
    side: Any = int64(SIDE)
    for s in range(first_set, last_set):
        for k in range(first_item, last_item):
            i_start, i_stop, j_start, j_stop = items[k, 0], items[k, 1], items[k, 2], items[k, 3]
            same, sides = i_start == j_start, items[k, 5]
            factor = factors[s, items[k, 4]]
            total = 0.0
            for j in range(j_start, j_stop, SIDE):
                n_j = min(SIDE, j_stop - j)
                columns = (n_j + PANEL - 1) // PANEL * PANEL
                for c in range(n_j):
                    theirs[c] = charges[s * charges_step + j + c]
                for c in range(n_j, SIDE):
                    theirs[c] = 0.0
                for i in range(i_start, min(i_stop, j + 1) if same else i_stop, SIDE):
                    n_i = min(SIDE, i_stop - i)
                    for c in range(n_i):
                        mine[c] = charges[s * charges_step + i + c]
                    diagonal = same and i == j
                    wanted = (sides & 1) | (0 if diagonal else sides & 2)
                    fresh = i == i_start
                    x_norms[:] = 0.0
                    if fresh or d > DEPTH:
                        y_norms[:] = 0.0
                    direct = exact
                    for phase in range(first_phase, 3 if wanted else 2):
                        if phase == DIFFERENCES and not direct:
                            continue
                        if phase != PULLS:
                            flat_squares[:] = 0.0
                        for low in range(0, d, DEPTH):
                            depth = min(DEPTH, d - low)
                            if phase == first_phase or d > DEPTH:
                                pack(
                                    doubles, singles, s * n + i, n_i, d, low, depth, width, xs,
                                    untouched,
                                )  # fmt: skip
                                if fresh or d > DEPTH:
                                    pack(
                                        doubles, singles, s * n + j, n_j, d, low, depth, width, ys,
                                        turned,
                                    )  # fmt: skip
                            if phase == PRODUCTS:
                                add_norms(xs, width, depth, n_i, x_norms)
                                if fresh or d > DEPTH:
                                    add_norms(ys, width, depth, n_j, y_norms)
                            if phase != PULLS:
                                add_to_squares(
                                    xs, turned, width, depth, n_i, columns, flat_squares,
                                    phase == DIFFERENCES,
                                )  # fmt: skip
                                continue
                            if wanted & 1:
                                _pulls(
                                    flat_squares, side, one, ys, n_j, width, xs, pulled, n_i, exact
                                )
                                _add_to(
                                    gradient, s * points + i, n_i, d, low, depth, width, pulled, xs,
                                    mine, factor, exact,
                                )  # fmt: skip
                            if wanted & 2:
                                _pulls(
                                    flat_columns, one, side, xs, n_i, width, ys, pulled, n_j, exact
                                )
                                _add_to(
                                    gradient, s * points + j, n_j, d, low, depth, width, pulled, ys,
                                    theirs, factor, exact,
                                )  # fmt: skip
                        if phase == PRODUCTS:
                            direct = finish_products(squares, x_norms, y_norms, n_i, n_j, diagonal)
                        if phase == (DIFFERENCES if direct else PRODUCTS):
                            part = 0.0
                            for strip in range(0, n_i, STRIP):
                                here = squares[strip : strip + STRIP]
                                evaluate(kind, firsts[s], second, here, columns, value, pull)
                                part += _weigh(
                                    value, pull, strip, min(STRIP, n_i - strip), columns, mine,
                                    theirs, sums, squares, to_columns,
                                )  # fmt: skip
                            total += 0.5 * part if diagonal else part
                            if rows.size:
                                for c in range(n_i):
                                    rows[s * points + i + c] += sums[c]
            values[s, k] = factor * total


@compiled("reassoc", "contract")
def sum_of_squares(numbers):
    """In some order: for its size alone."""
    total = 0.0
    for k in range(numbers.size):
        total += np.float64(numbers[k]) * np.float64(numbers[k])
    return total
