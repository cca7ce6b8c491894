"""Projections by random signs and Walsh-Hadamard transforms, and their transposes, on a GPU.

A program holds the padded numbers of a few points in registers, as a tile (HIGH, POINTS, LOW) whose
coordinate c is HIGH-major: c = high LOW + low. LOW numbers fill the lanes of a point's warps, so
that butterflies are register moves and shuffles, and pass through shared memory only where a point
takes several warps. Rows are read and written point after point, by one exchange of the tile.
"""

# mypy: disable-error-code="import-untyped, no-untyped-def, untyped-decorator"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import check_device, launch

MIN_LENGTH = 64
# Longest transform whose tile stays in registers.
MAX_LENGTH = 4096
MAX_WARPS = 8
# Numbers of one warp: 32 a lane.
WARP_NUMBERS = 1024
# Left to itself, the compiler spills a little of a large tile to fit a second program.
LARGE_REGISTERS = 255
# Bytes of a row that one program writes at least, where warps suffice: a memory sector.
_SECTOR = 32
# Bytes of signs that a warp reads at once.
_WARP_BYTES = 512


class HadamardSlices(NamedTuple):
    """Picked rows of several products of signs and transforms, see `hadamard_rows`."""

    signs: Tensor  # (products, k, D)
    picked: tuple[Tensor, ...]  # (K,) for each product


def takes(length: int) -> bool:
    """Whether the kernels have a tile for transforms of this length."""
    return MIN_LENGTH <= length <= MAX_LENGTH and length & (length - 1) == 0


class Tile(NamedTuple):
    """What one program takes: points, the low part of the length, and warps of 32 threads.

    `registers` bounds the registers of a thread, None leaves them to the compiler.
    """

    points: int
    low: int
    warps: int
    registers: int | None


