"""Squared distance covariances of batches of paired points, by the backend in charge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from .._arrays import Array, known_values, namespace, seems_finite, widest_dtypes
from .._base import Backend
from .._errors import NonFiniteValue
from .._memory import MEMORY_BUDGET
from .._point_sets import Result, added
from .._projector import Projector, arrays_of
from .._registry import select_for_pairs
from ..dependence.pairs import pair_covariance
from ..dependence.weights import Weights, covariance_weights
from ..sharded.sums import need_whole_sets

_SCRATCH = 40  # working numbers per projected number, at most


@dataclass(frozen=True, eq=False)
class ProjectorPair:
    """As many directions for x as for y, drawn independently of each other."""

    first: Projector
    second: Projector

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What they hold, which may be traced."""
        return *arrays_of(self.first), *arrays_of(self.second)


def exact_distance_covariance(
    x: Array,
    y: Array,
    *,
    exponent: float,
    estimator: str,
    wrt: tuple[str, ...] = (),
    chunk_size: int | None = None,
) -> Result:
    """Squared distance covariances (B,) of x (B, N, d) and y (B, N, e), and gradients.

    By sorting where both lie on a line and the exponent is 1, by sums over all pairs otherwise.
    """
    weights = covariance_weights(x.shape[1], estimator)

    def run(backend: Backend, x: Array, y: Array) -> Result:
        if exponent == 1 and x.shape[2] == y.shape[2] == 1:
            value, *slopes = backend.covariance_rows(x[:, :, 0], y[:, :, 0], weights, wrt)
            gx, gy = (None if g is None else g[:, :, None] for g in slopes)
            return value, gx, gy
        size = chunk_size * x.shape[0] * x.shape[1] if chunk_size else backend.tile_numbers()
        return pair_covariance(
            x, y, weights,
            exponent=exponent, wrt=wrt, distances=backend.distances, tile_numbers=size,
        )  # fmt: skip

    return _by_backend(run, x, y, exponent, estimator)


def sliced_distance_covariance(
    x: Array,
    y: Array,
    projectors: ProjectorPair,
    *,
    exponent: float,
    estimator: str,
    wrt: tuple[str, ...] = (),
    chunk_size: int | None = None,
) -> Result:
    """The same by slices: means over pairs of directions of covariances on the line."""
    weights = covariance_weights(x.shape[1], estimator)

    def run(backend: Backend, x: Array, y: Array) -> Result:
        first, second = projectors.first, projectors.second
        slices = chunk_size or max(1, MEMORY_BUDGET // (8 * _SCRATCH * x.shape[0] * x.shape[1]))
        scale = first.constant(exponent) * second.constant(exponent) / first.n_projections
        lines = _Lines(backend, weights, exponent, wrt, scale)
        pairs = zip(first.blocks(slices), second.blocks(slices), strict=True)
        return reduce(added, (lines.result(x, y, *pair) for pair in pairs))

    return _by_backend(run, x, y, exponent, estimator, held=projectors.arrays)


@dataclass(frozen=True, eq=False)
class _Lines:
    """How covariances on lines are computed and summed: the same for all blocks of slices."""

    backend: Backend
    weights: Weights
    exponent: float
    wrt: tuple[str, ...]
    scale: float

    def result(self, x: Array, y: Array, p: Projector, q: Projector) -> Result:
        """Sums over one block of slices (B,), and their gradients."""
        xp, backend = namespace(x), self.backend
        xs, ys = backend.project(p, x), backend.project(q, y)  # (B, P, N) both
        shape = xs.shape
        flat = [xp.reshape(v, (shape[0] * shape[1], shape[2])) for v in (xs, ys)]
        value, *slopes = self._rows(*flat)
        gx, gy = (
            None if g is None else backend.project_back(projector, xp.reshape(g, shape), self.scale)
            for g, projector in zip(slopes, (p, q), strict=True)
        )
        return xp.sum(xp.reshape(value, shape[:2]), axis=1) * self.scale, gx, gy

    def _rows(self, x: Array, y: Array) -> Result:
        """Covariances (R,) of rows of x and y (R, N), and their gradients."""
        if self.exponent == 1:
            return self.backend.covariance_rows(x, y, self.weights, self.wrt)
        value, *slopes = pair_covariance(
            x[:, :, None], y[:, :, None], self.weights,
            exponent=self.exponent, wrt=self.wrt,
            distances=self.backend.distances, tile_numbers=self.backend.tile_numbers(),
        )  # fmt: skip
        gx, gy = (None if g is None else g[:, :, 0] for g in slopes)
        return value, gx, gy


def _by_backend(
    run: Callable[..., Result],
    x: Array,
    y: Array,
    exponent: float,
    estimator: str,
    held: tuple[Array, ...] = (),
) -> Result:
    """Run in the backend's arrays and the widest precision, each set in the unit of its extent."""
    need_whole_sets("distance covariances")
    backend = select_for_pairs(x, y, *held)
    adopted = (backend.adopt(v) for v in (x, y))
    with np.errstate(all="ignore"):  # what is not finite is reported below, by name
        wide = [namespace(v).astype(v, widest_dtypes(v)[0], copy=False) for v in adopted]
        (u, x_size), (v, y_size) = (_in_unit(points) for points in wide)
        value, gx, gy = run(backend, u, v)
        xp = namespace(value)
        if estimator == "V":  # rounding alone could take it below zero
            value = xp.where(value < 0, xp.zeros_like(value), value)
        value = value * (x_size * y_size)[:, 0, 0] ** exponent
        if not seems_finite(value):
            raise NonFiniteValue
        pulled: list[Any] = []
        for g, own, other in ((gx, x_size, y_size), (gy, y_size, x_size)):
            scaled = None if g is None else g * (own ** (exponent - 1) * other**exponent)
            pulled.append(None if scaled is None else backend.restore(scaled, x))
    return backend.restore(value, x), *pulled


def _in_unit(points: Array) -> tuple[Array, Array]:
    """Points (B, N, d) around their midrange, divided by their largest coordinate (B, 1, 1).

    Traced points are not divided: a compiler may fuse the product with a difference that follows,
    and equal points would then lie apart.
    """
    xp = namespace(points)
    low, high = (f(points, axis=1, keepdims=True) for f in (xp.min, xp.max))
    centred = points - (low / 2 + high / 2)
    if not known_values(points):
        return centred, xp.ones_like(centred[:, :1, :1])
    size = xp.max(xp.abs(centred), axis=(1, 2), keepdims=True)
    size = xp.where(size > 0, size, xp.ones_like(size))
    return centred / size, size
