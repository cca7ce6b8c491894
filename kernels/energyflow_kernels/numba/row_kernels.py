"""The compiled passes over a row: radix sort, walk along the sorted row, scatter the slopes.

They stand in one file because Numba's cache notices a change only in the file of the function
that it compiled, not in the functions that this one calls.

A row holds the N points of x and then the M points of y.  Its order is an array of 64-bit words
with the index of a point in the lower 32 bits.  Reference for the formula that the walks sum:
Szekely and Rizzo, Energy statistics, J. Stat. Plan. Inference 143 (2013), section 2.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from typing import Any

import numpy as np
from numba import int32, int64, types, uint32, uint64
from numba.core.imputils import impl_ret_borrowed
from numba.np.arrayobj import populate_array

from .compiler import compiled, generated, inner

COUNTERS = 5 << 10

# 2048 buckets a pass beat 256 in rows of these lengths: shorter ones do not repay clearing that
# many, and the buckets of longer ones lie on too many pages for the translation cache.
_WIDE_FROM = 1 << 10
_WIDE_BELOW = 1 << 19
# Up to here few points share their upper 22 bits.
_SETTLED_BELOW = 1 << 16
_LOW = uint64(0xFFFFFFFF)
_SIGN = uint32(0x80000000)


@generated
def _seen_as(typing, array, like):
    """The memory of a contiguous array as numbers of another array's dtype, or of a dtype.

    It is `array.view(dtype)`, which takes Numba many times as long to compile.
    """
    item = like.dtype
    result = types.Array(item, 1, "C", aligned=array.aligned)

    def generate(context, builder, signature, arguments):
        source = context.make_array(array)(context, builder, arguments[0])
        view = context.make_array(result)(context, builder)
        size = context.get_constant(types.intp, item.bitwidth // 8)
        count = builder.sdiv(builder.mul(source.nitems, source.itemsize), size)
        data = builder.bitcast(source.data, view.data.type)
        populate_array(view, data, [count], [size], size, source.meminfo, source.parent)
        return impl_ret_borrowed(context, builder, result, view._getvalue())

    return result(array, like), generate


@inner()
def _count_digits(packed, counts, bits, low_bit):
    """Histogram every digit from `low_bit` of the upper 32 bits on, in one pass."""
    one = uint32(1)
    if low_bit and bits == 11:
        for word in packed:
            counts[(word >> uint64(42)) & uint64(2047)] += one
            counts[uint64(2048) + (word >> uint64(53))] += one
    elif low_bit:
        for word in packed:
            counts[uint64(256) + ((word >> uint64(40)) & uint64(255))] += one
            counts[uint64(512) + ((word >> uint64(48)) & uint64(255))] += one
            counts[uint64(768) + (word >> uint64(56))] += one
    elif bits == 11:
        for word in packed:
            counts[(word >> uint64(32)) & uint64(2047)] += one
            counts[uint64(2048) + ((word >> uint64(43)) & uint64(2047))] += one
            counts[uint64(4096) + (word >> uint64(54))] += one
    else:
        for word in packed:
            counts[(word >> uint64(32)) & uint64(255)] += one
            counts[uint64(256) + ((word >> uint64(40)) & uint64(255))] += one
            counts[uint64(512) + ((word >> uint64(48)) & uint64(255))] += one
            counts[uint64(768) + (word >> uint64(56))] += one


@inner()
def _sort_packed(packed, spare, counts, bits, first_bit):
    """Sort words stably by their upper 32 bits; return the sorted and the free array.

    `first_bit` is 0, or 10 with `bits` = 11 and 8 or 16 with `bits` = 8 to leave the lowest bits
    unsorted.
    """
    mask = uint64((1 << bits) - 1)
    counts[:] = uint32(0)
    _count_digits(packed, counts, bits, first_bit)
    for low_bit in range(first_bit, 32, bits):
        shift = uint64(32 + low_bit)
        radix = 1 << min(bits, 32 - low_bit)
        start = low_bit // bits << bits
        places = counts[start : start + radix]
        if places[(packed[0] >> shift) & mask] == packed.size:
            continue
        place = uint32(0)
        for bucket in range(radix):
            count = places[bucket]
            places[bucket] = place
            place += count
        for word in packed:
            bucket = (word >> shift) & mask
            place = places[bucket]
            places[bucket] = place + uint32(1)
            spare[uint64(place)] = word
        packed, spare = spare, packed
    return packed, spare


@inner()
def _settle(order):
    """Insert words that are nearly in order into their places; False when they are too many."""
    patience = order.size
    last = order[0]
    for k in range(1, order.size):
        word = order[k]
        if word >= last:
            last = word
            continue
        j = k
        while j > 0 and order[j - 1] > word:
            order[j] = order[j - 1]
            j -= 1
        order[j] = word
        patience -= k - j
        if patience < 0:
            return False
    return True


@inner()
def _insert(order, row):
    """Order float64 points whose upper halves are equal; False when they are too many."""
    patience = 4 * order.size
    for k in range(1, order.size):
        word = order[k]
        if (word ^ order[k - 1]) > _LOW:
            continue
        value = row[word & _LOW]
        j = k
        while j > 0 and (word ^ order[j - 1]) <= _LOW and row[order[j - 1] & _LOW] > value:
            order[j] = order[j - 1]
            j -= 1
        order[j] = word
        patience -= k - j
        if patience < 0:
            return False
    return True


@inner()
def _ordered(high):
    """The upper half of a number's bits, flipped so that it sorts as an unsigned integer."""
    return uint32(high ^ ((uint32(0) - (high >> uint32(31))) | _SIGN))


