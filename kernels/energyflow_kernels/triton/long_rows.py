"""Long rows: from sorted rows to values and gradients, straight to where they belong.

One program takes a block of the sorted points of one side. It finds their places among the other
side by bisection, adds up its share of the value and scatters the gradient by the permutation
that the sort handed out, so that nothing is sorted twice. Weights need prefix sums first: one
program a row, block by block in a fixed order.
"""

# mypy: disable-error-code="import-untyped, no-untyped-def, untyped-decorator"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import LONG_BLOCK, LONG_REGISTERS, LONG_WARPS, PREFIX_BLOCK, launch


class SortedRows(NamedTuple):
    """One side, sorted: `at` says where each sorted point came from, `weights` are unsorted."""

    points: Tensor  # (R, N)
    at: Tensor  # (R, N), int64
    weights: Tensor | None = None  # (N,) or (R, N)


@triton.jit
def _bisect(sorted_ptr, z, there, count, steps, INCLUSIVE: tl.constexpr):
    """How many of `count` sorted numbers are below z (or equal to it, if inclusive)."""
    low = tl.zeros(z.shape, tl.int32)
    high = low + count
    for _ in range(steps):
        middle = low + ((high - low) >> 1)
        searching = there & (low < high)
        probe = tl.load(sorted_ptr + middle, mask=searching, other=0.0)
        right = probe <= z if INCLUSIVE else probe < z
        low = tl.where(searching & right, middle + 1, low)
        high = tl.where(searching & (right == 0), middle, high)
    return low


@triton.jit(do_not_specialize=["n", "per_row"])
def prefix_sum_kernel(weights_ptr, at_ptr, mass_ptr, n, per_row, BLOCK: tl.constexpr):
    """mass[row, k] is the weight of the sorted points 0 .. k of a row."""
    row = tl.program_id(0).to(tl.int64)
    weights_row = weights_ptr + row * n * per_row
    at_row = at_ptr + row * n
    mass_row = mass_ptr + row * n
    slot = tl.arange(0, BLOCK)
    carry = tl.zeros((1,), tl.float64)
    for first in range(0, n, BLOCK):
        there = slot < n - first
        at = tl.load(at_row + first + slot, mask=there, other=0)
        weight = tl.load(weights_row + at, mask=there, other=0.0).to(tl.float64)
        mass = tl.cumsum(weight, 0) + carry
        tl.store(mass_row + first + slot, mass, mask=there)
        carry += tl.sum(weight, 0)


@triton.jit
def _mass_before(mass_ptr, count, there):
    """Weight of the first `count` sorted points."""
    return tl.load(mass_ptr + count - 1, mask=there & (count > 0), other=0.0)


