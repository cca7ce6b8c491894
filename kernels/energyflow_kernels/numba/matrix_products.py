"""Matrix products between points and slices, tile by tile in vector registers, on the CPU.

BLAS would share its own threads among products that already run on several, keep them spinning
while rows are sorted, and round equal points differently. Here each number is summed in one order,
wherever it stands and whoever sums it.

Reference: F. G. Van Zee and R. A. van de Geijn, BLIS: a framework for rapidly instantiating BLAS
functionality, ACM Trans. Math. Softw. 41 (2015).
"""

# mypy: disable-error-code="no-untyped-def"

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import int64, types
from numba.core import cgutils

from ..typing import Floats
from .compiler import VECTOR_BYTES, compiled, generated, inner, rows_apart

# A tile of 6 rows of two vectors of 32 bytes leaves four of sixteen registers for operands.
TILE_ROWS = 6
_VECTORS = 2
_DEPTH = 1024  # terms summed while panels of points stay in the second cache
_PANELS = 4  # panels of points that share what is read of the directions
_TILES = 2  # rows of tiles that share what is read of the packed directions


@generated
def _tile(typing, a, a_at, a_row, a_step, b, b_at, depth, c, c_at, c_row, fresh):
    """Add to a tile of c, or write to it if `fresh`, `depth` columns of a times rows of b.

    All arrays are flat. a holds TILE_ROWS rows `a_row` apart whose terms are `a_step` apart, b
    `depth` rows of a tile's width, c the tile's rows `c_row` apart; `*_at` is where each starts.
    """
    item = a.dtype
    width = VECTOR_BYTES // (item.bitwidth // 8)
    signature = types.void(a, types.intp, types.intp, types.intp, b, types.intp,
                           types.intp, c, types.intp, types.intp, types.boolean)  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.get_value_type(item)
        vector = ir.VectorType(number, width)
        index = arguments[1].type
        nothing = ir.Constant(vector, None)
        fresh = builder.trunc(arguments[10], ir.IntType(1))
        undefined = ir.Constant(vector, ir.Undefined)
        lane = ir.IntType(32)
        everywhere = ir.Constant(ir.VectorType(lane, width), None)
        a_at, a_row, a_step, b_at, depth, c_at, c_row = (
            arguments[k] for k in (1, 2, 3, 5, 6, 8, 9)
        )
        data = [
            context.make_array(signature.args[k])(context, builder, arguments[k]).data
            for k in (0, 4, 7)
        ]

        def vector_at(start: Any, offset: int) -> Any:
            place = builder.gep(start, [ir.Constant(index, offset * width)])
            return builder.bitcast(place, vector.as_pointer())

        a_rows = rows_apart(builder, builder.gep(data[0], [a_at]), a_row, TILE_ROWS)
        c_rows = rows_apart(builder, builder.gep(data[2], [c_at]), c_row, TILE_ROWS)
        b_start = builder.gep(data[1], [b_at])
        once: Callable[..., Any] = cgutils.alloca_once
        sums = [[once(builder, vector) for _ in range(_VECTORS)] for _ in c_rows]
        for row, places in zip(c_rows, sums, strict=True):
            for v, place in enumerate(places):
                there = builder.load(vector_at(row, v), align=item.bitwidth // 8)
                builder.store(builder.select(fresh, nothing, there), place)
        with cgutils.for_range(builder, depth) as loop:
            b_row = builder.gep(
                b_start, [builder.mul(loop.index, ir.Constant(index, _VECTORS * width))]
            )
            right = [
                builder.load(vector_at(b_row, v), align=item.bitwidth // 8) for v in range(_VECTORS)
            ]
            a_place = builder.mul(loop.index, a_step)
            for row, places in zip(a_rows, sums, strict=True):
                factor = builder.load(builder.gep(row, [a_place]))
                one = builder.insert_element(undefined, factor, ir.Constant(lane, 0))
                left = builder.shuffle_vector(one, undefined, everywhere)
                for term, place in zip(right, places, strict=True):
                    product = builder.fmul(left, term, flags=("contract",))
                    total = builder.fadd(builder.load(place), product, flags=("contract",))
                    builder.store(total, place)
        for row, places in zip(c_rows, sums, strict=True):
            for v, place in enumerate(places):
                builder.store(builder.load(place), vector_at(row, v), align=item.bitwidth // 8)
        return context.get_dummy_value()

    return signature, generate


@generated
def _transpose(typing, a, a_at, a_row, c, c_at, c_row):
    """Write the transpose of a square of a, one vector wide, to c; rows are a step apart."""
    item = a.dtype
    width = VECTOR_BYTES // (item.bitwidth // 8)
    signature = types.void(a, types.intp, types.intp, c, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(context.get_value_type(item), width)
        lane = ir.IntType(32)

        def places(which: int) -> list[Any]:
            array, start, step = arguments[which : which + 3]
            data = context.make_array(signature.args[which])(context, builder, array).data
            rows = [builder.gep(data, [start])]
            for _ in range(1, width):
                rows.append(builder.gep(rows[-1], [step]))
            return [builder.bitcast(row, vector.as_pointer()) for row in rows]

        rows = [builder.load(place, align=item.bitwidth // 8) for place in places(0)]
        step = 1
        while step < width:  # swap the off-diagonal squares of side `step` in those of twice it
            for i in (i for i in range(width) if not i & step):
                upper = [n if not n & step else width + n - step for n in range(width)]
                lower = [n + step if not n & step else width + n for n in range(width)]
                pair = rows[i], rows[i + step]
                rows[i], rows[i + step] = (
                    builder.shuffle_vector(
                        *pair, ir.Constant(ir.VectorType(lane, width), [lane(n) for n in mask])
                    )
                    for mask in (upper, lower)
                )
            step *= 2
        for row, place in zip(rows, places(3), strict=True):
            builder.store(row, place, align=item.bitwidth // 8)
        return context.get_dummy_value()

    return signature, generate


@inner()
def _pack_panel(points, left, stop, low, depth, d, panel, at):
    """Write the points' coordinates low to low + depth as a panel; zeros from `stop` on."""
    width = _VECTORS * VECTOR_BYTES // points.itemsize
    square = width // _VECTORS
    whole = depth - depth % square if left + width <= stop else 0
    for j in range(0, width if whole else 0, square):
        for k in range(0, whole, square):
            _transpose(points, (left + j) * d + low + k, d, panel, at + k * width + j, width)
    for k in range(whole, depth):
        for j in range(width):
            i = left + j
            panel[at + k * width + j] = points[i * d + low + k] if i < stop else 0


@inner()
def _add_tile(a, a_at, a_row, a_step, b, b_at, depth, c, c_at, c_row, fresh, rows, columns, spare):
    """`_tile`; of a corner of `rows` by `columns` a copy in `spare`, which is then put back."""
    width = spare.size // TILE_ROWS
    if rows == TILE_ROWS and columns == width:
        _tile(a, a_at, a_row, a_step, b, b_at, depth, c, c_at, c_row, fresh)
        return
    for i in range(rows):
        for j in range(columns):
            spare[i * width + j] = c[c_at + i * c_row + j]
    _tile(a, a_at, a_row, a_step, b, b_at, depth, spare, 0, width, fresh)
    for i in range(rows):
        for j in range(columns):
            c[c_at + i * c_row + j] = spare[i * width + j]


def project(
    points: Floats,
    directions: Floats,
    first_ray: int,
    n_rays: int,
    d: int,
    rows: Floats,
    row_step: int,
    start: int,
    stop: int,
) -> None:
    """Write <point, ray> of the points start to stop into rows, `row_step` apart.

    All arrays are flat: points (N, d), rows (n_rays, row_step), and directions (P, d), of which
    those from `first_ray` on are taken and TILE_ROWS more can be read.
    """
    width = _width(points.dtype)
    panel = np.empty(_PANELS * width * min(d, _DEPTH), points.dtype)
    spare = np.zeros(TILE_ROWS * width, points.dtype)
    _project(
        points, directions, first_ray, n_rays, d, rows, row_step, start, stop, panel, spare
    )  # fmt: skip


@compiled()
def _project(points, directions, first_ray, n_rays, d, rows, row_step, start, stop, panel, spare):
    width = spare.size // TILE_ROWS
    step: Any = int64(1)  # as below: a plain 1 has a type of its own
    for left in range(start, stop, _PANELS * width):
        size = min(_PANELS * width, stop - left)
        n_panels = (size + width - 1) // width
        for low in range(0, d, _DEPTH):
            depth = min(_DEPTH, d - low)
            for q in range(n_panels):
                at = q * width * depth
                _pack_panel(points, left + q * width, stop, low, depth, d, panel, at)
            for p in range(0, n_rays, TILE_ROWS):
                n_rows = min(TILE_ROWS, n_rays - p)
                ray = (first_ray + p) * d + low
                for q in range(n_panels):
                    columns = min(width, stop - left - q * width)
                    at = p * row_step + left + q * width
                    _add_tile(
                        directions, ray, d, step, panel, q * width * depth, depth,
                        rows, at, row_step, low == 0, n_rows, columns, spare,
                    )  # fmt: skip


def pack_directions(
    directions: Floats, first_ray: int, n_rays: int, d: int, scale: float
) -> Floats:
    """Directions times scale for `project_back`: panels of a tile's width, filled up with zeros."""
    width = _width(directions.dtype)
    panels = -(-d // width)
    padded = np.zeros((n_rays, panels * width), directions.dtype)
    rays = directions[first_ray * d : (first_ray + n_rays) * d].reshape(n_rays, d)
    padded[:, :d] = np.float64(scale) * rays
    return padded.reshape(n_rays, panels, width).swapaxes(0, 1).reshape(-1)


def project_back(
    slopes: Floats,
    row_step: int,
    n_rays: int,
    packed: Floats,
    d: int,
    out: Floats,
    start: int,
    stop: int,
) -> None:
    """Add sum over p of slopes[p, i] ray_p to the points i from start to stop of out (N, d).

    The slopes of a ray are `row_step` after those of the ray before; all arrays are flat.
    """
    left_side = np.zeros(_TILES * TILE_ROWS * n_rays, out.dtype)
    spare = np.zeros(TILE_ROWS * _width(out.dtype), out.dtype)
    _project_back(slopes, row_step, n_rays, packed, d, out, start, stop, left_side, spare)


@compiled()
def _project_back(slopes, row_step, n_rays, packed, d, out, start, stop, left_side, spare):
    width = spare.size // TILE_ROWS
    row: Any = int64(1)
    step: Any = int64(TILE_ROWS)
    fresh = row == 0  # never: a plain False has a type of its own, too
    block = _TILES * TILE_ROWS
    for left in range(start, stop, block):
        size = min(block, stop - left)
        for first in range(0, size, TILE_ROWS):
            n_rows = min(TILE_ROWS, size - first)
            at = first * n_rays
            here = left + first
            if n_rows == TILE_ROWS:
                for p in range(n_rays):
                    for i in range(TILE_ROWS):
                        left_side[at + p * TILE_ROWS + i] = slopes[p * row_step + here + i]
            else:
                for p in range(n_rays):
                    for i in range(n_rows):
                        left_side[at + p * TILE_ROWS + i] = slopes[p * row_step + here + i]
        for column in range(0, d, width):
            columns = min(width, d - column)
            for first in range(0, size, TILE_ROWS):
                n_rows = min(TILE_ROWS, size - first)
                at = (left + first) * d + column
                _add_tile(
                    left_side, first * n_rays, row, step, packed, column * n_rays, n_rays,
                    out, at, d, fresh, n_rows, columns, spare,
                )  # fmt: skip


def _width(dtype: np.dtype[Any]) -> int:
    """Numbers in a row of a tile."""
    return _VECTORS * VECTOR_BYTES // dtype.itemsize


@compiled()
def extremes(points, d, start, stop, low, high):
    """Lower `low` and raise `high` (L,), L a multiple of d, to what the points start to stop reach.

    Place k of both sees every (L / d)-th point only, so that the inner loop is long for small d.
    """
    end, length = stop * d, low.size
    for at in range(start * d, end, length):
        row = points[at : min(at + length, end)]
        for k in range(row.size):  # one array written in a loop: several are not made vectors
            number, least = row[k], low[k]
            low[k] = number if number < least else least
        for k in range(row.size):
            number, most = row[k], high[k]
            high[k] = number if number > most else most