@inner()
def _sort_row(row, first, second, counts):
    """Radix sort: return the order of a row and the free one of the two arrays.

    float32 is sorted by all its bits, float64 by the upper half, of which short rows leave the
    lowest bits to insertion; float64 by both halves where inserting the points with equal upper
    halves takes too long.  A float32 row may lie in the memory of `second`.
    """
    n = first.size
    bits = 11 if _WIDE_FROM <= n < _WIDE_BELOW else 8
    width = row.itemsize // 4
    words = _seen_as(row, np.uint32)
    for i in range(n):
        first[i] = (uint64(_ordered(words[width * i + width - 1])) << uint64(32)) | uint64(i)
    none: Any = int64(0)  # a plain 0 has a type of its own, for which functions are compiled anew
    unsorted = none
    if n < _WIDE_FROM:
        unsorted = 16 if width == 1 else 8
    elif width == 1 and n < _SETTLED_BELOW:
        unsorted = 10
    order, free = _sort_packed(first, second, counts, bits, unsorted)
    if unsorted and not _settle(order):
        order, free = _sort_packed(order, free, counts, bits, none)
    if width == 1 or _insert(order, row):
        return order, free
    for i in range(n):
        flip = uint32(0) - (words[2 * i + 1] >> uint32(31))
        first[i] = (uint64(uint32(words[2 * i] ^ flip)) << uint64(32)) | uint64(i)
    order, free = _sort_packed(first, second, counts, bits, none)
    for k in range(n):
        i = order[k] & _LOW
        order[k] = (uint64(_ordered(words[uint64(2) * i + uint64(1)])) << uint64(32)) | i
    return _sort_packed(order, free, counts, bits, none)


@inner()
def _read_sorted(order, row, z):
    """Write the sorted numbers to z: float32 from their keys, float64 from the row."""
    if z.itemsize == 4:
        bits = _seen_as(z, np.uint32)
        for k in range(z.size):
            key = uint32(order[k] >> uint64(32))
            bits[k] = key ^ (((key >> uint32(31)) - uint32(1)) | _SIGN)
    else:
        for k in range(z.size):
            z[k] = row[order[k] & _LOW]


@inner()
def _count_x(order, n_x, x_counts):
    """How many of the first k + 1 points of a sorted row are points of x, for every k."""
    total = int32(0)
    for k in range(order.size):
        total += int32((int64(order[k] & _LOW) - n_x) < 0)
        x_counts[k] = total


