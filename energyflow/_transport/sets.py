"""Two sets of points with conditions as one value, and where their numbers lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, Doubles, detached, namespace, to_host, widest_dtypes
from numpy.typing import NDArray

from .._core.checks import as_floats

T = TypeVar("T")
U = TypeVar("U")


class Sets(NamedTuple, Generic[T]):
    """Points x (N, d) and z (M, d), and the condition of each, (N, n) and (M, n), or None."""

    x: T
    y_x: T | None
    z: T
    y_z: T | None

    @classmethod
    def of(cls, x: Any, y_x: Any, z: Any, y_z: Any) -> Sets[Array]:
        """Of lists and whole numbers as well, which become floats."""
        x, z = as_floats("x", x, z), as_floats("z", z, x)
        y_x = None if y_x is None else as_floats("y_x", y_x, x)
        y_z = None if y_z is None else as_floats("y_z", y_z, z)
        return Sets(x, y_x, z, y_z)

    @property
    def conditions(self) -> tuple[T, ...]:
        """The conditions that are given, of x before those of z."""
        return tuple(condition for condition in (self.y_x, self.y_z) if condition is not None)

    def map(self, function: Callable[[T], U]) -> Sets[U]:
        """The function of each array."""
        return self.map_sides(function, function)

    def map_sides(self, of_x: Callable[[T], U], of_z: Callable[[T], U]) -> Sets[U]:
        """A function of x and its conditions, and one of z and its conditions."""
        y_x = None if self.y_x is None else of_x(self.y_x)
        y_z = None if self.y_z is None else of_z(self.y_z)
        return Sets(of_x(self.x), y_x, of_z(self.z), y_z)

    def without_conditions(self) -> Sets[T]:
        """The points alone."""
        return Sets(self.x, None, self.z, None)


def like(numbers: NDArray[Any], array: Array, dtype: Any = None) -> Array:
    """Numbers of the host in the library and on the device of `array`."""
    xp = namespace(array)
    return xp.asarray(numbers, dtype=dtype, device=compat.device(array))


def wide(array: Array) -> Array:
    """The numbers in the widest dtype of their device, outside any graph."""
    return namespace(array).astype(detached(array), widest_dtypes(array)[0], copy=False)


def doubles(array: Array) -> Doubles:
    """The numbers in float64, on the host."""
    return to_host(wide(array)).astype(np.float64, copy=False)
