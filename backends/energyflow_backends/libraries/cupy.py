"""CuPy, without torch or Triton."""

from __future__ import annotations

from typing import ClassVar

from .._base import Backend
from .._typing import Floats, Native


class CupyBackend(Backend):
    """Array-API code with a sort that is not CuPy's slow row-wise one."""

    name: ClassVar[str] = "cupy"
    requires: ClassVar[tuple[str, ...]] = ("cupy",)
    libraries: ClassVar[tuple[str, ...]] = ("cupy",)
    arrays: ClassVar[str] = "CuPy arrays"

    def from_numpy(self, array: Floats) -> Native:
        """On the current device."""
        import cupy

        return cupy.asarray(array)

    def pooled_order(self, pooled: Native) -> tuple[Native, Native]:
        """Order by one flat sort of (row, key) packed into 64-bit integers, where they fit.

        The column is found from the sorted position by a stable flat `argsort` of the packed
        numbers, a radix sort, in place of one comparator sort a row.
        """
        import cupy

        rows, length = pooled.shape
        if pooled.dtype != cupy.float32:
            return super().pooled_order(pooled)
        bits = (pooled + cupy.float32(0)).view(cupy.int32)
        keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(cupy.int64)
        packed = (cupy.arange(rows, dtype=cupy.int64)[:, None] << 32) + (keys + 2**31)
        flat = cupy.argsort(packed.ravel()).reshape(rows, length)
        order = flat - cupy.arange(rows, dtype=cupy.int64)[:, None] * length
        return order, cupy.take_along_axis(pooled, order, axis=1)
