"""Sums of kernels over weighted points, by slicing or over all pairs, by the backend in charge."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .._arrays import Array, namespace, seems_finite, widest_dtypes
from .._base import Backend
from .._chunks import summed_over_blocks
from .._errors import NonFiniteValue
from .._memory import MEMORY_BUDGET
from .._point_sets import PointSets, Result
from .._projector import Projector, arrays_of
from .._registry import select_for_pairs
from .._typing import Native
from ..sharded.sums import need_whole_sets
from ..sums.centring import centred
from ..sums.line_kernel import LineKernel
from ..sums.radial_profile import RadialProfile


def sliced_kernel_sums(
    x: Array,
    y: Array,
    w: Array,
    projector: Projector,
    line: Callable[[float], LineKernel] | LineKernel,
    *,
    gradient: bool,
    tolerance: float,
    chunk_size: int | None,
) -> Array:
    """Means over the slices of sums of w_j f(<t, x_i - y_j>): (B, N), or gradients (B, N, d).

    x is (B, N, d), y is (B, M, d), w is (B, M). `line` is f, or gives an f that holds up to the
    largest difference of projected points.
    """

    def run(backend: Backend, x: Array, y: Array, w: Array) -> Array:
        def block(part: PointSets, block: Projector) -> Result:
            xp = namespace(part.x)
            xs, ys = block.project(part.x), block.project(part.y)  # (B, P, .)
            charges: Native = part.b
            charges = xp.broadcast_to(charges[:, None, :], ys.shape)
            rows = [xp.reshape(v, (-1, v.shape[2])) for v in (xs, ys, charges)]
            f = line if isinstance(line, LineKernel) else line(_extent(rows[0], rows[1]))
            sums = backend.line_sums(f, *rows, derivative=gradient, tolerance=tolerance)
            sums = xp.reshape(sums, xs.shape)
            return (
                0.0 + (block.project_back(sums) if gradient else xp.sum(sums, axis=1)),
                None,
                None,
            )

        points = x.shape[1] + y.shape[1]
        slices = chunk_size or max(1, MEMORY_BUDGET // (8 * Backend.scratch * points))
        slices = min(slices, projector.n_projections)
        at_once = max(1, MEMORY_BUDGET // (8 * Backend.scratch * slices * points))
        sets = PointSets(*centred(x, y), b=w)
        total = summed_over_blocks(sets, projector.blocks(slices), at_once, (), block)[0]
        return total / projector.n_projections

    return _by_backend(run, x, y, w, held=arrays_of(projector))


def direct_kernel_sums(
    x: Array,
    y: Array,
    w: Array,
    profile: RadialProfile,
    *,
    gradient: bool,
    chunk_size: int | None,
) -> Array:
    """Sums of w_j F(|x_i - y_j|) over all pairs: (B, N), or gradients (B, N, d).

    x is (B, N, d), y is (B, M, d), w is (B, M); `chunk_size` counts points of x.
    """

    def run(backend: Backend, x: Array, y: Array, w: Array) -> Array:
        return backend.pair_kernel_sums(x, y, w, profile, gradient=gradient, chunk_size=chunk_size)

    return _by_backend(run, x, y, w, wide=False)


def linear_kernel_sums(x: Array, y: Array, w: Array, *, gradient: bool) -> Array:
    """Sums of w_j <x_i, y_j>: (B, N), or gradients (B, N, d)."""

    def run(backend: Backend, x: Array, y: Array, w: Array) -> Array:
        xp = namespace(x)
        mean = xp.matmul(w[:, None, :], y)  # (B, 1, d)
        return mean + xp.zeros_like(x) if gradient else xp.sum(x * mean, axis=2)

    return _by_backend(run, x, y, w)


def pair_distances(x: Array, y: Array) -> Array:
    """Distances |x_i - y_j| of x (N, d) and y (M, d), (N, M), in the widest precision."""

    def run(backend: Backend, x: Array, y: Array) -> Array:
        rows = max(1, backend.tile_numbers() // y.shape[0])
        parts = [
            backend.distances(x[None, start : min(start + rows, x.shape[0]), :], y[None, ...])
            for start in range(0, x.shape[0], rows)
        ]
        whole = parts[0] if len(parts) == 1 else namespace(x).concat(parts, axis=1)
        return whole[0, ...]

    return _by_backend(run, x, y)


def _extent(xs: Array, ys: Array) -> float:
    """The largest |x_i - y_j| of any row."""
    xp = namespace(xs)
    ends = [(xp.min(v, axis=1), xp.max(v, axis=1)) for v in (xs, ys)]
    (x_low, x_high), (y_low, y_high) = ends
    extent = float(xp.max(xp.maximum(x_high - y_low, y_high - x_low)))
    if not math.isfinite(extent):
        raise NonFiniteValue
    return extent


def _by_backend(
    run: Callable[..., Array],
    x: Array,
    *others: Array,
    held: tuple[Array, ...] = (),
    wide: bool = True,
) -> Array:
    """Run in the backend's own arrays, `wide` in the widest precision; all must be finite."""
    need_whole_sets("kernel sums")
    backend = select_for_pairs(x, *others, *held)
    arrays = [backend.adopt(v) for v in (x, *others)]
    with np.errstate(all="ignore"):  # what is not finite is reported below, by name
        if wide:
            arrays = [namespace(v).astype(v, widest_dtypes(v)[0], copy=False) for v in arrays]
        sums = run(backend, *arrays)
        # a gradient by sorting is finite where the points are not
        if not all(map(seems_finite, (sums, *arrays))):
            raise NonFiniteValue
    return backend.restore(sums, x)
