"""Products of points with directions in full float32, never TF32, the same from run to run.

cuBLAS serves where PyTorch's settings leave it in full precision. Otherwise, and in small
dimension, the kernels below multiply and add one number after the other, in a fixed order.
"""

# mypy: disable-error-code="import-untyped, no-untyped-def, untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import LONG_WARPS, SMALL_DIM, launch

POINTS = 64
# Slices of one tile of a projection, and dimensions of one tile of a back-projection.
TILE = 32
# Slices that one program adds up when the dimension is small.
SEGMENT = 128


@triton.jit(do_not_specialize=["n", "n_slices", "dim"])
def project_kernel(
    points_ptr, directions_ptr, rows_ptr, n, n_slices, dim, POINTS: tl.constexpr, TILE: tl.constexpr
):
    """rows[p, i] = sum over c of directions[p, c] points[i, c], in order of c."""
    i = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    p = tl.program_id(1).to(tl.int64) * TILE + tl.arange(0, TILE)
    total = tl.zeros((TILE, POINTS), points_ptr.dtype.element_ty)
    for c in range(dim):
        v = tl.load(points_ptr + i * dim + c, mask=i < n, other=0.0)
        t = tl.load(directions_ptr + p * dim + c, mask=p < n_slices, other=0.0)
        total = tl.fma(t[:, None], v[None, :], total)
    there = (p < n_slices)[:, None] & (i < n)[None, :]
    tl.store(rows_ptr + p[:, None] * n + i[None, :], total, mask=there)


@triton.jit(do_not_specialize=["n", "n_slices", "dim", "segment"])
def project_back_kernel(
    gradients_ptr, directions_ptr, parts_ptr, n, n_slices, dim, segment,
    POINTS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """parts[s, i, c] = sum over the slices p of segment s of gradients[p, i] directions[p, c]."""
    i = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    c = tl.program_id(1).to(tl.int64) * TILE + tl.arange(0, TILE)
    part = tl.program_id(2).to(tl.int64)
    first = part * segment
    total = tl.zeros((POINTS, TILE), gradients_ptr.dtype.element_ty)
    for p in range(first, tl.minimum(first + segment, n_slices)):
        g = tl.load(gradients_ptr + p * n + i, mask=i < n, other=0.0)
        t = tl.load(directions_ptr + p * dim + c, mask=c < dim, other=0.0)
        total = tl.fma(g[:, None], t[None, :], total)
    there = (i < n)[:, None] & (c < dim)[None, :]
    tl.store(parts_ptr + (part * n + i[:, None]) * dim + c[None, :], total, mask=there)


def _library_is_exact(dtype: torch.dtype) -> bool:
    """Whether torch.mm computes in the full precision of the dtype; reads settings, sets none."""
    if dtype == torch.float64:
        return True
    settings = torch.backends.cuda.matmul
    # Reading the older name raises once a user has set the newer one.
    if hasattr(settings, "fp32_precision"):
        return settings.fp32_precision in ("ieee", "none")
    return not settings.allow_tf32


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    with torch.autocast(left.device.type, enabled=False):
        return left @ right


def project(points: Tensor, directions: Tensor) -> Tensor:
    """Rows (P, N) of the points (N, d) projected on the directions (P, d)."""
    (n, dim), n_slices = points.shape, directions.shape[0]
    if dim > SMALL_DIM and _library_is_exact(points.dtype):
        return _multiply(directions, points.T)
    rows = points.new_empty((n_slices, n))
    launch(
        project_kernel, (triton.cdiv(n, POINTS), triton.cdiv(n_slices, TILE)), LONG_WARPS,
        points, directions, rows, n, n_slices, dim, POINTS=POINTS, TILE=TILE,
    )  # fmt: skip
    return rows


def project_back(gradients: Tensor, directions: Tensor) -> Tensor:
    """Sum (N, d) over slices of the gradients (P, N) times their directions (P, d)."""
    (n_slices, n), dim = gradients.shape, directions.shape[1]
    small = dim <= SMALL_DIM
    if not small and _library_is_exact(gradients.dtype):
        return _multiply(gradients.T, directions)
    segment = SEGMENT if small else n_slices
    tile = SMALL_DIM if small else TILE
    n_parts = triton.cdiv(n_slices, segment)
    parts = gradients.new_empty((n_parts, n, dim))
    launch(
        project_back_kernel, (triton.cdiv(n, POINTS), triton.cdiv(dim, tile), n_parts), LONG_WARPS,
        gradients, directions, parts, n, n_slices, dim, segment, POINTS=POINTS, TILE=tile,
    )  # fmt: skip
    return parts.sum(0) if n_parts > 1 else parts[0]
