"""Wasserstein distances of slices, and of the slice along which they are largest."""

from __future__ import annotations

import numpy as np

from .._arrays import Array, namespace
from .._base import Backend
from .._chunks import summed_over_blocks
from .._memory import MEMORY_BUDGET
from .._point_sets import PointSets, Result, mapped
from .._projector import Projector, arrays_of
from .._registry import select_for_pairs
from ..sharded.sums import need_whole_sets
from ..sums.centring import centred
from ..sums.largest_slice import largest_slice
from .energies import adopted, restored


def sliced_wasserstein(
    sets: PointSets,
    projector: Projector,
    *,
    p: float,
    wrt: tuple[str, ...],
    chunk_size: int | None,
) -> Result:
    """Means (B,) over slices of W_p^p of the projected points, and their gradients."""
    need_whole_sets("sliced Wasserstein distances")
    backend = select_for_pairs(*sets, *arrays_of(projector))
    with np.errstate(all="ignore"):  # what is not finite is reported by `restored`
        result = _of_slices(backend, adopted(backend, sets), projector, p, wrt, chunk_size)
        return restored(backend, result, sets)


def _of_slices(
    backend: Backend,
    sets: PointSets,
    projector: Projector,
    p: float,
    wrt: tuple[str, ...],
    chunk_size: int | None,
) -> Result:
    x, y, a, b = sets
    xp, dtype = namespace(x), x.dtype
    fit = max(1, MEMORY_BUDGET // (8 * backend.scratch * sum(sets.counts)))
    slices = min(chunk_size or fit, projector.n_projections)
    scale = 1 / projector.n_projections
    sums = summed_over_blocks(
        PointSets(*centred(x, y, backend.extremes), a, b),
        projector.blocks(slices),
        max(1, fit // slices),
        wrt,
        lambda part, block: _block(backend, part, block, p, wrt),
    )
    return mapped(lambda v: xp.astype(v * scale, dtype, copy=False), sums)


def _block(
    backend: Backend, sets: PointSets, block: Projector, p: float, wrt: tuple[str, ...]
) -> Result:
    """Sums over the slices of one projector."""
    rows = backend.project(block, sets.x), backend.project(block, sets.y)  # (B, P, N), (B, P, M)
    value, gx, gy = _rows(backend, PointSets(*rows, sets.a, sets.b), p, wrt)

    def back(g: Array | None) -> Array | None:
        return None if g is None else backend.project_back(block, g)

    return namespace(value).sum(value, axis=1), back(gx), back(gy)


def max_sliced_wasserstein(
    sets: PointSets,
    directions: Array,
    *,
    p: float,
    n_starts: int,
    n_steps: int,
    wrt: tuple[str, ...],
) -> Result:
    """The largest W_p^p (B,) of points on a line, from directions (P, d): see `largest_slice`."""
    need_whole_sets("sliced Wasserstein distances")
    backend = select_for_pairs(*sets, directions)

    def rows(sets: PointSets, wrt: tuple[str, ...]) -> Result:
        return _rows(backend, sets, p, wrt)

    with np.errstate(all="ignore"):
        moved = adopted(backend, sets)
        moved = PointSets(*centred(moved.x, moved.y, backend.extremes), moved.a, moved.b)
        result = largest_slice(
            moved, backend.adopt(directions), rows, n_starts=n_starts, n_steps=n_steps, wrt=wrt
        )
        return restored(backend, result, sets)


def _rows(backend: Backend, sets: PointSets, p: float, wrt: tuple[str, ...]) -> Result:
    """W_p^p (B, P) of rows (B, P, N) and (B, P, M) with weights (B, N) and (B, M)."""
    xp = namespace(sets.x)
    shape = sets.x.shape[:2]

    def flat(array: Array) -> Array:
        return xp.reshape(array, (-1, array.shape[2]))

    def weights(w: Array | None) -> Array | None:
        if w is None:
            return None
        return flat(xp.broadcast_to(w[:, None, :], (*shape, w.shape[1])))

    rows = PointSets(flat(sets.x), flat(sets.y), weights(sets.a), weights(sets.b))
    value, *gradients = backend.transport_rows(rows, p, wrt)
    gx, gy = (None if g is None else xp.reshape(g, (*shape, g.shape[1])) for g in gradients)
    return xp.reshape(value, shape), gx, gy
