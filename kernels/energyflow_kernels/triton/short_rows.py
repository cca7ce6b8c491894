"""Short rows: one program sorts, compares and differentiates a whole row, in one launch.

The keys of x and of y are sorted on their own, without a payload. Binary searches between the
two sorted lists give every count the value and the gradient need; one more search brings the
gradient back to the place of its point. Weights would have to travel with the keys, so weighted
rows take the way of long rows, where the sort hands out the permutation.
"""

# mypy: disable-error-code="import-untyped, no-untyped-def, untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import SHORT_REGISTERS, SHORT_WARPS, launch, short_block


@triton.jit
def _key_of(z):
    """Integer with the order of the float; both zeros give 0 and every NaN lies at an end."""
    bits = z.to(tl.int32, bitcast=True)
    key = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return tl.where(z == 0.0, 0, key)


@triton.jit
def _float_of(key):
    bits = tl.where(key < 0, key ^ 0x7FFFFFFF, key)
    return bits.to(tl.float32, bitcast=True).to(tl.float64)


@triton.jit
def _points(
    points_ptr, direction_ptr, row, first, count, dim, PROJECT: tl.constexpr, BLOCK: tl.constexpr
):
    """The points of a row from `first` on, projected in here or read; zeros past the end."""
    slot = first + tl.arange(0, BLOCK)
    there = slot < count
    if PROJECT:
        z = tl.zeros((BLOCK,), tl.float32)
        for c in range(dim):
            t = tl.load(direction_ptr + row * dim + c)
            v = tl.load(points_ptr + slot * dim + c, mask=there, other=0.0)
            z = tl.fma(v, t, z)
    else:
        z = tl.load(points_ptr + row * count + slot, mask=there, other=0.0)
    return z


@triton.jit
def _at(keys, index, BLOCK: tl.constexpr):
    """keys[index], and the padding key where the index is past the end."""
    key = tl.gather(keys, tl.minimum(index, BLOCK - 1), 0)
    return tl.where(index < BLOCK, key, 0x7FFFFFFF)


@triton.jit
def _count_below(keys, wanted, BLOCK: tl.constexpr, LOG_BLOCK: tl.constexpr):
    """How many of the sorted keys are strictly below each wanted key."""
    count = tl.zeros((BLOCK,), tl.int32)
    for step in range(LOG_BLOCK):
        half = BLOCK >> (step + 1)
        probe = tl.gather(keys, count + (half - 1), 0)
        count += tl.where(probe < wanted, half, 0)
    return count + (tl.gather(keys, count, 0) < wanted).to(tl.int32)


@triton.jit
def _half_of_value(own, other, after, n, m, excess, UNBIASED: tl.constexpr, BLOCK: tl.constexpr):
    """The gaps that begin at a point of `own`, times (n m)^2 / 2.

    `after` counts the points of `other` before each own point in the pooled order, where a tie
    puts x before y.
    """
    slot = tl.arange(0, BLOCK)
    next_own = _at(own, slot + 1, BLOCK)
    following = tl.minimum(next_own, _at(other, after, BLOCK))
    here = _float_of(own)
    gap = tl.where((slot < n) & (following != 0x7FFFFFFF), _float_of(following) - here, 0.0)
    ahead = (m * (slot + 1) - n * after).to(tl.float64)
    value = tl.sum(gap * (ahead * ahead), 0)
    if UNBIASED:
        own_gap = tl.where(slot + 1 < n, _float_of(next_own) - here, 0.0)
        self_term = ((slot + 1) * (n - slot - 1)).to(tl.float64)
        value -= tl.sum(own_gap * self_term, 0) * (excess * m * m)
    return value