@inner("reassoc", "contract")
def _squares_counting(z, x_counts, n_x, n_y, inverse):
    """Sum of gap * (A - B)^2 along a row, and how many gaps are none."""
    both = float(n_x + n_y)
    total = 0.0
    ties = 0
    for k in range(z.size - 1):
        gap = np.float64(z[k + 1]) - np.float64(z[k])
        level = float(x_counts[k]) * both - float(int32(k + 1)) * float(n_x)
        share = level * inverse
        total += gap * (share * share)
        ties += int64(gap == 0.0)
    return total, ties


@inner()
def _slopes_counting(z, x_counts, n_x, n_y, slope):
    """Replace z, as if it had no ties, by slope * step * (level before + level after)."""
    both = float(n_x + n_y)
    for k in range(1, z.size):
        before = float(x_counts[k - 1]) * both - float(int32(k)) * float(n_x)
        after = float(x_counts[k]) * both - float(int32(k + 1)) * float(n_x)
        z[k] = (after - before) * (slope * (before + after))
    first = float(x_counts[0]) * both - float(n_x)
    z[0] = first * (slope * first)


@inner()
def _tied(z, places):
    """Write down the places k with z[k] = z[k + 1], as many as `places` holds; return how many.

    They may be fewer than the gaps of zero (where subnormal numbers are taken for zero, a gap is
    zero but its ends differ) or more (infinities are equal, but have no gap of zero).
    """
    count = 0
    for k in range(z.size - 1):
        if z[k] == z[k + 1] and count < places.size:
            places[count] = k
            count += 1
    return count


@inner()
def _slopes_of_group(z, x_counts, start, stop, n_x, n_y, slope):
    """Slopes of equal points: with the levels before and after all of them."""
    both = float(n_x + n_y)
    last = x_counts[start - 1] if start else int32(0)
    before = float(last) * both - float(start) * float(n_x)
    after = float(x_counts[stop - 1]) * both - float(stop) * float(n_x)
    for k in range(start, stop):
        of_x = float(x_counts[k] - last)
        last = x_counts[k]
        z[k] = (of_x * both - float(n_x)) * (slope * (before + after))


@inner()
def _walk_counting(order, z, x_counts, counts, n_x, n_y):
    """Value of the V estimator with uniform weights, from exact counts; gradients replace z.

    The level N M (A - B) is exact while N (N + M) < 2^53. `x_counts` and `counts` are scratch.
    """
    none: Any = int64(0)
    inverse = 1.0 / (float(n_x) * float(n_y))
    slope = -2.0 * inverse * inverse
    _count_x(order, int64(n_x), x_counts)
    squares, ties = _squares_counting(z, x_counts, n_x, n_y, inverse)
    if ties <= counts.size:
        if ties:
            ties = _tied(z, counts[:ties])
        _slopes_counting(z, x_counts, n_x, n_y, slope)
        i = 0
        while i < ties:
            start = int64(counts[i])
            while i + 1 < ties and counts[i + 1] == counts[i] + uint32(1):
                i += 1
            _slopes_of_group(z, x_counts, start, int64(counts[i]) + 2, n_x, n_y, slope)
            i += 1
    else:
        start = none
        while start < z.size:
            stop = start + 1
            while stop < z.size and z[stop] == z[start]:
                stop += 1
            _slopes_of_group(z, x_counts, start, stop, n_x, n_y, slope)
            start = stop
    return 2.0 * squares


