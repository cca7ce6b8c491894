"""Optimal transport between two weighted sets of points with conditions, solved on the host.

POT solves what the assignment solver of SciPy does not; it is imported when it is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, Doubles, namespace, to_host

from .._core.checks import warn
from .._core.extras import has
from .costs import costs
from .plans import Plan
from .sets import Sets

_ITERATIONS = 10_000_000  # of the network simplex; its own limit is met by a few thousand points
_SINKHORN_STEPS = 1000
_SINKHORN_STOP = 1e-6
_MISSED = 1e-3  # of the mass, beyond which Sinkhorn has not converged
_REGULARIZATION = 0.05
_REGULARIZED = 1e30  # costs: beyond, there is nothing but entropy


@dataclass(frozen=True)
class Transport:
    """How to transport: the power p, the factor beta of conditions, and the solver."""

    p: float
    beta: float
    regularization: float | None = None
    entropic: bool = False
    mass: float = 1.0

    def plan(self, sets: Sets[Array], a: Doubles, b: Doubles) -> Plan:
        """The plan for the cost |x - z|^p + |beta (y_x - y_z)|^p, or the first part of it."""
        cost, points, unit = costs(sets, p=self.p, beta=self.beta)  # (N, M)
        if not self.entropic:
            return self._exact(cost, a, b)
        if self.regularization is not None:
            length = self.regularization ** (1 / self.p) / (unit or 1.0)
            regularization = min(length, _REGULARIZED ** (1 / self.p)) ** self.p
        else:
            mean = namespace(cost).mean
            regularization = _REGULARIZATION * (float(mean(points)) or float(mean(cost)) or 1.0)
        return self._entropic(cost, a, b, regularization)

    def _exact(self, cost: Array, a: Doubles, b: Doubles) -> Plan:
        if self.mass == 1 and len(a) == len(b) and _even(a) and _even(b):
            from scipy.optimize import linear_sum_assignment

            rows, columns = linear_sum_assignment(cost)
            return Plan(rows, columns, np.full(len(a), 1 / len(a)))
        if self.mass == 1:
            dense = _pot().emd(a, b, cost, numItermax=_ITERATIONS)
        else:
            dense = _pot().partial.partial_wasserstein(a, b, cost, m=self.mass)
        return Plan.of(dense)

    def _entropic(self, cost: Array, a: Doubles, b: Doubles, regularization: float) -> Plan:
        """On the device and in the library of the cost."""
        where = {"dtype": cost.dtype, "device": compat.device(cost)}
        weights = (namespace(cost).asarray(w, **where) for w in (a, b))
        pot = _pot()
        with np.errstate(all="ignore"):
            dense = pot.sinkhorn(
                *weights, cost, regularization, method="sinkhorn_log",
                numItermax=_SINKHORN_STEPS, stopThr=_SINKHORN_STOP, warn=False,
            )  # fmt: skip
            plan = to_host(dense).astype(np.float64)
        if not np.isfinite(plan).all():
            raise ValueError(
                f"regularization must not vanish beside the costs, got {self.regularization}"
            )
        missed = float(sum(np.abs(plan.sum(1 - k) - w).sum() for k, w in enumerate((a, b)))) / 2
        if missed > _MISSED:
            warn(
                f"method 'sinkhorn' has not converged in {_SINKHORN_STEPS} iterations: the weights "
                f"miss {missed:.1e} of the mass (wanted: {_MISSED:g}), which is put where there "
                "is room; a larger regularization needs fewer",
                RuntimeWarning,
            )
        return Plan.of(_rounded(plan, a, b))


def _rounded(plan: Doubles, a: Doubles, b: Doubles) -> Doubles:
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


def _even(weights: Doubles) -> bool:
    return math.isclose(weights.min(), weights.max(), rel_tol=1e-6)


def _pot() -> Any:
    if not has("ot"):
        raise ModuleNotFoundError(
            "this transport needs POT: pip install -e '.[ot]'; sets of one size with equal "
            "weights, method 'exact' and mass 1 do without",
            name="ot",
        )
    import ot

    return ot
