"""What couplings and conditional distances share: options, checks, and the plan that they find."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from energyflow_backends import Array, known_values, library_of, namespace

from .._core.checks import (
    check_choice,
    check_finite,
    check_number,
    check_points,
    check_together,
    check_weights,
    shape,
)
from .solvers import (
    Floats,
    Places,
    Plan,
    Transport,
    doubles,
    host,
    in_groups,
    like,
    same_conditions,
    wide,
)

METHODS = ("exact", "sinkhorn")
_ENTROPIC = ("torch", "jax", "cupy")  # libraries whose arrays POT takes; others go by NumPy


def transport_of(p: Any, beta: Any, method: Any, regularization: Any, mass: Any = 1.0) -> Transport:
    """The options, checked."""
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
    if regularization is not None:
        regularization = check_number("regularization", regularization)
        if not entropic or not 0 < regularization < math.inf:
            raise ValueError("regularization must be positive, and is for method 'sinkhorn'")
    if not 0 < share <= 1:
        raise ValueError(f"mass must be positive and at most 1, got {share:g}")
    if entropic and share < 1:
        raise ValueError("mass below 1 is for method 'exact'")
    return Transport(power, factor, regularization, entropic, share)


def found(
    transport: Transport,
    x: Array,
    y_x: Array | None,
    z: Array,
    y_z: Array | None,
    labels: tuple[Places, Places] | None,
    a: Floats,
    b: Floats,
) -> Plan:
    """The plan for one set of each, within groups where there are some."""
    if labels is None and transport.beta == math.inf:
        labels = same_conditions(doubles(y_x), doubles(y_z))
    place = wide if transport.entropic and library_of(x) in _ENTROPIC else doubles
    x, z = place(x), place(z)
    y_x, y_z = (None if y is None else place(y) for y in (y_x, y_z))
    if labels is None:
        return transport.plan(x, y_x, z, y_z, a, b)
    if transport.beta == math.inf:  # groups alone say what is equal
        y_x = y_z = None

    def inside(rows: Places, columns: Places, a: Floats, b: Floats) -> Plan:
        points = _taken(x, rows), _taken(y_x, rows), _taken(z, columns), _taken(y_z, columns)
        return transport.plan(*points, a, b)

    return in_groups(inside, labels, a, b)


def check_conditions(
    x: Array, y_x: Array | None, z: Array, y_z: Array | None, beta: float, *, grouped: bool
) -> None:
    """Conditions of points: one row for each, of one dimension; points and conditions finite."""
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


def checked_groups(groups: Any, x: Array, z: Array) -> tuple[Places, Places]:
    """Numbers of groups on the host, one for each point."""
    if not isinstance(groups, tuple | list) or len(groups) != 2:
        raise TypeError("groups must be a pair of integer arrays, one for x and one for z")
    numbers = []
    for side, group, points in zip(("x", "z"), groups, (x, z), strict=True):
        if library_of(group) is None:
            raise TypeError(f"groups must be arrays, got {type(group).__name__} for {side}")
        number = host(group)
        if not np.issubdtype(number.dtype, np.integer) or number.shape != (points.shape[-2],):
            raise ValueError(
                f"groups must hold integers ({points.shape[-2]},) for {side}, "
                f"got {number.dtype} {number.shape}"
            )
        numbers.append(number.astype(np.intp))
    return numbers[0], numbers[1]


def host_weights(name: str, weights: Array | None, points_name: str, points: Array) -> Floats:
    """Weights (*batch, N) of sum one, in float64 on the host."""
    size = shape(points)[:-1]
    if weights is None:
        return np.full(size, 1 / size[-1])
    check_weights(name, weights, points_name, points)
    if shape(weights) not in (size, size[-1:]):
        raise ValueError(f"{name} must have shape {size[-1:]} or {size}, got {shape(weights)}")
    numbers = host(wide(weights)).astype(np.float64)
    return np.array(np.broadcast_to(numbers / numbers.sum(axis=-1, keepdims=True), size))


def _taken(points: Array | None, places: Places) -> Array | None:
    if points is None:
        return None
    return namespace(points).take(points, like(places, points), axis=0)
