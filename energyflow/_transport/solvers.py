"""Optimal transport between two weighted sets of points with conditions, solved on the host.

POT solves what the assignment solver of SciPy does not; it is imported when it is needed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, detached, library_of, namespace, widest_dtypes
from numpy.typing import NDArray

from .costs import costs

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
_ITERATIONS = 10_000_000  # of the network simplex; its own limit is met by a few thousand points
_SINKHORN_STEPS = 1000
_SINKHORN_STOP = 1e-6
_MISSED = 1e-3  # of the mass, beyond which Sinkhorn has not converged
_REGULARIZATION = 0.05
_REGULARIZED = 1e30  # costs: beyond, there is nothing but entropy
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
        cost, points, unit = costs(x, y_x, z, y_z, p=self.p, beta=self.beta)  # (N, M)
        if not self.entropic:
            return self._exact(cost, a, b)
        if self.regularization is not None:
            length = self.regularization ** (1 / self.p) / (unit or 1.0)
            regularization = min(length, _REGULARIZED ** (1 / self.p)) ** self.p
        else:
            mean = namespace(cost).mean
            regularization = _REGULARIZATION * (float(mean(points)) or float(mean(cost)) or 1.0)
        return self._entropic(cost, a, b, regularization)

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
        """On the device and in the library of the cost."""
        where = {"dtype": cost.dtype, "device": compat.device(cost)}
        weights = (namespace(cost).asarray(w, **where) for w in (a, b))
        pot = _pot()
        with np.errstate(all="ignore"):
            dense = pot.sinkhorn(
                *weights, cost, regularization, method="sinkhorn_log",
                numItermax=_SINKHORN_STEPS, stopThr=_SINKHORN_STOP, warn=False,
            )  # fmt: skip
            plan = host(dense).astype(np.float64)
        if not np.isfinite(plan).all():
            raise ValueError(
                f"regularization must not vanish beside the costs, got {self.regularization}"
            )
        missed = float(sum(np.abs(plan.sum(1 - k) - w).sum() for k, w in enumerate((a, b)))) / 2
        if missed > _MISSED:
            warnings.warn(
                f"method 'sinkhorn' has not converged in {_SINKHORN_STEPS} iterations: the weights "
                f"miss {missed:.1e} of the mass (wanted: {_MISSED:g}), which is put where there "
                "is room; a larger regularization needs fewer",
                RuntimeWarning,
                stacklevel=2,
            )
        return _sparse(_rounded(plan, a, b))


def _rounded(plan: Floats, a: Floats, b: Floats) -> Floats:
    """The nearly feasible plan as a feasible one.

    Altschuler, Weed, Rigollet, "Near-linear time approximation algorithms for optimal transport
    via Sinkhorn iteration", NeurIPS 2017, Algorithm 2.
    """
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


def doubles(array: Array) -> Floats:
    """The numbers in float64, in ordinary memory."""
    return host(wide(array)).astype(np.float64, copy=False)


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
