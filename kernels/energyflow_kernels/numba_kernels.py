"""The compiled passes of the CPU path: project, sort a row, walk along it, project back.

They stand in one file because Numba's cache notices a change only in the file of the function
that it compiled, not in the functions that this one calls.

A row holds the N points of x and then the M points of y.  Its order is an array of 64-bit words
with the index of a point in the lower 32 bits.  Reference for the formula that the walks sum:
Szekely and Rizzo, Energy statistics, J. Stat. Plan. Inference 143 (2013), section 2.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import int64, njit, uint32, uint64

COUNTERS = 5 << 10

# 2048 buckets a pass beat 256 in rows of these lengths: shorter ones do not repay clearing that
# many, and the buckets of longer ones lie on too many pages for the translation cache.
_WIDE_FROM = 1 << 10
_WIDE_BELOW = 1 << 19
_LOW = uint64(0xFFFFFFFF)
_SIGN = uint32(0x80000000)
_TILE = 512


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to run without the GIL, and uncached where no cache folder can be written."""
    try:
        return njit(function, nogil=True, error_model="numpy", cache=True)  # type: ignore[no-any-return]
    except RuntimeError:
        return njit(function, nogil=True, error_model="numpy")  # type: ignore[no-any-return]


@_jit
def _count_digits(packed, counts, bits):  # type: ignore[no-untyped-def]
    """Histogram every digit of the upper 32 bits in one pass."""
    one = uint32(1)
    if bits == 11:
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


@_jit
def _sort_packed(packed, spare, counts, bits):  # type: ignore[no-untyped-def]
    """Sort words stably by their upper 32 bits; return the sorted and the free array."""
    mask = uint64((1 << bits) - 1)
    counts[:] = uint32(0)
    _count_digits(packed, counts, bits)
    for low_bit in range(0, 32, bits):
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


@_jit
def _insert(order, row):  # type: ignore[no-untyped-def]
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


@_jit
def _ordered(high):  # type: ignore[no-untyped-def]
    """The upper half of a number's bits, flipped so that it sorts as an unsigned integer."""
    return uint32(high ^ ((uint32(0) - (high >> uint32(31))) | _SIGN))


@_jit
def _sort_row(row, first, second, counts):  # type: ignore[no-untyped-def]
    """Return the order of a row and the free one of the two arrays.

    float32 is sorted by all its bits; float64 by the upper half, and by both where inserting the
    points with equal upper halves takes too long.  A float32 row may lie in the memory of `second`.
    """
    n = first.size
    bits = 11 if _WIDE_FROM <= n < _WIDE_BELOW else 8
    width = row.itemsize // 4
    words = row.view(np.uint32)
    for i in range(n):
        first[i] = (uint64(_ordered(words[width * i + width - 1])) << uint64(32)) | uint64(i)
    order, free = _sort_packed(first, second, counts, bits)
    if width == 1 or _insert(order, row):
        return order, free
    for i in range(n):
        flip = uint32(0) - (words[2 * i + 1] >> uint32(31))
        first[i] = (uint64(uint32(words[2 * i] ^ flip)) << uint64(32)) | uint64(i)
    order, free = _sort_packed(first, second, counts, bits)
    for k in range(n):
        i = order[k] & _LOW
        order[k] = (uint64(_ordered(words[uint64(2) * i + uint64(1)])) << uint64(32)) | i
    return _sort_packed(order, free, counts, bits)


@_jit
def _read_sorted(order, row, z):  # type: ignore[no-untyped-def]
    """Write the sorted numbers to z: float32 from their keys, float64 from the row."""
    if z.itemsize == 4:
        bits = z.view(np.uint32)
        for k in range(z.size):
            key = uint32(order[k] >> uint64(32))
            bits[k] = key ^ (((key >> uint32(31)) - uint32(1)) | _SIGN)
    else:
        for k in range(z.size):
            z[k] = row[order[k] & _LOW]


@_jit
def _walk_counting(order, z, n_x, n_y):  # type: ignore[no-untyped-def]
    """Value of the V estimator with uniform weights, from exact counts; gradients replace z.

    `level` is N M (A - B): a point of x raises it by M, one of y lowers it by N, without a branch,
    for which of them comes next cannot be predicted.  It is exact while N M < 2^53.
    """
    n = z.size
    split = int64(n_x)
    both = int64(n_x + n_y)
    inverse = 1.0 / (float(n_x) * float(n_y))
    slope = -2.0 * inverse * inverse
    square = 0.0
    level = 0.0
    last = np.float64(z[0])
    k = 0
    while k < n:
        here = z[k]
        value = np.float64(here)
        square += (value - last) * (level * level)
        last = value
        step = float((((int64(order[k] & _LOW) - split) >> 63) & both) - split)
        after = level + step
        start = k
        k += 1
        if k < n and z[k] == here:
            while k < n and z[k] == here:
                after += float((((int64(order[k] & _LOW) - split) >> 63) & both) - split)
                k += 1
            for j in range(start + 1, k):
                tied = float((((int64(order[j] & _LOW) - split) >> 63) & both) - split)
                z[j] = tied * (slope * (level + after))
        z[start] = step * (slope * (level + after))
        level = after
    return 2.0 * inverse * inverse * square


