"""How Triton kernels are launched: block sizes, warps, work space and the device they run on."""

from collections.abc import Callable
from typing import Any

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor

# Longest row of x or of y that one program sorts: above it the sorting network spills registers.
SHORT_LIMIT = 4096
# Largest dimension for which projecting inside a kernel beats a matrix product.
SMALL_DIM = 8
# Points that one program of a long row takes, and points of one step of a prefix sum.
LONG_BLOCK = 256
PREFIX_BLOCK = 2048
LONG_WARPS = 4
# As below for short rows.
LONG_REGISTERS = 48

# Block size of a short row -> warps of 32 threads; 4 points a thread, 8 in the largest block, keep
# every configuration in registers.
SHORT_WARPS = {128: 1, 256: 2, 512: 4, 1024: 8, 2048: 16, 4096: 16}
# Without a limit the compiler spills a little to fit more programs on a multiprocessor.
SHORT_REGISTERS = 128

_MIB = 2**20
_INTERPRETED: bool = triton.knobs.runtime.interpret


def short_block(n: int, m: int) -> int:
    """Smallest block size of the table that holds a row of n and a row of m points."""
    return min(block for block in SHORT_WARPS if block >= max(n, m))


def warps_for(lanes: int, warps: int) -> int:
    """Number of warps of `lanes` threads that hold as many threads as `warps` warps of 32."""
    return max(1, warps * 32 // lanes)


def workspace_bytes(device: torch.device) -> int:
    """Extra memory one call may take: a 512th of the device's, within 64 and 256 MiB."""
    if device.type != "cuda":
        return 64 * _MIB
    total = torch.cuda.get_device_properties(device).total_memory
    return min(max(total // 512, 64 * _MIB), 256 * _MIB)


def rows_within(budget: int, bytes_per_row: int, n_rows: int) -> int:
    """How many of `n_rows` rows fit into the budget, at least one."""
    return max(1, min(n_rows, budget // bytes_per_row))


def check_device(*tensors: Tensor | None) -> None:
    """Raise unless all tensors are where kernels can run: one GPU, or the CPU if interpreted."""
    devices = {t.device for t in tensors if t is not None}
    if len(devices) > 1:
        raise TypeError(f"tensors must be on one device, got {sorted(map(str, devices))}")
    device = devices.pop()
    if device.type != "cuda" and not (device.type == "cpu" and _INTERPRETED):
        raise TypeError(f"Triton kernels take tensors on a CUDA or ROCm device, got {device}")


def launch(
    kernel: Any,
    n_programs: tuple[int, ...],
    warps: int,
    *args: Any,
    registers: int | None = None,
    **constants: Any,
) -> None:
    """Run `kernel` on the device of its first tensor, with `warps` warps of 32 threads.

    `registers` bounds the registers of a thread on CUDA devices; ROCm has no such bound.
    """
    first: Tensor = next(a for a in args if isinstance(a, Tensor))
    on_rocm = torch.version.hip is not None
    lanes = 64 if on_rocm else 32
    limits = {} if on_rocm or registers is None else {"maxnreg": registers}
    start: Callable[..., None] = kernel[n_programs]
    with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
        start(
            *args,
            **constants,
            **limits,
            num_warps=warps_for(lanes, warps),
            num_stages=1,
            enable_fp_fusion=True,
        )
