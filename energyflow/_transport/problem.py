"""The problem that couplings and conditional distances share: its checks, and its plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from energyflow_backends import Array, Doubles, known_values, library_of, namespace, to_host

from .._core.checks import (
    as_floats,
    check_choice,
    check_finite,
    check_number,
    check_points,
    check_together,
    check_weights,
    shape,
)
from .plans import Places, Plan, groups_of_equal, plan_in_groups
from .sets import Sets, doubles, like, wide
from .solvers import Transport

METHODS = ("exact", "sinkhorn")
_ENTROPIC = ("torch", "jax", "cupy")  # libraries whose arrays POT takes; others go by NumPy


@dataclass(frozen=True, eq=False)
class TransportProblem:
    """Sets of points (*batch, N, d) and (*batch, M, d), and how mass goes from one to the other."""

    transport: Transport
    sets: Sets[Array]
    groups: tuple[Places, Places] | None
    a: Doubles  # (*batch, N), of sum one
    b: Doubles  # (*batch, M)

    def plan(self, index: tuple[int, ...] = ()) -> Plan:
        """The plan for one place of the batch, within groups where there are some."""
        transport, groups, a, b = self.transport, self.groups, self.a[index], self.b[index]
        sets = self.sets.map(lambda v: v[(*index, slice(None), slice(None))])
        if transport.beta == math.inf:
            groups = groups or groups_of_equal(*map(doubles, sets.conditions))
            sets = sets.without_conditions()  # groups alone say what is equal
        on_device = transport.entropic and library_of(sets.x) in _ENTROPIC
        sets = sets.map(wide) if on_device else sets.map(doubles)
        if groups is None:
            return transport.plan(sets, a, b)

        def inside(rows: Places, columns: Places, a: Doubles, b: Doubles) -> Plan:
            part = sets.map_sides(lambda v: _taken(v, rows), lambda v: _taken(v, columns))
            return transport.plan(part, a, b)

        return plan_in_groups(inside, groups, a, b)


def transport_problem(
    sets: Sets[Array],
    a: Any,
    b: Any,
    *,
    p: Any,
    beta: Any,
    groups: Any,
    method: Any,
    regularization: Any,
    reg: Any,
    mass: Any = 1.0,
) -> TransportProblem:
    """The problem of these arguments, see `conditional_coupling`.

    Raises
    ------
    TypeError, ValueError
        Arguments of the wrong type, shape or range.
    """
    if reg is not None and regularization is not None:
        raise ValueError("reg must be left out where regularization, the same, is given")
    entropy = ("regularization", regularization) if reg is None else ("reg", reg)
    transport = _transport(p, beta, method, entropy, mass)
    x, z = sets.x, sets.z
    for name, points in (("x", x), ("z", z)):
        check_points(name, points)
    check_together("x", x, "z", z)
    if shape(z)[:-2] != shape(x)[:-2] or x.shape[-1] != z.shape[-1]:
        raise ValueError(
            "x and z must have the same dimension and batch dimensions, "
            f"got shapes {shape(x)} and {shape(z)}"
        )
    _check_conditions(sets, transport.beta, grouped=groups is not None)
    numbers = None if groups is None else _group_numbers(groups, x, z)
    a, b = (None if w is None else as_floats(n, w, x) for n, w in (("a", a), ("b", b)))
    weights = _host_weights("a", a, "x", x), _host_weights("b", b, "z", z)
    return TransportProblem(transport, sets, numbers, *weights)


def _transport(p: Any, beta: Any, method: Any, entropy: tuple[str, Any], mass: Any) -> Transport:
    """The options, checked; that of entropy with the name that it was given by."""
    power, factor, share = (
        check_number("p", p),
        check_number("beta", beta),
        check_number("mass", mass),
    )
    if not 1 <= power < math.inf:
        raise ValueError(f"p must be at least 1 and finite, got {power:g}")
    if not factor >= 0:
        raise ValueError(f"beta must not be negative, got {factor:g}")
    entropic = check_choice("method", method, METHODS) == "sinkhorn"
    name, regularization = entropy
    if regularization is not None:
        regularization = check_number(name, regularization)
        if not entropic:
            raise ValueError(
                f"{name} is for method 'sinkhorn', got {regularization:g} with {method!r}"
            )
        if not 0 < regularization < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {regularization:g}")
    if not 0 < share <= 1:
        raise ValueError(f"mass must be positive and at most 1, got {share:g}")
    if entropic and share < 1:
        raise ValueError("mass below 1 is for method 'exact'")
    return Transport(power, factor, regularization, entropic, share)


def _check_conditions(sets: Sets[Array], beta: float, *, grouped: bool) -> None:
    """Conditions of points: one row for each, of one dimension; points and conditions finite."""
    x, y_x, z, y_z = sets
    given = {"x": x, "z": z}
    needed = beta > 0 if not grouped else 0 < beta < math.inf
    for name, condition, points in (("y_x", y_x, "x"), ("y_z", y_z, "z")):
        if condition is None:
            if needed:
                raise ValueError(f"{name} must be given: conditions are what is kept")
            continue
        check_points(name, condition)
        check_together(points, given[points], name, condition)
        if shape(condition)[:-1] != shape(given[points])[:-1]:
            raise ValueError(
                f"{name} must have one row for each point of {points}, "
                f"got shapes {shape(condition)} and {shape(given[points])}"
            )
    if y_x is not None and y_z is not None:
        given |= {"y_x": y_x, "y_z": y_z}
        if y_x.shape[-1] != y_z.shape[-1]:
            raise ValueError(
                f"y_x and y_z must have the same dimension, got {y_x.shape[-1]} and {y_z.shape[-1]}"
            )
    for name, array in given.items():
        if known_values(array):
            check_finite(name, array)


def _group_numbers(groups: Any, x: Array, z: Array) -> tuple[Places, Places]:
    """Numbers of groups on the host, one for each point."""
    if not isinstance(groups, tuple | list) or len(groups) != 2:
        raise TypeError("groups must be a pair of integer arrays, one for x and one for z")
    numbers = []
    for side, group, points in zip(("x", "z"), groups, (x, z), strict=True):
        if library_of(group) is None:
            raise TypeError(f"groups must be arrays, got {type(group).__name__} for {side}")
        number = to_host(group)
        if not np.issubdtype(number.dtype, np.integer) or number.shape != (points.shape[-2],):
            raise ValueError(
                f"groups must hold integers ({points.shape[-2]},) for {side}, "
                f"got {number.dtype} {number.shape}"
            )
        numbers.append(number.astype(np.intp))
    return numbers[0], numbers[1]


def _host_weights(name: str, weights: Array | None, points_name: str, points: Array) -> Doubles:
    """Weights (*batch, N) of sum one, in float64 on the host."""
    size = shape(points)[:-1]
    if weights is None:
        return np.full(size, 1 / size[-1])
    check_weights(name, weights, points_name, points)
    if shape(weights) not in (size, size[-1:]):
        raise ValueError(f"{name} must have shape {size[-1:]} or {size}, got {shape(weights)}")
    numbers = doubles(weights)
    return np.array(np.broadcast_to(numbers / numbers.sum(axis=-1, keepdims=True), size))


def _taken(points: Array, places: Places) -> Array:
    return namespace(points).take(points, like(places, points), axis=0)