@_jit
def _walk_weighing(order, z, w, n_x, unit_x, unit_y, s_x, s_y):  # type: ignore[no-untyped-def]
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


@_jit
def _scatter(order, slopes, g):  # type: ignore[no-untyped-def]
    """Put the gradients in the points' places; a loop so short keeps many misses in flight."""
    for k in range(g.size):
        g[order[k] & _LOW] = slopes[k]


@_jit
def _load(points, row):  # type: ignore[no-untyped-def]
    """Copy a row, -0.0 as +0.0."""
    zero = row.dtype.type(0)
    for i in range(row.size):
        row[i] = points[i] + zero


@_jit
def _project(points, direction, row):  # type: ignore[no-untyped-def]
    """Project points on a direction, in one order of operations for all; never -0.0."""
    zero = row.dtype.type(0)
    d = direction.size
    if d == 2:
        u = direction[0]
        v = direction[1]
        for i in range(row.size):
            row[i] = (zero + points[2 * i] * u) + points[2 * i + 1] * v
    else:
        for i in range(row.size):
            total = zero
            for c in range(d):
                total += points[d * i + c] * direction[c]
            row[i] = total


@_jit
def _load_weights(weights, w, unbiased):  # type: ignore[no-untyped-def]
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


@_jit
def solve_rows(  # type: ignore[no-untyped-def]
    x, x_step, n_x, a, a_step, gx,
    y, y_step, n_y, b, b_step, gy,
    directions, unbiased, values,
    first, second, row, counts, w,
    start, stop,
):  # fmt: skip
    """Value and gradients of the rows start to stop.

    All arrays but `directions` are flat, and a row stands at its number times the step.  With
    `directions` (P, d) the points are x (N, d) and y (M, d), and row p is their projection on
    direction p; with none, (0, 0), the rows stand in x and y.  Empty weights are uniform, an
    empty gradient is not wanted.  A gradient may overwrite the rows that it belongs to.  The
    arrays from `first` to `w` are scratch of N + M numbers, `counts` of COUNTERS; a float32 `row`
    lies in the memory of `second`, and an empty `w` asks for uniform weights and no bias term.
    """
    n = n_x + n_y
    for r in range(start, stop):
        if directions.size:
            _project(x, directions[r], row[:n_x])
            _project(y, directions[r], row[n_x:])
        else:
            _load(x[r * x_step :], row[:n_x])
            _load(y[r * y_step :], row[n_x:])
        order, free = _sort_row(row, first, second, counts)
        z = free.view(x.dtype)[:n]
        _read_sorted(order, row, z)
        g = free.view(x.dtype)[n : 2 * n] if x.itemsize == 4 else row
        if w.size:
            unit_x, s_x = _load_weights(a[r * a_step :], w[:n_x], unbiased)
            unit_y, s_y = _load_weights(b[r * b_step :], w[n_x:], unbiased)
            values[r] = _walk_weighing(order, z, w, n_x, unit_x, unit_y, s_x, s_y)
        else:
            values[r] = _walk_counting(order, z, n_x, n_y)
        if gx.size or gy.size:
            _scatter(order, z, g)
        if gx.size:
            gx[r * n_x : (r + 1) * n_x] = g[:n_x]
        if gy.size:
            gy[r * n_y : (r + 1) * n_y] = g[n_x:]


@_jit
def project_back(g, directions, out, start, stop):  # type: ignore[no-untyped-def]
    """Add g^T (K, N)^T times directions (K, d) to the points start to stop of out (N, d).

    Every point adds its slices in their order, so that chunks and threads change nothing.
    """
    d = directions.shape[1]
    sums = np.empty((d, _TILE), out.dtype)
    for left in range(start, stop, _TILE):
        size = min(_TILE, stop - left)
        for c in range(d):
            for i in range(size):
                sums[c, i] = out[left + i, c]
        for p in range(directions.shape[0]):
            slopes = g[p, left : left + size]
            for c in range(d):
                weight = directions[p, c]
                for i in range(size):
                    sums[c, i] += slopes[i] * weight
        for c in range(d):
            for i in range(size):
                out[left + i, c] = sums[c, i]