@triton.jit(
    do_not_specialize=["n", "m", "blocks", "part", "parts", "steps", "own_steps", "per_row"]
)
def sorted_side_kernel(
    own_ptr, other_ptr, at_ptr, weights_ptr, own_mass_ptr, other_mass_ptr,
    excess_ptr, parts_ptr, gradient_ptr,
    n, m, blocks, part, parts, steps, own_steps, per_row,
    inverse_n: tl.float64, inverse_m: tl.float64, excess: tl.float64,
    IS_X: tl.constexpr, WANTED: tl.constexpr, WEIGHTED: tl.constexpr, UNBIASED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Share of the value and gradient of one block of one side; a tie puts x before y."""
    program = tl.program_id(0)
    row = (program // blocks).to(tl.int64)
    block = program % blocks
    slot = block * BLOCK + tl.arange(0, BLOCK)
    there = slot < n
    own_row = own_ptr + row * n
    other_row = other_ptr + row * m
    z = tl.load(own_row + slot, mask=there, other=0.0)

    left = _bisect(other_row, z, there, m, steps, False)
    nearest = tl.load(other_row + left, mask=there & (left < m), other=float("inf"))
    right = left
    if tl.max((there & (nearest == z)).to(tl.int32), 0) != 0:
        right = _bisect(other_row, z, there, m, steps, True)
    after = left if IS_X else right

    next_own = tl.load(own_row + slot + 1, mask=slot + 1 < n, other=float("inf"))
    next_other = tl.load(other_row + after, mask=there & (after < m), other=float("inf"))
    wide = z.to(tl.float64)
    following = tl.minimum(next_own, next_other)
    gap = tl.where(there & (following < float("inf")), following.to(tl.float64) - wide, 0.0)
    own_gap = tl.where(slot + 1 < n, next_own.to(tl.float64) - wide, 0.0)

    n_wide = n.to(tl.int64)
    m_wide = m.to(tl.int64)
    if WEIGHTED:
        own_mass = own_mass_ptr + row * n
        other_mass = other_mass_ptr + row * m
        share = tl.load(own_mass + slot, mask=there, other=0.0)
        ahead = share - _mass_before(other_mass, after, there)
    else:
        share = (slot + 1).to(tl.float64) * inverse_n
        ahead = (m_wide * (slot + 1) - n_wide * after).to(tl.float64) * (inverse_n * inverse_m)
    value = gap * (ahead * ahead)
    if UNBIASED:
        if WEIGHTED:
            excess = tl.load(excess_ptr + row * per_row)
        value -= own_gap * (excess * share * (1.0 - share))
    # z - z is 0, or NaN where z is not finite.
    value += tl.where(there, z - z, 0.0).to(tl.float64)
    tl.store(parts_ptr + row * parts + part + block, 2.0 * tl.sum(value, 0))

    if WANTED:
        own_left = slot
        own_right = slot + 1
        previous = tl.load(own_row + slot - 1, mask=there & (slot > 0), other=float("-inf"))
        tied = (previous == z) | (next_own == z)
        if tl.max((there & tied).to(tl.int32), 0) != 0:
            own_left = _bisect(own_row, z, there, n, own_steps, False)
            own_right = _bisect(own_row, z, there, n, own_steps, True)
        at = tl.load(at_ptr + row * n + slot, mask=there, other=0)
        if WEIGHTED:
            own_mid = _mass_before(own_mass, own_left, there)
            own_mid += _mass_before(own_mass, own_right, there)
            mid = _mass_before(other_mass, left, there)
            mid += _mass_before(other_mass, right, there)
            weight = tl.load(weights_ptr + row * n * per_row + at, mask=there, other=0.0)
            gradient = own_mid - mid
            if UNBIASED:
                gradient += excess * (own_mid - 1.0)
            gradient *= -2.0 * weight.to(tl.float64)
        else:
            own_mid = own_left.to(tl.int64) + own_right
            mid = left.to(tl.int64) + right
            gradient = (m_wide * own_mid - n_wide * mid).to(tl.float64)
            gradient *= inverse_n * inverse_m
            if UNBIASED:
                gradient += excess * ((own_mid - n).to(tl.float64) * inverse_n)
            gradient *= -2.0 * inverse_n
        tl.store(gradient_ptr + row * n + at, gradient, mask=there)


def _weights(side: SortedRows) -> Tensor:
    """Those of the side, or uniform ones (N,) in float64."""
    if side.weights is not None:
        return side.weights
    n = side.points.shape[1]
    return side.points.new_full((n,), 1.0 / n, dtype=torch.float64)


def _prefix_sums(side: SortedRows, weights: Tensor) -> Tensor:
    """Weights summed in sorted order, (R, N) in float64."""
    n_rows, n = side.points.shape
    mass = torch.empty(n_rows, n, dtype=torch.float64, device=side.points.device)
    launch(
        prefix_sum_kernel, (n_rows,), LONG_WARPS,
        weights, side.at, mass, n, int(weights.ndim == 2), BLOCK=PREFIX_BLOCK,
    )  # fmt: skip
    return mass


def _excess(weights: Tensor) -> Tensor:
    """1 / (1 - sum a_i^2) - 1 in float64, (R,) or (1,)."""
    square = weights.double().square().sum(-1).reshape(-1)
    return square / (1.0 - square)


def sorted_rows(x: SortedRows, y: SortedRows, gx: Tensor, gy: Tensor, *, unbiased: bool) -> Tensor:
    """Values (R,) in float64 of sorted rows; fills `gx` (R, N) and `gy` (R, M) unless empty."""
    n_rows = x.points.shape[0]
    counts = (x.points.shape[1], y.points.shape[1])
    blocks = [triton.cdiv(count, LONG_BLOCK) for count in counts]
    parts = x.points.new_empty((n_rows, sum(blocks)), dtype=torch.float64)
    weighted = x.weights is not None or y.weights is not None
    weights_of = masses = parts, parts  # any tensor: without weights the kernel reads neither
    if weighted:
        weights_of = _weights(x), _weights(y)
        masses = _prefix_sums(x, weights_of[0]), _prefix_sums(y, weights_of[1])
    for i, (own, other, gradient) in enumerate(((x, y, gx), (y, x, gy))):
        n, m, weights = counts[i], counts[1 - i], weights_of[i]
        launch(
            sorted_side_kernel, (n_rows * blocks[i],), LONG_WARPS,
            own.points, other.points, own.at, weights, masses[i], masses[1 - i],
            _excess(weights) if weighted and unbiased else parts, parts, gradient,
            n, m, blocks[i], i * blocks[0], sum(blocks), m.bit_length(), n.bit_length(),
            int(weights.ndim == 2),
            1.0 / n, 1.0 / m, 1.0 / (n - 1) if unbiased and not weighted else 0.0,
            registers=LONG_REGISTERS, IS_X=i == 0, WANTED=gradient.numel() > 0,
            WEIGHTED=weighted, UNBIASED=unbiased, BLOCK=LONG_BLOCK,
        )  # fmt: skip
    return parts.sum(1)
