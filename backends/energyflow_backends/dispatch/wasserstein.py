"""Wasserstein distances of slices, and of the slice along which they are largest."""

from __future__ import annotations

import array_api_compat as compat
import numpy as np

from .._arrays import Array, known_values, namespace, widest_dtypes
from .._base import Backend
from .._chunks import summed_over_blocks
from .._memory import MEMORY_BUDGET
from .._point_sets import PointSets, Result, mapped
from .._projector import Projector, arrays_of
from .._registry import select_for_pairs
from ..sharded.sums import need_whole_sets
from ..sums.centring import centred
from .energies import adopted, restored

_LONGEST, _SHORTEST = 1e3, 1e-6  # steps of directions, in units of the unit sphere's radius


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
    """The largest W_p^p (B,) of points projected on a line that an ascent finds, and gradients.

    The ascent starts from the best of the directions (P, d), and turns each towards the gradient;
    a step that does not climb is not taken, and the next one is shorter.
    """
    need_whole_sets("sliced Wasserstein distances")
    backend = select_for_pairs(*sets, directions)

    def ascended(sets: PointSets, starts: Array) -> Result:
        x, y, a, b = sets
        xp, dtype = namespace(x), x.dtype
        wide = widest_dtypes(x)[0]
        x, y = centred(x, y, backend.extremes)
        turned_x, turned_y = xp.matrix_transpose(x), xp.matrix_transpose(y)

        def slopes(theta: Array, both: bool = True) -> Result:
            rows = xp.matmul(theta, turned_x), xp.matmul(theta, turned_y)
            return _rows(backend, PointSets(*rows, a, b), p, ("x", "y") if both else ())

        first = xp.concat(
            [
                slopes(starts[None, k : min(k + 64, starts.shape[0]), :], both=False)[0]
                for k in range(0, starts.shape[0], 64)
            ],
            axis=1,
        )  # (B, P)
        best = xp.argsort(first, axis=1, descending=True)[:, :n_starts]  # (B, K)
        picked = xp.reshape(best, (-1,))
        theta = xp.reshape(xp.take(starts, picked, axis=0), (*best.shape, starts.shape[1]))

        def uphill(gx: Array | None, gy: Array | None) -> Array:
            gradient = xp.matmul(gx, x) + xp.matmul(gy, y)  # (B, K, d)
            return gradient / _lengths(gradient)

        value, gx, gy = slopes(theta)
        up = uphill(gx, gy)
        step = xp.full(best.shape, 4.0, dtype=dtype, device=compat.device(x))[:, :, None]
        for _ in range(n_steps):
            other = theta + step * up
            other = other / _lengths(other)
            climbed, gx, gy = slopes(other)
            better = (climbed > value)[:, :, None] & (step > _SHORTEST)
            value = xp.where(better[:, :, 0], climbed, value)
            theta, up = xp.where(better, other, theta), xp.where(better, uphill(gx, gy), up)
            step = xp.where(better, xp.clip(2 * step, max=_LONGEST), step / 4)
            if known_values(step) and not bool(xp.any(step > _SHORTEST)):
                break
        top = xp.argmax(value, axis=1)[:, None]  # (B, 1)
        where = xp.broadcast_to(top[:, :, None], (*top.shape, theta.shape[2]))
        theta = xp.take_along_axis(theta, where, axis=1)  # (B, 1, d)
        value, gx, gy = slopes(theta)

        def along(g: Array | None, name: str) -> Array | None:
            return None if g is None or name not in wrt else xp.matrix_transpose(g) * theta

        value = xp.astype(xp.astype(value[:, 0], wide), dtype, copy=False)
        return value, along(gx, "x"), along(gy, "y")

    with np.errstate(all="ignore"):
        result = ascended(adopted(backend, sets), backend.adopt(directions))
        return restored(backend, result, sets)


def _lengths(theta: Array) -> Array:
    """Lengths of the last axis, kept; 1 for nothing."""
    xp = namespace(theta)
    lengths = xp.sqrt(xp.sum(theta * theta, axis=-1, keepdims=True))
    return xp.where(lengths > 0, lengths, xp.ones_like(lengths))


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
