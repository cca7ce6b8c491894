"""Tiles of pairs of points in vector registers: squared distances, and sums of differences.

Both are made of differences of coordinates, not of inner products, so that points that nearly
coincide, or lie far from the origin, lose no digits. A tile has TILE_ROWS rows; its columns are
one or two vectors of LANES numbers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..compiler import VECTOR_BYTES, generated, rows_apart

LANES = VECTOR_BYTES // 8  # float64 numbers of a vector
TILE_ROWS = 8 if VECTOR_BYTES == 64 else 6  # accumulators of two vectors a row stay in registers


def _adder(vectors: int, term: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled code that adds `depth` terms to every number of a tile.

    `term(builder, left, right, own, total)` adds to `total` what comes of the number `left` of a
    row and a depth, the vector `right` of that depth, and the row's `own` vector.
    """

    def tile(  # type: ignore[no-untyped-def]
        typing, a, a_at, a_row, a_step, b, b_at, b_step, z, z_at, z_row, depth, c, c_at, c_row
    ):
        index = types.intp
        signature = types.void(
            a, index, index, index, b, index, index, z, index, index, index, c, index, index
        )

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number, lane = ir.DoubleType(), ir.IntType(32)
            vector = ir.VectorType(number, LANES)
            everywhere = ir.Constant(ir.VectorType(lane, LANES), None)
            undefined = ir.Constant(vector, ir.Undefined)
            once: Callable[..., Any] = cgutils.alloca_once
            a_at, a_row, a_step = arguments[1:4]
            b_at, b_step = arguments[5:7]
            z_at, z_row, depth = arguments[8:11]
            c_at, c_row = arguments[12:14]
            integer = a_at.type
            data = [
                context.make_array(signature.args[k])(context, builder, arguments[k]).data
                for k in (0, 4, 7, 11)
            ]

            def load(start: Any, offset: int) -> Any:
                place = builder.gep(start, [ir.Constant(integer, offset * LANES)])
                return builder.load(builder.bitcast(place, vector.as_pointer()), align=8)

            a_rows = rows_apart(builder, builder.gep(data[0], [a_at]), a_row, TILE_ROWS)
            z_rows = rows_apart(builder, builder.gep(data[2], [z_at]), z_row, TILE_ROWS)
            c_rows = rows_apart(builder, builder.gep(data[3], [c_at]), c_row, TILE_ROWS)
            b_start = builder.gep(data[1], [b_at])
            sums = [[once(builder, vector) for _ in range(vectors)] for _ in c_rows]
            for row, places in zip(c_rows, sums, strict=True):
                for v, place in enumerate(places):
                    builder.store(load(row, v), place)
            with cgutils.for_range(builder, depth) as loop:
                b_row = builder.gep(b_start, [builder.mul(loop.index, b_step)])
                right = [load(b_row, v) for v in range(vectors)]
                a_place = builder.mul(loop.index, a_step)
                for a_here, z_here, places in zip(a_rows, z_rows, sums, strict=True):
                    factor = builder.load(builder.gep(a_here, [a_place]))
                    one = builder.insert_element(undefined, factor, ir.Constant(lane, 0))
                    left = builder.shuffle_vector(one, undefined, everywhere)
                    for v, place in enumerate(places):
                        own = partial(load, z_here, v)
                        total = term(builder, left, right[v], own, builder.load(place))
                        builder.store(total, place)
            for row, places in zip(c_rows, sums, strict=True):
                for v, place in enumerate(places):
                    there = builder.gep(row, [ir.Constant(integer, v * LANES)])
                    there = builder.bitcast(there, vector.as_pointer())
                    builder.store(builder.load(place), there, align=8)
            return context.get_dummy_value()

        return signature, generate

    return generated(tile)


def _add(builder: Any, left: Any, right: Any, total: Any) -> Any:
    product = builder.fmul(left, right, flags=("contract",))
    return builder.fadd(total, product, flags=("contract",))


def _square(builder: Any, left: Any, right: Any, own: Any, total: Any) -> Any:
    away = builder.fsub(right, left)
    return _add(builder, away, away, total)


def _pull(builder: Any, left: Any, right: Any, own: Any, total: Any) -> Any:
    return _add(builder, left, builder.fsub(own(), right), total)


def _product(builder: Any, left: Any, right: Any, own: Any, total: Any) -> Any:
    return _add(builder, left, right, total)


# Each adds to a tile c of rows `c_row` apart, over `depth` steps k, with a at a_at + i a_row +
# k a_step (one number), b at b_at + k b_step (vectors) and z at z_at + i z_row (vectors):
add_squares = _adder(2, _square)  # (b_k - a_ik)^2
add_pulls_1 = _adder(1, _pull)  # a_ik (z_i - b_k)
add_pulls_2 = _adder(2, _pull)
add_products_1 = _adder(1, _product)  # a_ik b_k
add_products_2 = _adder(2, _product)


@generated
def transpose_square(typing, a, a_at, a_row, c, c_at, c_row):  # type: ignore[no-untyped-def]
    """Write the transpose of a square of a, one vector wide, to c; rows are a step apart."""
    index = types.intp
    signature = types.void(a, index, index, c, index, index)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, lane = ir.VectorType(ir.DoubleType(), LANES), ir.IntType(32)

        def places(which: int) -> list[Any]:
            array, start, step = arguments[which : which + 3]
            data = context.make_array(signature.args[which])(context, builder, array).data
            rows = [builder.gep(data, [start])]
            for _ in range(1, LANES):
                rows.append(builder.gep(rows[-1], [step]))
            return [builder.bitcast(row, vector.as_pointer()) for row in rows]

        rows = [builder.load(place, align=8) for place in places(0)]
        step = 1
        while step < LANES:  # swap the off-diagonal squares of side `step` in those of twice it
            upper = [n if not n & step else LANES + n - step for n in range(LANES)]
            lower = [n + step if not n & step else LANES + n for n in range(LANES)]
            masks = [ir.Constant(ir.VectorType(lane, LANES), [lane(n) for n in mask])
                     for mask in (upper, lower)]  # fmt: skip
            for i in (i for i in range(LANES) if not i & step):
                pair = rows[i], rows[i + step]
                rows[i], rows[i + step] = (builder.shuffle_vector(*pair, m) for m in masks)
            step *= 2
        for row, place in zip(rows, places(3), strict=True):
            builder.store(row, place, align=8)
        return context.get_dummy_value()

    return signature, generate
