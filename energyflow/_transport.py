"""Optimal transport between two weighted sets of points with conditions, solved on the host.

POT solves what the assignment solver of SciPy does not; it is imported when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, detached, library_of, namespace, widest_dtypes
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
_ITERATIONS = 10_000_000  # of the network simplex; its own limit is met by a few thousand points
_SINKHORN_STEPS = 1000
_SINKHORN_STOP = 1e-6
_REGULARIZATION = 0.05
_UNEQUAL = 1e-5  # of a condition's mass: rounding of weights in float32


@dataclass(frozen=True)
class Plan:
    """What goes where: `mass` from the points `rows` of the one set to `columns` of the other."""

    rows: Places
    columns: Places
    mass: Floats

    def within(self, rows: Places, columns: Places, share: float) -> Plan:
        """The same plan between these points of larger sets, which carry a share of all mass."""
        return Plan(rows[self.rows], columns[self.columns], self.mass * share)


@dataclass(frozen=True)
class Transport:
    """How to transport: the power p, the factor beta of conditions, and the solver."""

    p: float
    beta: float
    regularization: float | None = None
    entropic: bool = False
    mass: float = 1.0

    def plan(
        self, x: Array, y_x: Array | None, z: Array, y_z: Array | None, a: Floats, b: Floats
    ) -> Plan:
        """The plan for the cost |x - z|^p + |beta (y_x - y_z)|^p, or the first part of it."""
        cost = powers(x, z, self.p)  # (N, M)
        regularization = self.regularization
        if self.entropic and regularization is None:
            regularization = _REGULARIZATION * float(namespace(cost).mean(cost)) or 1.0
        if y_x is not None and y_z is not None and self.beta > 0:
            wide = widest_dtypes(y_x)[0]  # a large beta would drown what x and z ask for
            xp = namespace(y_x)
            apart = powers(xp.astype(y_x, wide), xp.astype(y_z, wide), self.p)
            cost = xp.astype(cost, wide, copy=False) + self.beta**self.p * apart
        if regularization is not None and self.entropic:
            return self._entropic(cost, a, b, regularization)
        return self._exact(np.asarray(host(cost), np.float64), a, b)

    def _exact(self, cost: Floats, a: Floats, b: Floats) -> Plan:
        if self.mass == 1 and len(a) == len(b) and _even(a) and _even(b):
            from scipy.optimize import linear_sum_assignment

            rows, columns = linear_sum_assignment(cost)
            return Plan(rows, columns, np.full(len(a), 1 / len(a)))
        if self.mass == 1:
            dense = _pot().emd(a, b, cost, numItermax=_ITERATIONS)
        else:
            dense = _pot().partial.partial_wasserstein(a, b, cost, m=self.mass)
        return _sparse(dense)

    def _entropic(self, cost: Array, a: Floats, b: Floats, regularization: float) -> Plan:
        """On the device and in the library of the cost, where POT knows it."""
        pot = _pot()
        if library_of(cost) not in ("torch", "jax", "cupy"):
            cost = host(cost)
        xp = namespace(cost)
        where = {"dtype": cost.dtype, "device": compat.device(cost)}
        weights = (xp.asarray(w, **where) for w in (a, b))
        dense = pot.sinkhorn(
            *weights, cost, regularization, method="sinkhorn_log",
            numItermax=_SINKHORN_STEPS, stopThr=_SINKHORN_STOP, warn=False,
        )  # fmt: skip
        return _sparse(_rounded(host(dense), a, b))


def _rounded(dense: NDArray[Any], a: Floats, b: Floats) -> Floats:
    """The nearly feasible plan as a feasible one.

    Altschuler, Weed, Rigollet, "Near-linear time approximation algorithms for optimal transport
    via Sinkhorn iteration", NeurIPS 2017, Algorithm 2.
    """
    plan = dense.astype(np.float64)
    for axis, weights in ((1, a[:, None]), (0, b[None, :])):
        sums = plan.sum(axis=axis, keepdims=True)
        plan = plan * np.minimum(1, np.divide(weights, sums, where=sums > 0, out=sums * 0))
    rows, columns = a - plan.sum(axis=1), b - plan.sum(axis=0)
    missing = rows.sum()
    return plan + np.outer(rows, columns) / missing if missing > 0 else plan


def in_groups(
    plan: Callable[[Places, Places, Floats, Floats], Plan],
    groups: tuple[Places, Places],
    a: Floats,
    b: Floats,
) -> Plan:
    """One plan of plans inside each group; the mean over groups by their mass.

    Raises
    ------
    ValueError
        A group has not the same mass on both sides.
    """
    parts = []
    for rows, columns, group in _members(*groups):
        share, other = float(a[rows].sum()), float(b[columns].sum())
        if abs(share - other) > _UNEQUAL * max(share, other):
            raise ValueError(
                f"both sets must give each condition the same mass, got {share:g} and {other:g} "
                f"for group {group}; conditions that differ need a finite beta"
            )
        if share > 0 and other > 0:
            inner = plan(rows, columns, a[rows] / share, b[columns] / other)
            parts.append(inner.within(rows, columns, share))
    starts = np.concatenate([part.rows for part in parts])
    order = np.argsort(starts, kind="stable")
    ends = np.concatenate([part.columns for part in parts])
    return Plan(starts[order], ends[order], np.concatenate([part.mass for part in parts])[order])


def same_conditions(y_x: Floats, y_z: Floats) -> tuple[Places, Places]:
    """Numbers of groups, (N,) and (M,), of equal rows of the conditions."""
    both = np.concatenate([y_x, y_z]) + 0.0  # -0 is 0
    number = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return number[: len(y_x)], number[len(y_x) :]


def powers(x: Array, z: Array, p: float) -> Array:
    """|x_i - z_j|^p (N, M) by one matrix product, in the dtype of x and z."""
    xp = namespace(x)
    middle = xp.mean(x, axis=0, keepdims=True)
    x, z = x - middle, z - middle
    squares = xp.sum(x * x, axis=1)[:, None] + xp.sum(z * z, axis=1)[None, :]
    squared = squares - 2 * xp.matmul(x, xp.matrix_transpose(z))
    zero = xp.zeros((), dtype=squared.dtype, device=compat.device(squared))
    squared = xp.where(squared > 0, squared, zero)
    return squared if p == 2 else squared ** (p / 2)


def host(array: Array) -> NDArray[Any]:
    """The numbers in ordinary memory."""
    if library_of(array) == "torch":
        return np.asarray(array.detach().cpu().numpy())
    return np.asarray(array.get() if library_of(array) == "cupy" else array)


def like(numbers: NDArray[Any], array: Array, dtype: Any = None) -> Array:
    """Host numbers in the library and on the device of `array`."""
    xp = namespace(array)
    return xp.asarray(numbers, dtype=dtype, device=compat.device(array))


def wide(array: Array) -> Array:
    """In the widest dtype of its device, outside any graph."""
    return namespace(array).astype(detached(array), widest_dtypes(array)[0], copy=False)


def _members(left: Places, right: Places) -> Iterator[tuple[Places, Places, int]]:
    for group in np.union1d(left, right):
        yield np.flatnonzero(left == group), np.flatnonzero(right == group), int(group)


def _even(weights: Floats) -> bool:
    return math.isclose(weights.min(), weights.max(), rel_tol=1e-6)


def _sparse(dense: NDArray[Any]) -> Plan:
    rows, columns = np.nonzero(dense)
    return Plan(rows, columns, dense[rows, columns].astype(np.float64))


def _pot() -> Any:
    if find_spec("ot") is None:
        raise ModuleNotFoundError(
            "this transport needs POT: pip install -e '.[ot]'; sets of one size with equal "
            "weights, method 'exact' and mass 1 do without",
            name="ot",
        )
    import ot

    return ot