@triton.jit
def _gradient(
    own, other, keys, first, n, m, scale, excess_scale,
    IS_X: tl.constexpr, UNBIASED: tl.constexpr, BLOCK: tl.constexpr, LOG_BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradient of one side, in the order of `keys`: `own` before it was sorted."""
    slot = first + tl.arange(0, BLOCK)
    there = slot < n
    # The left limit for x and the right one for y.
    after = _count_below(other, own + first if IS_X else own + (first + 1), BLOCK, LOG_BLOCK)
    # Left plus right limits of the counts: twice the mid-ranks.
    mid = 2 * slot + 1
    if tl.max((there & (own == _at(own, slot + 1, BLOCK))).to(tl.int32), 0) != 0:
        mid = _count_below(own, own, BLOCK, LOG_BLOCK)
        mid += _count_below(own, own + 1, BLOCK, LOG_BLOCK)
    mid_other = 2 * after
    probe = after if IS_X else after - 1
    tied = there & (probe >= 0) & (_at(other, tl.maximum(probe, 0), BLOCK) == own)
    if tl.max(tied.to(tl.int32), 0) != 0:
        mid_other = after + _count_below(other, own + 1 if IS_X else own, BLOCK, LOG_BLOCK)
    gradient = (m * mid - n * mid_other).to(tl.float32) * scale.to(tl.float32)
    if UNBIASED:
        gradient += (mid - n).to(tl.float32) * excess_scale.to(tl.float32)
    place = tl.minimum(_count_below(own, keys, BLOCK, LOG_BLOCK), BLOCK - 1)
    return tl.gather(gradient, place, 0)


@triton.jit(do_not_specialize=["n", "m", "dim", "want_x", "want_y"])
def short_rows_kernel(
    x_ptr, y_ptr, directions_ptr, values_ptr, gx_ptr, gy_ptr,
    n, m, dim, want_x, want_y,
    inverse_n: tl.float64, inverse_m: tl.float64, excess_x: tl.float64, excess_y: tl.float64,
    PROJECT: tl.constexpr, UNBIASED: tl.constexpr, BLOCK: tl.constexpr, LOG_BLOCK: tl.constexpr,
):  # fmt: skip
    """Value and gradient of one row; `x_ptr` is (R, n), or (n, dim) if projected in here.

    The scalars in float64 come from the host: a division costs a stack frame.
    """
    row = tl.program_id(0).to(tl.int64)
    slot = tl.arange(0, BLOCK)
    x = _points(x_ptr, directions_ptr, row, 0, n, dim, PROJECT, BLOCK)
    y = _points(y_ptr, directions_ptr, row, 0, m, dim, PROJECT, BLOCK)
    bad = tl.max((((x - x) != 0.0) | ((y - y) != 0.0)).to(tl.int32), 0)
    # The padding key is the largest; only a NaN can share it, and then the row is bad anyway.
    xs = tl.sort(tl.where(slot < n, _key_of(x), 0x7FFFFFFF))
    ys = tl.sort(tl.where(slot < m, _key_of(y), 0x7FFFFFFF))

    y_before = _count_below(ys, xs, BLOCK, LOG_BLOCK)
    x_before = _count_below(xs, ys + 1, BLOCK, LOG_BLOCK)
    value = _half_of_value(xs, ys, y_before, n, m, excess_x, UNBIASED, BLOCK)
    value += _half_of_value(ys, xs, x_before, m, n, excess_y, UNBIASED, BLOCK)
    value *= 2.0 * (inverse_n * inverse_n) * (inverse_m * inverse_m)
    tl.store(values_ptr + row, tl.where(bad != 0, float("nan"), value))

    # The points are read again below, so that the sorts need not keep them in registers. A
    # zero that the compiler cannot see through stops it from keeping their addresses, and the
    # counts and neighbours found above, instead.
    zero = tl.minimum(bad, 0)
    if want_x != 0:
        scale = -2.0 * inverse_n * inverse_n * inverse_m
        unbias = -2.0 * inverse_n * inverse_n * excess_x
        keys = _key_of(_points(x_ptr, directions_ptr, row, zero, n, dim, PROJECT, BLOCK))
        gradient = _gradient(
            xs, ys, keys, zero, n, m, scale, unbias, True, UNBIASED, BLOCK, LOG_BLOCK
        )
        tl.store(gx_ptr + row * n + slot, gradient, mask=slot < n)
    if want_y != 0:
        scale = -2.0 * inverse_m * inverse_m * inverse_n
        unbias = -2.0 * inverse_m * inverse_m * excess_y
        keys = _key_of(_points(y_ptr, directions_ptr, row, zero, m, dim, PROJECT, BLOCK))
        gradient = _gradient(
            ys, xs, keys, zero, m, n, scale, unbias, False, UNBIASED, BLOCK, LOG_BLOCK
        )
        tl.store(gy_ptr + row * m + slot, gradient, mask=slot < m)


def short_rows(
    x: Tensor, y: Tensor, directions: Tensor | None, unbiased: bool, want_x: bool, want_y: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Values (R,) and gradients (R, N), (R, M) of short float32 rows, empty where not wanted.

    Without directions x is (R, N) and y is (R, M); with directions (R, d), x is (N, d) and y is
    (M, d), and row p is their projection on direction p.
    """
    points_axis = 1 if directions is None else 0
    n, m = x.shape[points_axis], y.shape[points_axis]
    n_rows, dim = (x.shape[0], 1) if directions is None else directions.shape
    values = x.new_empty(n_rows, dtype=torch.float64)
    gx = x.new_empty((n_rows if want_x else 0, n))
    gy = x.new_empty((n_rows if want_y else 0, m))
    block = short_block(n, m)
    if n_rows > 0:
        excess = (1.0 / (n - 1), 1.0 / (m - 1)) if unbiased else (0.0, 0.0)
        launch(
            short_rows_kernel, (n_rows,), SHORT_WARPS[block],
            x, y, x if directions is None else directions, values, gx, gy,
            n, m, dim, int(want_x), int(want_y),
            1.0 / n, 1.0 / m, *excess,
            registers=SHORT_REGISTERS, PROJECT=directions is not None, UNBIASED=unbiased,
            BLOCK=block, LOG_BLOCK=block.bit_length() - 1,
        )  # fmt: skip
    return values, gx, gy
