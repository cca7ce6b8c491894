"""Blocks of points as panels of coordinates, and the squared distances of a tile of pairs."""

# mypy: disable-error-code="no-untyped-def"

from ..compiler import inner
from .tiles import LANES, TILE_ROWS, add_products_2, add_squares, transpose_square

SIDE = 48  # points of a tile: a multiple of TILE_ROWS and PANEL for all vectors
PANEL = 2 * LANES  # points whose coordinates stand together when they are turned
DEPTH = 895  # coordinates at once, and a one
_NEAR = 2.0**-6  # of the squared norms, below which a square of products has lost digits


@inner()
def pack(doubles, singles, first, count, d, low, depth, width, rows, columns):
    """Write the coordinates low to low + depth of `count` points as rows of `width` numbers.

    A column of ones follows the coordinates where there is room (homogeneous coordinates): the
    products with forces then hold the sums of the forces too.
    `columns`, unless empty, becomes the transpose, in panels of PANEL points.
    """
    rows[: SIDE * width] = 0.0
    for i in range(count):
        row = rows[i * width : (i + 1) * width]
        start = (first + i) * d + low
        if singles.size:
            single = singles[start : start + depth]
            for k in range(depth):
                row[k] = single[k]
        else:
            double = doubles[start : start + depth]
            for k in range(depth):
                row[k] = double[k]
        if depth < width:
            row[depth] = 1.0
    if columns.size:
        for j in range(0, SIDE, LANES):
            place = j // PANEL * PANEL * width + j % PANEL
            for k in range(0, width, LANES):
                transpose_square(rows, j * width + k, width, columns, place + k * PANEL, PANEL)


@inner()
def add_to_squares(xs, turned, width, depth, n_i, columns, squares, exact):
    """Add the squared differences of `depth` coordinates, SIDE to a row; or their products."""
    for j in range(0, columns, PANEL):
        for i in range(0, n_i, TILE_ROWS):
            if exact:
                add_squares(
                    xs, i * width, width, 1, turned, j * width, PANEL, xs, 0, 0, depth,
                    squares, i * SIDE + j, SIDE,
                )  # fmt: skip
            else:
                add_products_2(
                    xs, i * width, width, 1, turned, j * width, PANEL, xs, 0, 0, depth,
                    squares, i * SIDE + j, SIDE,
                )  # fmt: skip


@inner("reassoc", "contract")
def add_norms(rows, width, depth, count, norms):
    """Add the squares of `depth` coordinates of each point."""
    for i in range(count):
        row = rows[i * width : i * width + depth]
        total = 0.0
        for k in range(depth):
            total += row[k] * row[k]
        norms[i] += total


@inner()
def finish_products(squares, x_norms, y_norms, n_i, n_j, diagonal):
    """Make squared distances of products; say whether some have lost digits.

    Of those between two points, that is: on the diagonal a point meets itself.
    """
    near = 0
    for i in range(n_i):
        row, norm = squares[i], x_norms[i]
        for j in range(n_j):
            both = norm + y_norms[j]
            row[j] = both - 2.0 * row[j]
            near += 0 if row[j] > _NEAR * both else 1
    if diagonal:
        near -= n_i
        for i in range(n_i):
            squares[i, i] = 0.0
    return near != 0
