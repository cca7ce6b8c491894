"""From public arguments to one checked problem: two batches of weighted point sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import energyflow_backends as backends
import numpy as np
from energyflow_backends import (
    Array,
    ArrayInfo,
    PointSets,
    Projector,
    Request,
    Result,
    dtype_name,
    known_values,
    namespace,
)

from .._core.checks import (
    as_floats,
    check_array,
    check_choice,
    check_count,
    check_exponent,
    check_finite,
    check_points,
    check_together,
    check_weights,
    on_a_line,
    shape,
    warn,
)
from .._core.memory import CHUNKS, advise

_LEAST_SIDE = 8  # pixels of what may be an image

# the second argument is the projector that `value` was given, or one of the same kind
Operation = Callable[[PointSets, Any, Request], Result]


class Problem(NamedTuple):
    """Two checked sets of points with one batch shape, and how they are to be compared."""

    x: Array  # (*batch, N, d)
    y: Array  # (*batch, M, d)
    a: Array | None
    b: Array | None
    request: Request
    dtype: Any  # of the computation
    info: ArrayInfo  # of x
    operation: Operation | None = None  # in place of the energy distance
    line: bool = False  # whether x was given as numbers (N,)

    def value(self, projector: Projector | None) -> Array:
        """The value, known to automatic differentiation."""
        if self.info.library in backends.DIFFERENTIABLE:
            sets = self.x, self.y, self.a, self.b
            return backends.differentiable_value(self.compute, *sets, held=projector)
        return self.compute(self.x, self.y, self.a, self.b, wrt=(), held=projector)[0]

    def value_and_gradient(self, projector: Projector | None) -> tuple[Array, Array]:
        """The value, and its gradient with respect to x; neither carries a graph."""
        run = partial(self.compute, wrt=("x",))
        sets = self.x, self.y, self.a, self.b
        value, gradient, _ = backends.without_graph(run, *sets, held=projector)
        return value, gradient[..., 0] if self.line else gradient

    def compute(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        *,
        wrt: tuple[str, ...],
        held: Projector | None,
    ) -> Result:
        """Value (*batch) and gradients, shaped and typed like the points."""
        batch = x.shape[:-2]
        sets = PointSets(
            self._flat(x, batch, 2),
            self._flat(y, batch, 2),
            None if a is None else self._flat(a, batch, 1),
            None if b is None else self._flat(b, batch, 1),
        )
        request = self.request._replace(wrt=wrt) if wrt else self.request
        try:
            if self.operation is not None:
                value, gx, gy = self.operation(sets, held, request)
            elif held is None:
                value, gx, gy = backends.exact_value_and_gradient(sets, request)
            else:
                value, gx, gy = backends.sliced_value_and_gradient(sets, held, request)
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
        native = x.dtype == y.dtype == self.dtype
        kept = self.dtype if native else namespace(x).result_type(x, y)
        return (
            _shaped(value, batch, kept),
            None if gx is None else _shaped(gx, x.shape, x.dtype),
            None if gy is None else _shaped(gy, y.shape, y.dtype),
        )

    def _flat(self, array: Array, batch: tuple[int, ...], trailing: int) -> Array:
        """Batch dimensions in one, and the dtype of the computation."""
        if array.ndim == trailing and not batch:
            flat = array[None, ...]
        else:
            xp, tail = namespace(array), array.shape[array.ndim - trailing :]
            if trailing == 1:
                array = xp.broadcast_to(array, (*batch, *tail))
            flat = xp.reshape(array, (math.prod(batch), *tail))
        return flat if flat.dtype == self.dtype else namespace(flat).astype(flat, self.dtype)


def _shaped(array: Array, wanted: tuple[int, ...], dtype: Any) -> Array:
    """A result whose first axis stands for all batch dimensions, in the dtype that is kept."""
    xp = namespace(array)
    one = array.shape[0] == 1 and array.shape[1:] == wanted
    array = array[0, ...] if one else xp.reshape(array, wanted)
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):  # beyond the range of float16 lies infinity
        return xp.astype(array, dtype)


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
    given = as_floats("x", x, y), as_floats("y", y, x)
    x, y = on_a_line(*given)
    line = x is not given[0]
    info = check_points("x", x)
    names = info.dtype, check_points("y", y).dtype
    check_together("x", x, "y", y)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            "x and y must have the same dimension, "
            f"got {x.shape[-1]} and {y.shape[-1]} (shapes {shape(x)} and {shape(y)})"
        )
    request = Request(
        check_exponent(exponent),
        check_choice("estimator", estimator, ("V", "U")),
        wrt=(),
        chunk_size=None if chunk_size is None else check_count("chunk_size", chunk_size),
    )
    batch: tuple[int, ...] = ()
    if x.ndim > 2 or y.ndim > 2:
        try:
            batch = np.broadcast_shapes(shape(x)[:-2], shape(y)[:-2])
        except ValueError:
            raise ValueError(
                f"x and y must have batch dimensions that broadcast, got {shape(x)} and {shape(y)}"
            ) from None
    a = None if a is None else as_floats("a", a, x)
    b = None if b is None else as_floats("b", b, y)
    here = backends.sharding()
    if here is not None and here.parted:
        _agree(here, request.estimator, a=a, b=b)
    unbiased = request.estimator == "U"
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
        if unbiased:
            check_self_term(name, weights, points_name, points)
    if batch:
        _warn_of_images(x, y)
        xp = namespace(x)
        x, y = (
            v if shape(v)[:-2] == batch else xp.broadcast_to(v, (*batch, *shape(v)[-2:]))
            for v in (x, y)
        )
    xp = namespace(x)
    dtype = xp.float64 if "float64" in names else xp.float32
    dtype = np.dtype(dtype) if info.library == "numpy" else dtype
    return Problem(x, y, a, b, request, dtype, info, line=line)


def _warn_of_images(x: Array, y: Array) -> None:
    """Say how arrays that look like images (n, C, H, W) are read."""
    if not (x.ndim == y.ndim == 4 and shape(x)[1:] == shape(y)[1:]):
        return
    count, channels, height, width = shape(x)
    if channels in (1, 3) and height == width >= _LEAST_SIDE:
        warn(
            f"x of shape {shape(x)} is a batch of {count * channels} clouds of {height} "
            f"points in {width} dimensions; if these are images, each of which is one point, "
            "give x.reshape(len(x), -1) and y.reshape(len(y), -1)",
        )


def _agree(here: backends.Sharding, estimator: str, **weights: Any) -> None:
    """Processes that share points must compare these: they decide which sums all ask for."""
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