def tile_for(length: int, itemsize: int) -> Tile:
    """The tile for transforms of a length; one warp a point up to `WARP_NUMBERS`, then more."""
    warps_a_point = max(1, length // 1024)
    warps = min(MAX_WARPS, _SECTOR // itemsize * warps_a_point)
    low = min(length, _WARP_BYTES // itemsize * warps_a_point)
    registers = LARGE_REGISTERS if warps_a_point > 1 else None
    return Tile(warps * WARP_NUMBERS // length, low, warps, registers)


def tile_constants(length: int, tile: Tile) -> dict[str, int]:
    """The constants of the kernels."""
    return {
        "POINTS": tile.points,
        "LOG_HIGH": (length // tile.low).bit_length() - 1,
        "LOG_LOW": tile.low.bit_length() - 1,
    }


@triton.jit
def _transform(z, LOG_HIGH: tl.constexpr, LOG_LOW: tl.constexpr):
    """The transform, times sqrt(D), of a tile (HIGH, POINTS, LOW) along its first and last axes."""
    AXES: tl.constexpr = LOG_HIGH + 1 + LOG_LOW
    INTEGER: tl.constexpr = tl.int64 if z.dtype.primitive_bitwidth == 64 else tl.int32
    cube = tl.reshape(z, [2] * LOG_HIGH + [z.shape[1]] + [2] * LOG_LOW)
    for axis in tl.static_range(AXES):
        if axis != LOG_HIGH:
            sign = tl.reshape(1 - 2 * tl.arange(0, 2), [1] * axis + [2] + [1] * (AXES - 1 - axis))
            # The exclusive or of a pair, with one of them, is the other: a single shuffle.
            bits = cube.to(INTEGER, bitcast=True)
            partner = (bits ^ tl.xor_sum(bits, axis, True)).to(z.dtype, bitcast=True)
            cube = cube * sign.to(z.dtype) + partner
    return tl.reshape(cube, z.shape)


@triton.jit
def _signs(signs_ptr, c, z):
    """Signs of a round, read in the shape of the tile: their layout becomes that of the tile."""
    return tl.load(signs_ptr + (c + tl.zeros(z.shape, tl.int32)))


@triton.jit(do_not_specialize=["n", "dim", "rounds"])
def hadamard_rows_kernel(
    points_ptr, signs_ptr, place_ptr, rows_ptr, n, dim, rounds, scale: tl.float64,
    POINTS: tl.constexpr, LOG_HIGH: tl.constexpr, LOG_LOW: tl.constexpr,
):  # fmt: skip
    """rows[place[c], i] = coordinate c of the transformed point i, where there is a place."""
    HIGH: tl.constexpr = 1 << LOG_HIGH
    LOW: tl.constexpr = 1 << LOG_LOW
    first = tl.program_id(0).to(tl.int64) * POINTS
    slot = tl.arange(0, POINTS)[None, :, None]
    there = slot < n - first
    c = tl.arange(0, HIGH)[:, None, None] * LOW + tl.arange(0, LOW)[None, None, :]
    z = tl.load(points_ptr + first * dim + (slot * dim + c), mask=there & (c < dim), other=0.0)
    z *= tl.full((1, 1, 1), scale, z.dtype)
    for k in range(rounds):
        z = _transform(z * _signs(signs_ptr + k * (HIGH * LOW), c, z), LOG_HIGH, LOG_LOW)
    place = tl.load(place_ptr + c)
    tl.store(rows_ptr + first + (place.to(tl.int64) * n + slot), z, mask=there & (place >= 0))


@triton.jit(do_not_specialize=["n", "dim", "rounds"])
def hadamard_back_kernel(
    gradients_ptr, signs_ptr, place_ptr, sums_ptr, n, dim, rounds, scale: tl.float64,
    POINTS: tl.constexpr, LOG_HIGH: tl.constexpr, LOG_LOW: tl.constexpr,
):  # fmt: skip
    """sums[i] = the transposed map of column i of the gradients."""
    HIGH: tl.constexpr = 1 << LOG_HIGH
    LOW: tl.constexpr = 1 << LOG_LOW
    first = tl.program_id(0).to(tl.int64) * POINTS
    slot = tl.arange(0, POINTS)[None, :, None]
    there = slot < n - first
    c = tl.arange(0, HIGH)[:, None, None] * LOW + tl.arange(0, LOW)[None, None, :]
    place = tl.load(place_ptr + c)
    offset = place.to(tl.int64) * n + slot
    z = tl.load(gradients_ptr + first + offset, mask=there & (place >= 0), other=0.0)
    z *= tl.full((1, 1, 1), scale, z.dtype)
    for k in range(rounds):
        signs = _signs(signs_ptr + (rounds - 1 - k) * (HIGH * LOW), c, z)
        z = _transform(z, LOG_HIGH, LOG_LOW) * signs
    tl.store(sums_ptr + first * dim + (slot * dim + c), z, mask=there & (c < dim))


def _places(picked: Tensor | None, length: int, device: torch.device) -> Tensor:
    """Which row each coordinate goes to (D,), or -1: the inverse of `picked`."""
    if picked is None:
        return torch.arange(length, dtype=torch.int32, device=device)
    numbers = torch.arange(len(picked), dtype=torch.int32, device=device)
    places = torch.full((length,), -1, dtype=torch.int32, device=device)
    return places.scatter_(0, picked.long(), numbers)


def _check(name: str, array: Tensor, signs: Tensor, picked: Tensor | None, dim: int) -> None:
    """Raise unless the arrays fit, by their shapes, dtypes and devices alone."""
    check_device(array, signs, picked)
    if array.dtype != signs.dtype or array.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} and signs must both be float32 or float64, got {array.dtype} and {signs.dtype}"
        )
    if array.ndim != 2 or signs.ndim != 2 or len(signs) == 0:
        raise ValueError(
            f"{name} must be 2-d and signs (k, D), got {tuple(array.shape)}, {tuple(signs.shape)}"
        )
    length = signs.shape[1]
    if not takes(length) or dim > length:
        raise ValueError(
            f"signs must have a power of two of columns from {MIN_LENGTH} to {MAX_LENGTH}, "
            f"at least {dim}, got {length}"
        )
    if picked is not None and (picked.ndim != 1 or picked.is_floating_point()):
        raise ValueError("picked must be a vector of whole numbers")


def _run(
    kernel: triton.JITFunction, source: Tensor, signs: Tensor, picked: Tensor | None,
    target: Tensor, n: int, dim: int,
) -> Tensor:  # fmt: skip
    """Fill the target from the source, both contiguous, tile by tile."""
    if target.numel() == 0:
        return target
    rounds, length = signs.shape
    tile = tile_for(length, source.element_size())
    places = _places(picked, length, source.device)
    launch(
        kernel, (triton.cdiv(n, tile.points),), tile.warps,
        source.contiguous(), signs.contiguous(), places, target,
        n, dim, rounds, float(length) ** (-rounds / 2),
        registers=tile.registers, **tile_constants(length, tile),
    )  # fmt: skip
    return target


def hadamard_rows(x: Tensor, signs: Tensor, picked: Tensor | None = None) -> Tensor:
    """Project points on rows of a product of signs and Walsh-Hadamard transforms.

    rows = (H S_k ... H S_1 [x, 0])[picked], with H orthonormal of length D.

    Parameters
    ----------
    x : tensor (N, d)
        Points, d <= D, float32 or float64, on a CUDA or ROCm device.
    signs : tensor (k, D)
        Each 1 or -1, in the dtype of x; D is a power of two from 64 to 4096.
    picked : tensor (K,), optional
        Distinct rows wanted, each below D; all D in order when not given.

    Returns
    -------
    tensor (K, N)
        Rows in the dtype of x.

    Raises
    ------
    ValueError
        If shapes do not fit, or the length does not stay in registers.
    TypeError
        If the kernels do not take the dtype or the device.

    Notes
    -----
    O(N D k log D), however few rows are picked, with no extra memory. Equal points get equal
    numbers, and the results are the same bit for bit from run to run.

    References
    ----------
    N. Ailon and B. Chazelle, The fast Johnson-Lindenstrauss transform and approximate nearest
    neighbors, SIAM J. Comput. 39 (2009).
    """
    _check("x", x, signs, picked, x.shape[-1])
    n, dim = x.shape
    rows = x.new_empty((signs.shape[1] if picked is None else len(picked), n))
    return _run(hadamard_rows_kernel, x, signs, picked, rows, n, dim)


def hadamard_back(g: Tensor, signs: Tensor, picked: Tensor | None, d: int) -> Tensor:
    """The transposed map of `hadamard_rows`.

    sums^T = ([I 0] S_1 H ... S_k H)[:, picked] g

    Parameters
    ----------
    g : tensor (K, N)
        Rows, float32 or float64, on a CUDA or ROCm device.
    signs, picked
        As for `hadamard_rows`.
    d : int
        Dimension of the points, at most D.

    Returns
    -------
    tensor (N, d)
        Sums in the dtype of g.

    Raises
    ------
    ValueError, TypeError
        As `hadamard_rows`.

    Notes
    -----
    Cost as for `hadamard_rows`.
    """
    _check("g", g, signs, picked, d)
    count = signs.shape[1] if picked is None else len(picked)
    if len(g) != count:
        raise ValueError(f"g must have {count} rows, one for each that is picked, got {len(g)}")
    n = g.shape[1]
    return _run(hadamard_back_kernel, g, signs, picked, g.new_empty((n, d)), n, d)