@inner()
def _walk_weighing(order, z, w, n_x, unit_x, unit_y, s_x, s_y):
    """Value with weights w * unit and the self-terms times s_x and s_y; gradients replace z.

    Both distribution functions are set to one at the last point, so that points that are all
    equal have no gradient, however the weights round.
    """
    n = z.size
    total = 0.0
    a = 0.0
    b = 0.0
    last = np.float64(z[0])
    k = 0
    while k < n:
        here = z[k]
        value = np.float64(here)
        own = (s_x - 1.0) * (a * (1.0 - a)) + (s_y - 1.0) * (b * (1.0 - b))
        total += (value - last) * ((a - b) * (a - b) - own)
        last = value
        a_before = a
        b_before = b
        start = k
        while True:
            i = order[k] & _LOW
            of_x = float((i - uint64(n_x)) >> uint64(63))
            a += of_x * (w[i] * unit_x)
            b += (1.0 - of_x) * (w[i] * unit_y)
            k += 1
            if k == n or z[k] != here:
                break
        if k == n:
            a = 1.0
            b = 1.0
        rank_a = (a_before + a) - 1.0
        rank_b = (b_before + b) - 1.0
        slope_x = 2.0 * unit_x * (rank_b - s_x * rank_a)
        slope_y = 2.0 * unit_y * (rank_a - s_y * rank_b)
        for j in range(start, k):
            i = order[j] & _LOW
            of_x = float((i - uint64(n_x)) >> uint64(63))
            z[j] = w[i] * (of_x * slope_x + (1.0 - of_x) * slope_y)
    return 2.0 * total


@inner()
def _scatter(order, slopes, g):
    """Put the gradients in the points' places; a loop so short keeps many misses in flight."""
    for k in range(g.size):
        g[order[k] & _LOW] = slopes[k]


@inner()
def _copy(numbers, out):
    """Copy, whatever memory they share, as long as it is the same place or none."""
    for i in range(out.size):
        out[i] = numbers[i]


@inner()
def _load(points, row):
    """Copy a row, -0.0 as +0.0."""
    zero = row.dtype.type(0)
    for i in range(row.size):
        row[i] = points[i] + zero


@inner()
def _load_weights(weights, w, unbiased):
    """Copy the weights of a row, ones for none; return their unit and the self-term's factor."""
    n = w.size
    if weights.size == 0:
        w[:] = 1.0
        return 1.0 / n, (n / (n - 1.0) if unbiased else 1.0)
    squares = 0.0
    for i in range(n):
        w[i] = weights[i]
        squares += w[i] * w[i]
    return 1.0, (1.0 / (1.0 - squares) if unbiased else 1.0)


@compiled()
def solve_rows(
    x, x_step, n_x, a, a_step, gx, gx_step,
    y, y_step, n_y, b, b_step, gy, gy_step,
    unbiased, values,
    first, second, row, counts, w,
    start, stop,
):  # fmt: skip
    """Value and gradients of the rows start to stop.

    All arrays are flat, and a row stands at its number times the step.  Empty weights are
    uniform, an empty gradient is not wanted.  A gradient may overwrite the rows that it belongs
    to.  The arrays from `first` to `w` are scratch of N + M numbers, `counts` of COUNTERS; a
    float32 `row` lies in the memory of `second`, and None for `w` asks for uniform weights and no
    bias term: the walk that weighs is not compiled then.  One row of x and of y, and their
    gradients, may lie in `row`.
    """
    n = n_x + n_y
    for r in range(start, stop):
        _load(x[r * x_step :], row[:n_x])
        _load(y[r * y_step :], row[n_x:])
        order, free = _sort_row(row, first, second, counts)
        numbers = _seen_as(free, x)
        z = numbers[:n]
        _read_sorted(order, row, z)
        g = numbers[n : 2 * n] if x.itemsize == 4 else row
        if w is not None:
            unit_x, s_x = _load_weights(a[r * a_step :], w[:n_x], unbiased)
            unit_y, s_y = _load_weights(b[r * b_step :], w[n_x:], unbiased)
            values[r] = _walk_weighing(order, z, w, n_x, unit_x, unit_y, s_x, s_y)
        else:
            values[r] = _walk_counting(order, z, _seen_as(g, np.int32)[:n], counts, n_x, n_y)
        if gx.size or gy.size:
            _scatter(order, z, g)
        if gx.size:
            _copy(g, gx[r * gx_step : r * gx_step + n_x])
        if gy.size:
            _copy(g[n_x:], gy[r * gy_step : r * gy_step + n_y])
