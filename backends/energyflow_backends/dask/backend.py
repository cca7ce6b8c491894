"""Dask: sliced energy distances of arrays that are larger than memory."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .._arrays import Array, ArrayInfo
from .._base import Backend, Result
from .._projector import Blocks

_GROUP_BYTES = 1 << 28  # rows of the slices of a group, over all workers
_TASK_BYTES = 1 << 25  # rows of one task, or one row


class DaskBackend(Backend):
    """Sliced energy distances of Dask arrays in chunks of points."""

    name: ClassVar[str] = "dask"
    requires: ClassVar[tuple[str, ...]] = ("dask",)

    def refuses(self, info: ArrayInfo) -> str | None:
        """Dask arrays only."""
        return None if info.library == "dask" else f"{info.library} arrays are no Dask arrays"

    def lacks_pairs(self) -> str | None:
        """Sums over all pairs of points are not made in tasks."""
        return "Dask arrays have sliced energy distances only; compute() them first for others"

    def sliced_value_and_gradient(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        projector: Blocks,
        *,
        exponent: float,
        estimator: str,
        wrt: tuple[str, ...] = ("x",),
        chunk_size: int | None = None,
    ) -> Result:
        """A graph of tasks; `chunk_size` is the number of slices in a group."""
        import dask.array as da

        from .graph import distance

        how = {"exponent": exponent, "estimator": estimator, "wrt": wrt}
        wide = np.dtype(np.float64) if exponent < 1 else x.dtype  # as the general code
        row_bytes = (x.shape[1] + y.shape[1]) * wide.itemsize
        together = chunk_size or max(1, _GROUP_BYTES // row_bytes)
        per_task = max(1, _TASK_BYTES // row_bytes)
        groups = list(projector.blocks(min(together, projector.n_projections)))
        scale = projector.constant(exponent) / projector.n_projections
        found = [
            distance(
                (x[k], y[k]), tuple(None if w is None else w[k] for w in (a, b)),
                groups, scale, wide, per_task, how,
            )
            for k in range(x.shape[0])
        ]  # fmt: skip
        values, *gradients = zip(*found, strict=True)
        gx, gy = (
            None if parts[0] is None else da.stack(parts).astype(v.dtype).rechunk(v.chunks)
            for parts, v in zip(gradients, (x, y), strict=True)
        )
        return da.stack(values).astype(x.dtype), gx, gy
