"""From public arguments to paired points with one batch shape, and their distance covariances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, ProjectorPair, namespace

from .._core.checks import (
    all_as_floats,
    check_array,
    check_choice,
    check_count,
    check_exponent,
    check_finite,
    check_points,
    check_together,
    shape,
)
from .._core.memory import CHUNKS, advise
from .direction_pairs import DirectionPairs

_LEAST = {"V": 1, "U": 4}  # pairs


def as_points(name: str, array: Any) -> Array:
    """Points (..., N, d) of floats; numbers (N,) are N points on a line."""
    check_array(name, array)
    points: Array = array[:, None] if array.ndim == 1 else array
    check_points(name, points)
    return points


def paired_points(**arrays: Any) -> dict[str, Array]:
    """As many points in each of the named samples, of one library on one device."""
    points = {name: as_points(name, array) for name, array in all_as_floats(**arrays).items()}
    (first, x), *others = points.items()
    for name, y in others:
        check_together(first, x, name, y)
        if x.shape[-2] != y.shape[-2]:
            raise ValueError(
                f"{first} and {name} must have as many points, "
                f"got {x.shape[-2]} and {y.shape[-2]} (shapes {shape(x)} and {shape(y)})"
            )
    return points


@dataclass(frozen=True, eq=False)
class Paired:
    """How distance covariances are computed: what the arguments of all functions here say."""

    exponent: float
    estimator: str
    chunk_size: int | None
    directions: DirectionPairs | None = None  # without them, all pairs are summed

    @classmethod
    def checked(
        cls,
        exponent: Any,
        estimator: Any,
        chunk_size: Any,
        directions: DirectionPairs | None = None,
    ) -> Paired:
        """After checking the arguments."""
        return cls(
            check_exponent(exponent),
            check_choice("estimator", estimator, ("V", "U")),
            None if chunk_size is None else check_count("chunk_size", chunk_size),
            directions,
        )

    def covariance(self, points: dict[str, Array], first: str, second: str, step: int = 0) -> Array:
        """Squared distance covariance (*batch) of two of the `paired_points`.

        `step` tells which directions are drawn.
        """
        x, y = points[first], points[second]
        if x.shape[-2] < _LEAST[self.estimator]:
            raise ValueError(
                f"{first} and {second} must have at least {_LEAST[self.estimator]} points for "
                f"estimator {self.estimator!r}, got {x.shape[-2]}"
            )
        try:
            batch = np.broadcast_shapes(shape(x)[:-2], shape(y)[:-2])
        except ValueError:
            raise ValueError(
                f"{first} and {second} must have batch dimensions that broadcast, "
                f"got {shape(x)} and {shape(y)}"
            ) from None
        xp = namespace(x)
        x, y = (
            v if shape(v)[:-2] == batch else xp.broadcast_to(v, (*batch, *shape(v)[-2:]))
            for v in (x, y)
        )
        held = self.projectors(x.shape[-1], y.shape[-1], step)
        operation: Callable[..., Any] = backends.exact_distance_covariance
        if held is not None:
            operation = backends.sliced_distance_covariance
        compute = partial(self._compute, operation, (first, second))
        return backends.differentiable_value(compute, x, y, held=held)  # type: ignore[arg-type]

    def projectors(self, d: int, e: int, step: int = 0) -> ProjectorPair | None:
        """Directions for both sides; None where pairs are summed, or points sorted on the line."""
        if self.directions is None or (d == 1 and e == 1 and self.exponent == 1):
            return None
        return self.directions.projectors(d, e, step)

    def _compute(
        self,
        operation: Callable[..., Any],
        names: tuple[str, str],
        x: Array,
        y: Array,
        *,
        wrt: tuple[str, ...],
        held: ProjectorPair | None = None,
    ) -> tuple[Array, Array | None, Array | None]:
        xp = namespace(x)
        batch = shape(x)[:-2]
        kept = xp.result_type(x, y)
        flat = (xp.reshape(v, (-1, *shape(v)[-2:])) for v in (x, y))
        try:
            value, gx, gy = operation(
                *flat, *(() if held is None else (held,)),
                exponent=self.exponent, estimator=self.estimator, wrt=wrt,
                chunk_size=self.chunk_size,
            )  # fmt: skip
        except (MemoryError, RuntimeError) as error:
            advise(error, CHUNKS)
            raise
        except backends.NonFiniteValue:
            check_finite(names[0], x)
            check_finite(names[1], y)
            raise ValueError(
                f"{names[0]} and {names[1]} must be small enough for their distance covariance to "
                "be finite"
            ) from None
        with np.errstate(over="ignore"):  # beyond the range of float16 lies infinity
            value = xp.astype(xp.reshape(value, batch), kept, copy=False)
            gx, gy = (
                None if g is None else xp.astype(xp.reshape(g, v.shape), v.dtype, copy=False)
                for g, v in ((gx, x), (gy, y))
            )
        return value, gx, gy
