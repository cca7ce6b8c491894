"""Points of a tile as panels in scratch, and what tiles of them give, in compiled code.

Reference for the tiles: F. G. Van Zee and R. A. van de Geijn, BLIS: a framework for rapidly
instantiating BLAS functionality, ACM Trans. Math. Softw. 41 (2015).
"""

import numpy as np

from ..compiler import compiled
from .tiles import (
    LANES,
    TILE_ROWS,
    add_products_1,
    add_products_2,
    add_pulls_1,
    add_pulls_2,
    add_squares,
    transpose_square,
)

SIDE = 64  # points of a tile
DEPTH = 896  # coordinates at once


@compiled()
def pack(points, first, count, d, low, depth, width, middle, scale, rows):  # type: ignore[no-untyped-def]
    """Write the coordinates low to low + depth of `count` points as rows of `width` numbers."""
    for i in range(count):
        source = points[(first + i) * d + low : (first + i) * d + low + depth]
        row = rows[i * width : (i + 1) * width]
        for k in range(depth):
            row[k] = (np.float64(source[k]) - middle[low + k]) * scale
        for k in range(depth, width):
            row[k] = 0.0
    rows[count * width : SIDE * width] = 0.0


@compiled()
def turn(rows, width, columns):  # type: ignore[no-untyped-def]
    """Columns of SIDE numbers from rows of `width`."""
    for j in range(0, SIDE, LANES):
        for k in range(0, width, LANES):
            transpose_square(rows, j * width + k, width, columns, k * SIDE + j, SIDE)


@compiled()
def squared_distances(xs, turned, width, depth, n_i, columns, squares):  # type: ignore[no-untyped-def]
    """Add the squared differences of `depth` coordinates, SIDE to a row."""
    for i in range(0, n_i, TILE_ROWS):
        for j in range(0, columns, 2 * LANES):
            add_squares(
                xs, i * width, width, 1, turned, j, SIDE, xs, 0, 0, depth,
                squares, i * SIDE + j, SIDE,
            )  # fmt: skip


@compiled()
def pulls(forces, row, step, others, count, width, own, sums, n_rows, exact):  # type: ignore[no-untyped-def]
    """Write sum_j force_ij (own_i - other_j) to the rows i of sums, or sum_j force_ij other_j.

    The force of row i and of j < count stands at i row + j step; `exact` asks for differences.
    """
    sums[:] = 0.0
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


@compiled()
def add_to(out, first, count, d, low, depth, width, sums, own, force, charges, factor, exact):  # type: ignore[no-untyped-def]
    """Add factor times charge times pull to `count` points of out."""
    for i in range(count):
        share = factor * charges[i]
        at = (first + i) * d + low
        place = out[at : at + depth]
        row = sums[i * width : i * width + depth]
        if exact:
            for k in range(depth):
                place[k] += share * row[k]
        else:
            mine = own[i * width : i * width + depth]
            whole = force[i]
            for k in range(depth):
                place[k] += share * (whole * mine[k] - row[k])
