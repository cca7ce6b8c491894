"""Wasserstein distances of slices, and of the slice along which they are largest."""

from __future__ import annotations

import array_api_compat as compat

from .._arrays import Array, known_values, namespace, widest_dtypes
from .._base import MEMORY_BUDGET, Backend, Result, centred
from .._dispatch import _through
from .._numba import NumbaBackend
from .._projector import Projector
from .._registry import select_for_pairs
from ..sharded.sums import need_whole_sets
from .quantiles import transport_rows

_LONGEST, _SHORTEST = 1e3, 1e-6  # steps of directions, in units of the unit sphere's radius


def sliced_wasserstein(
    x: Array,
    y: Array,
    a: Array | None,
    b: Array | None,
    projector: Projector,
    *,
    p: float,
    wrt: tuple[str, ...],
    chunk_size: int | None,
) -> Result:
    """Means (B,) over slices of W_p^p of the projected points, and their gradients.

    x is (B, N, d) with weights a (B, N) or None, y is (B, M, d) with b.
    """
    need_whole_sets("sliced Wasserstein distances")
    backend = select_for_pairs(x, y, a, b, *getattr(projector, "arrays", ()))

    def run(x: Array, y: Array, a: Array | None, b: Array | None) -> Result:
        xp, dtype = namespace(x), x.dtype
        x, y = centred(x, y, extremes=backend.extremes)
        points = x.shape[1] + y.shape[1]
        fit = max(1, MEMORY_BUDGET // (8 * backend.scratch * points))
        slices = min(chunk_size or fit, projector.n_projections)
        sets = max(1, fit // slices)
        parts = [slice(k, min(k + sets, x.shape[0])) for k in range(0, x.shape[0], sets)]
        sums: list[list[Array | None]] = [[None] * 3 for _ in parts]
        for block in projector.blocks(slices):
            for total, part in zip(sums, parts, strict=True):
                own, other = (None if w is None else w[part, :] for w in (a, b))
                new = _block(backend, x[part, ...], y[part, ...], own, other, block, p, wrt)
                total[:] = [t if n is None else n if t is None else t + n
                            for t, n in zip(total, new, strict=True)]  # fmt: skip
        scale = 1 / projector.n_projections

        def joined(which: int) -> Array | None:
            pieces = [total[which] for total in sums]
            if pieces[0] is None:
                return None
            whole = pieces[0] if len(pieces) == 1 else xp.concat(pieces, axis=0)
            return xp.astype(whole * scale, dtype, copy=False)

        return joined(0), joined(1), joined(2)

    return _through(backend, run, x, y, a, b)


def _block(
    backend: Backend,
    x: Array,
    y: Array,
    a: Array | None,
    b: Array | None,
    block: Projector,
    p: float,
    wrt: tuple[str, ...],
) -> Result:
    """Sums over the slices of one projector."""
    xp = namespace(x)
    rows = backend.project(block, x), backend.project(block, y)  # (B, P, N), (B, P, M)
    value, gx, gy = _rows(backend, *rows, a, b, p, wrt)

    def back(g: Array | None) -> Array | None:
        return None if g is None else backend.project_back(block, g)

    return xp.sum(value, axis=1), back(gx), back(gy)


def max_sliced_wasserstein(
    x: Array,
    y: Array,
    a: Array | None,
    b: Array | None,
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
    backend = select_for_pairs(x, y, a, b, directions)

    def run(x: Array, y: Array, a: Array | None, b: Array | None, starts: Array) -> Result:
        xp, dtype = namespace(x), x.dtype
        wide = widest_dtypes(x)[0]
        x, y = centred(x, y, extremes=backend.extremes)
        turned_x, turned_y = xp.matrix_transpose(x), xp.matrix_transpose(y)

        def slopes(theta: Array, both: bool = True) -> Result:
            rows = xp.matmul(theta, turned_x), xp.matmul(theta, turned_y)
            return _rows(backend, *rows, a, b, p, ("x", "y") if both else ())

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

        def spread(g: Array | None, name: str) -> Array | None:
            return None if g is None or name not in wrt else xp.matrix_transpose(g) * theta

        value = xp.astype(xp.astype(value[:, 0], wide), dtype, copy=False)
        return value, spread(gx, "x"), spread(gy, "y")

    return _through(backend, run, x, y, a, b, directions)


def _lengths(theta: Array) -> Array:
    """Lengths of the last axis, kept; 1 for nothing."""
    xp = namespace(theta)
    lengths = xp.sqrt(xp.sum(theta * theta, axis=-1, keepdims=True))
    return xp.where(lengths > 0, lengths, xp.ones_like(lengths))


def _rows(
    backend: Backend,
    xs: Array,
    ys: Array,
    a: Array | None,
    b: Array | None,
    p: float,
    wrt: tuple[str, ...],
) -> Result:
    """W_p^p (B, P) of rows (B, P, N) and (B, P, M) with weights (B, N) and (B, M)."""
    xp = namespace(xs)
    shape = xs.shape[:2]

    def flat(array: Array) -> Array:
        return xp.reshape(array, (-1, array.shape[2]))

    def weights(w: Array | None) -> Array | None:
        if w is None:
            return None
        return flat(xp.broadcast_to(w[:, None, :], (*shape, w.shape[1])))

    if isinstance(backend, NumbaBackend):
        from energyflow_kernels.numba.transport.rows import wasserstein_rows

        found = wasserstein_rows(flat(xs), flat(ys), weights(a), weights(b), p=p, wrt=wrt)
    else:
        found = transport_rows(backend, flat(xs), flat(ys), weights(a), weights(b), p, wrt)
    value, gx, gy = found
    return (
        xp.reshape(value, shape),
        *(None if g is None else xp.reshape(g, (*shape, g.shape[1])) for g in (gx, gy)),
    )
