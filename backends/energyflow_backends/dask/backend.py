"""Dask: sliced energy distances of arrays that are larger than memory."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .._base import Backend
from .._point_sets import PointSets, Request, Result
from .._projector import Blocks
from .._typing import Floats, Native

_GROUP_BYTES = 1 << 28  # rows of the slices of a group, over all workers
_TASK_BYTES = 1 << 25  # rows of one task, or one row


class DaskBackend(Backend):
    """Sliced energy distances of Dask arrays in chunks of points."""

    name: ClassVar[str] = "dask"
    requires: ClassVar[tuple[str, ...]] = ("dask",)
    libraries: ClassVar[tuple[str, ...]] = ("dask",)
    arrays: ClassVar[str] = "Dask arrays"

    def lacks_pairs(self) -> str | None:
        """Sums over all pairs of points are not made in tasks."""
        return "Dask arrays have sliced energy distances only; compute() them first for others"

    def from_numpy(self, array: Floats) -> Native:
        """Chunks as Dask chooses them."""
        import dask.array as da

        return da.from_array(array)

    def sliced_value_and_gradient(
        self, sets: PointSets, projector: Blocks, request: Request
    ) -> Result:
        """A graph of tasks; `chunk_size` is the number of slices in a group."""
        import dask.array as da

        from .graph import distance

        x: Native = sets.x
        y: Native = sets.y
        wide = np.dtype(np.float64) if request.exponent < 1 else x.dtype  # as the general code
        row_bytes = (x.shape[1] + y.shape[1]) * wide.itemsize
        together = request.chunk_size or max(1, _GROUP_BYTES // row_bytes)
        per_task = max(1, _TASK_BYTES // row_bytes)
        groups = list(projector.blocks(min(together, projector.n_projections)))
        scale = projector.constant(request.exponent) / projector.n_projections
        results = [
            distance(sets.part(k), groups, scale, wide, per_task, request)
            for k in range(x.shape[0])
        ]
        values, *gradients = zip(*results, strict=True)
        gx, gy = (
            None if parts[0] is None else da.stack(parts).astype(v.dtype).rechunk(v.chunks)
            for parts, v in zip(gradients, (x, y), strict=True)
        )
        return da.stack(values).astype(x.dtype), gx, gy
