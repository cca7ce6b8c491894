"""Which point goes to which: couplings that keep conditions, for batches and for geodesics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from energyflow_backends import Array, ArrayLike, dtype_name, namespace, not_compiled, to_host
from numpy.typing import NDArray

from .._core.checks import (
    check_count,
    check_finite,
    check_number,
    check_points,
    check_together,
    shape,
)
from .._core.random import Rng, as_source
from .plans import Plan
from .problem import transport_problem
from .sets import Sets, like


@dataclass(frozen=True, eq=False)
class Coupling:
    """Pairs of points and how much mass each carries; it unpacks as ``rows, columns``.

    Attributes
    ----------
    rows, columns : integer arrays (..., K)
        Pair k leads from point ``rows[k]`` of x to point ``columns[k]`` of z, in the order of the
        rows. Between N points each that weigh the same, K is N and `columns` a permutation;
        otherwise K is at most N + M - 1 (``"exact"``) or N M (``"sinkhorn"``). In a batch, pairs
        of mass zero fill up what is missing.
    mass : array (..., K)
        Of each pair; the sum is one, or the argument `mass`.
    shape : tuple of int
        (N, M).
    """

    rows: Array
    columns: Array
    mass: Array
    shape: tuple[int, int]

    def __repr__(self) -> str:
        *batch, pairs = self.rows.shape
        many = f"{'x'.join(map(str, batch))} times " if batch else ""
        return f"Coupling({many}{pairs} pairs of {self.shape[0]} and {self.shape[1]} points)"

    def __iter__(self) -> Iterator[Array]:
        return iter((self.rows, self.columns))

    @property
    def plan(self) -> Array:
        """The mass as a matrix (..., N, M)."""
        rows, columns, mass = (to_host(v) for v in (self.rows, self.columns, self.mass))
        plan = np.zeros((*rows.shape[:-1], *self.shape), mass.dtype)
        batch = np.indices(rows.shape)[:-1]
        np.add.at(plan, (*batch, rows, columns), mass)
        return like(plan, self.mass)

    def draw(self, n: int, rng: Rng = None) -> tuple[Array, Array]:
        """Pairs by their mass, in the order of the rows.

        Parameters
        ----------
        n : int
            How many.
        rng : int, generator or None
            One number of it is used for each batch: pair k is drawn n times its share of the
            mass, rounded up or down. So n = N draws from each of N equal points once.

        Returns
        -------
        rows, columns : integer arrays (..., n)
        """
        count = check_count("n", n)
        generator = as_source(rng).host(0, 0)
        mass = to_host(self.mass).astype(np.float64)
        flat = mass.reshape(-1, mass.shape[-1])
        places = np.empty((len(flat), count), np.intp)
        for place, row in zip(places, flat, strict=True):
            upto = np.cumsum(row)
            marks = (np.arange(count) + generator.random()) * (upto[-1] / count)
            place[:] = np.searchsorted(upto, marks, side="right")
        last = mass.shape[-1] - 1 - np.argmax(flat[:, ::-1] > 0, axis=1)
        chosen = np.minimum(places, last[:, None]).reshape(*mass.shape[:-1], count)
        rows, columns = (
            like(np.take_along_axis(to_host(v), chosen, axis=-1), v, v.dtype) for v in self
        )
        return rows, columns


@not_compiled
def conditional_coupling(
    x: ArrayLike,
    y_x: ArrayLike | None,
    z: ArrayLike,
    y_z: ArrayLike | None,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2.0,
    beta: float = math.inf,
    groups: tuple[Array, Array] | None = None,
    method: Literal["exact", "sinkhorn"] = "exact",
    regularization: float | None = None,
    reg: float | None = None,
    mass: float = 1.0,
) -> Coupling:
    r"""An optimal coupling of two sets of points that keeps, or nearly keeps, their conditions.

    .. math:: \min_\pi \sum_{ij} \pi_{ij}
              \big( |x_i - z_j|^p + |\beta (y_i - y'_j)|^p \big)

    over plans with the weights of both sets; for :math:`\beta = \infty`, and with groups, over
    plans that stay inside a condition or group.

    Parameters
    ----------
    x, z : arrays (..., N, d) and (..., M, d)
        Points, with the same leading batch dimensions.
    y_x, y_z : arrays (..., N, n) and (..., M, n), or None
        The condition of each; not needed with groups alone, or where beta is 0. Several
        continuous conditions are several columns.
    a, b : arrays (N,) and (M,) or with the batch dimensions, optional
        Weights, non-negative and with sum one; uniform when not given.
    p : float
        The power, at least 1.
    beta : float
        Factor of the conditions before distances are taken, in units of x over units of y: 0 is
        plain transport, infinity only goes between equal conditions: equal as numbers, so that 0.5
        in float32 is 0.5 in float64, and 0.1 is not.
    groups : pair of integer arrays (N,) and (M,), optional
        Plans stay between points of the same number; in place of conditions, or of those among
        several that are discrete: a finite beta weighs y_x and y_z inside the groups.
    method : "exact" or "sinkhorn"
        Without entropy, on the host; or with, where the arrays are, at most 1000 iterations and
        then rounded so that the weights are met.
    regularization : float, optional
        Weight of the entropy with "sinkhorn", in the unit of the cost; when not given, a
        twentieth of the mean of |x - z|^p.
    reg : float, optional
        The same by POT's name.
    mass : float
        How much is transported, of everything or of each group: at most 1. Less, with "exact",
        leaves out what is expensive.

    Returns
    -------
    Coupling

    Raises
    ------
    TypeError
        If arguments are not real numbers of one library on one device.
    ValueError
        If shapes do not fit, a set is empty, a number is NaN or infinite, weights are negative or
        do not sum to one, or the masses of a condition differ where plans must stay inside it.
    ModuleNotFoundError
        If POT is needed and not installed.

    Notes
    -----
    Exact plans between N points each that weigh the same are found by the assignment solver of
    SciPy, O(N^3) at worst and far less where conditions leave little choice; others by POT's
    network simplex. Costs are matrix products in float64 (sinkhorn: in the widest dtype of the
    device), of points around their middle and in a unit in which none overflows; the cost of the
    plan is the least up to rounding, about 1e-15 of the largest cost between two points. Where
    beta would make conditions outweigh points by more than 1e13, it counts as one that does so by
    1e13: conditions then fit as well as they can, and points as well as that leaves them room.
    Sinkhorn that misses more than 1e-3 of the mass after 1000 iterations is a `RuntimeWarning`.
    Nothing is differentiated through.

    References
    ----------
    Chemseddine, Hagemann, Steidl, Wald, "Conditional Wasserstein Distances with Applications in
    Bayesian OT Flow Matching", JMLR 26, 2025, Section 4.
    """
    sets = Sets.of(x, y_x, z, y_z)
    x, z = sets.x, sets.z
    problem = transport_problem(
        sets, a, b, p=p, beta=beta, groups=groups, method=method,
        regularization=regularization, reg=reg, mass=mass,
    )  # fmt: skip
    batch = shape(x)[:-2]
    plans = [problem.plan(index) for index in np.ndindex(batch)]
    return assembled(plans, x, batch, (int(x.shape[-2]), int(z.shape[-2])))


@not_compiled
def conditional_geodesic(x: Array, z: Array, coupling: Coupling, t: float) -> tuple[Array, Array]:
    r"""Points on the way from x to z along a coupling, and their velocities.

    .. math:: x_k(t) = (1 - t) \, x_{i_k} + t \, z_{j_k}, \qquad v_k = z_{j_k} - x_{i_k}

    Pair k keeps its mass and, for a coupling that stays inside conditions, the condition of
    point ``coupling.rows[k]``. Then this is a geodesic of the conditional Wasserstein distance,
    and the solution of dx/dt = v at time t.

    Parameters
    ----------
    x, z : arrays (..., N, d) and (..., M, d)
        The points that were coupled.
    coupling : Coupling
        Of `conditional_coupling`.
    t : float
        From 0 (x) to 1 (z).

    Returns
    -------
    points, velocities : arrays (..., K, d)

    Raises
    ------
    TypeError, ValueError
        If the points are not those of the coupling, or t is outside [0, 1].

    References
    ----------
    Chemseddine, Hagemann, Steidl, Wald, "Conditional Wasserstein Distances with Applications in
    Bayesian OT Flow Matching", JMLR 26, 2025, Section 3.
    """
    if not isinstance(coupling, Coupling):
        raise TypeError(f"coupling must be a Coupling, got {type(coupling).__name__}")
    for name, points, count in (("x", x, coupling.shape[0]), ("z", z, coupling.shape[1])):
        check_points(name, points)
        check_together(name, points, "coupling", coupling.mass)
        if shape(points)[:-1] != (*shape(coupling.mass)[:-1], count):
            raise ValueError(f"{name} must be the points of the coupling, got {shape(points)}")
        check_finite(name, points)
    time = check_number("t", t)
    if not 0 <= time <= 1:
        raise ValueError(f"t must lie between 0 and 1, got {time:g}")
    xp = namespace(x)

    def at(points: Array, places: Array) -> Array:
        wider = xp.broadcast_to(places[..., None], (*shape(places), points.shape[-1]))
        return xp.take_along_axis(points, wider, axis=-2)

    start = at(x, coupling.rows)
    velocity = at(z, coupling.columns) - start
    return start + time * velocity, velocity


def assembled(
    plans: list[Plan], x: Array, batch: tuple[int, ...], sizes: tuple[int, int]
) -> Coupling:
    """Plans of a batch as one coupling in the library of x."""
    longest = max(len(plan.rows) for plan in plans)

    def stacked(name: str) -> NDArray[Any]:
        numbers = np.zeros((len(plans), longest), np.float64 if name == "mass" else np.int64)
        for into, plan in zip(numbers, plans, strict=True):
            own = getattr(plan, name)
            into[: len(own)] = own
            if name == "rows":  # they stay in order
                into[len(own) :] = own[-1]
        return numbers.reshape(*batch, longest)

    half = dtype_name(x) in ("float16", "bfloat16")  # too coarse for sums of masses
    dtype = namespace(x).float32 if half else x.dtype
    rows, columns = (like(stacked(name), x) for name in ("rows", "columns"))
    return Coupling(rows, columns, like(stacked("mass"), x, dtype), sizes)
