"""From public arguments to one checked problem: two batches of weighted point sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, Projector, dtype_name, known_values, namespace

from .._core.checks import (
    check_array,
    check_choice,
    check_count,
    check_exponent,
    check_finite,
    check_points,
    check_together,
    check_weights,
    shape,
)
from .._core.memory import CHUNKS, advise

Result = tuple[Array, Array | None, Array | None]


@dataclass(frozen=True, eq=False)
class Problem:
    """Two checked sets of points with one batch shape, and how they are to be compared."""

    x: Array  # (*batch, N, d)
    y: Array  # (*batch, M, d)
    a: Array | None
    b: Array | None
    exponent: float
    estimator: str
    chunk_size: int | None
    dtype: Any  # of the computation

    def compute(
        self,
        operation: Callable[..., Result],
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        *,
        wrt: tuple[str, ...],
        held: Projector | None = None,
    ) -> Result:
        """Value (*batch) and gradients, shaped and typed like the points."""
        xp = namespace(x)
        batch = shape(x)[:-2]
        kept = xp.result_type(x, y)
        points = (self._flat(v, batch, 2) for v in (x, y))
        weights = (self._flat(v, batch, 1) for v in (a, b))
        try:
            value, gx, gy = operation(
                *points, *weights, *(() if held is None else (held,)),
                exponent=self.exponent,
                estimator=self.estimator,
                wrt=wrt,
                chunk_size=self.chunk_size,
            )  # fmt: skip
        except (MemoryError, RuntimeError) as error:
            advise(error, CHUNKS)
            raise
        except backends.NonFiniteValue:
            check_finite("x", x)
            check_finite("y", y)
            raise ValueError(
                f"x and y must be small enough for their distance to be finite in "
                f"{getattr(self.dtype, '__name__', self.dtype)}"
            ) from None
        with np.errstate(over="ignore"):  # beyond the range of float16 lies infinity
            value = xp.astype(xp.reshape(value, batch), kept, copy=False)
            gx, gy = (
                None if g is None else xp.astype(xp.reshape(g, v.shape), v.dtype, copy=False)
                for g, v in ((gx, x), (gy, y))
            )
        return value, gx, gy

    def value(self, operation: Callable[..., Result], held: Projector | None = None) -> Array:
        """The value, known to automatic differentiation; `held` is what the operation slices by."""
        return backends.differentiable_value(
            partial(self.compute, operation), self.x, self.y, self.a, self.b, held=held
        )

    def value_and_gradient(
        self, operation: Callable[..., Result], held: Projector | None = None
    ) -> tuple[Array, Array]:
        """The value, and its gradient with respect to x; neither carries a graph."""
        run = partial(self.compute, operation, wrt=("x",))
        value, gradient, _ = backends.without_graph(run, self.x, self.y, self.a, self.b, held=held)
        return value, gradient

    def _flat(self, array: Array | None, batch: tuple[int, ...], trailing: int) -> Array | None:
        """Batch dimensions in one, and the dtype of the computation."""
        if array is None:
            return None
        xp = namespace(array)
        tail = shape(array)[array.ndim - trailing :]
        if trailing == 1:
            array = xp.broadcast_to(array, (*batch, *tail))
        flat = xp.reshape(array, (math.prod(batch), *tail))
        return xp.astype(flat, self.dtype, copy=False)


def problem(
    x: Any,
    y: Any,
    a: Any,
    b: Any,
    *,
    exponent: Any,
    estimator: Any,
    chunk_size: Any,
) -> Problem:
    """Check the arguments that all distances share, and bring both sets to one batch shape."""
    check_points("x", x)
    check_points("y", y)
    check_together("x", x, "y", y)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            "x and y must have the same dimension, "
            f"got {x.shape[-1]} and {y.shape[-1]} (shapes {shape(x)} and {shape(y)})"
        )
    exponent = check_exponent(exponent)
    estimator = check_choice("estimator", estimator, ("V", "U"))
    chunk_size = None if chunk_size is None else check_count("chunk_size", chunk_size)
    try:
        batch = np.broadcast_shapes(shape(x)[:-2], shape(y)[:-2])
    except ValueError:
        raise ValueError(
            f"x and y must have batch dimensions that broadcast, got {shape(x)} and {shape(y)}"
        ) from None
    _agree(estimator, a=a, b=b)
    for name, weights, points_name, points in (("a", a, "x", x), ("b", b, "y", y)):
        if weights is not None:
            check_weights(name, weights, points_name, points)
            try:
                fits = np.broadcast_shapes(shape(weights)[:-1], batch) == batch
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(
                    f"{name} must have batch dimensions that broadcast to {batch}, "
                    f"got shape {shape(weights)}"
                )
        if estimator == "U":
            check_self_term(name, weights, points_name, points)
    dtype = working_dtype(x, y)
    xp = namespace(x)
    x, y = (
        v if shape(v)[:-2] == batch else xp.broadcast_to(v, (*batch, *shape(v)[-2:]))
        for v in (x, y)
    )
    return Problem(x, y, a, b, exponent, estimator, chunk_size, dtype)


def _agree(estimator: str, **weights: Any) -> None:
    """What decides which sums the checks ask other processes for must be the same in all."""
    here = backends.sharding()
    if here is None or not here.parted:
        return
    given = {name: w for name, w in weights.items() if w is not None}
    for name, w in given.items():
        check_array(name, w)
    kinds = {name: f"{dtype_name(w)} {shape(w)[:-1]}" for name, w in given.items()}
    here.agreed({"estimator": estimator, "weights": kinds or None})


def working_dtype(x: Array, y: Array) -> Any:
    """The dtype to compute in: float64 if one of the sets has it, float32 otherwise."""
    xp = namespace(x)
    return xp.float64 if "float64" in (dtype_name(x), dtype_name(y)) else xp.float32


def check_self_term(name: str, weights: Array | None, points_name: str, points: Array) -> None:
    """The U estimator needs two points that carry weight."""
    if backends.count_of_all(points.shape[-2]) < 2:
        raise ValueError(f"{points_name} must have at least 2 points for estimator 'U', got 1")
    if weights is None or not known_values(weights):
        return
    xp = namespace(weights)
    squares = backends.summed(xp.sum(xp.astype(weights, xp.float32) ** 2, axis=-1))
    if float(xp.max(squares)) > 1 - 1e-6:
        raise ValueError(f"{name} must weigh at least 2 points for estimator 'U', got one of them")
