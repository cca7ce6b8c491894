"""Checks of arguments: each error names the argument, what was expected and what was given."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar

import array_api_compat as compat
import numpy as np
from energyflow_backends import (
    Array,
    ArrayInfo,
    HostArray,
    count_of_all,
    describe,
    dtype_name,
    known_values,
    library_of,
    namespace,
    sharding,
    summed,
    to_host,
    widest_dtypes,
)

from .blocks import blocks

T = TypeVar("T")
Estimator = Literal["V", "U"]
_FLOATS = ("float64", "float32", "float16", "bfloat16")
_WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_NO_NUMBERS = {
    "c": "complex ones", "U": "text", "S": "text", "M": "dates", "m": "times", "V": "records",
}  # fmt: skip
_FEW = 64  # numbers that are looked at one by one in less time than by NumPy
_SUM_TOLERANCE = {"float64": 1e-6, "float32": 1e-4}
_EXACT_POINTS = 5000  # up to which tests sum over all pairs
_PACKAGES = ("energyflow", "energyflow_backends", "energyflow_kernels")  # those of this library


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called the library: that of the first frame outside our packages."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def check_exponent(exponent: Any) -> float:
    """The power r as a float, 0 < r < 2."""
    number = exponent if type(exponent) is float else check_number("exponent", exponent)
    if not 0 < number < 2:
        raise ValueError(f"exponent must lie strictly between 0 and 2, got {exponent}")
    return number


def check_method(method: str, exponent: float, n_points: int) -> str:
    """How a test of so many points sums, "exact" or "sliced", where "auto" is to be resolved."""
    check_choice("method", method, ("auto", "exact", "sliced"))
    if method == "sliced" and exponent != 1:
        raise ValueError(f'method "sliced" needs the exponent 1, got {exponent}')
    if method != "auto":
        return method
    return "exact" if exponent != 1 or n_points <= _EXACT_POINTS else "sliced"


def check_count(name: str, value: Any, minimum: int = 1, maximum: float = 2**63 - 1) -> int:
    """An integer of at least `minimum`, and not beyond what arrays can count."""
    if isinstance(value, bool) or not isinstance(value, int | Integral):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    if int(value) > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {_shortened(value)}")
    return int(value)


def check_number(name: str, value: Any) -> float:
    """A real number, as a float."""
    if isinstance(value, bool) or not isinstance(value, float | int | Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must lie within the range of float64") from None


def check_flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def check_answer(value: Any) -> bool:
    """Whether what a callback returned is true."""
    try:
        return bool(value)
    except (TypeError, ValueError, RuntimeError) as error:  # arrays of several numbers
        raise TypeError(
            f"callback must return something true or false, got {type(value).__name__}: {error}"
        ) from error


def check_path(name: str, value: Any) -> Path:
    """A path as text or as an object of `os.PathLike`."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path, got {type(value).__name__}")
    if not text or "\0" in text:
        raise ValueError(f"{name} must be the path of a file or folder, got {text!r}")
    return Path(text)


def check_each(name: str, values: Any, check: Callable[[str, Any], T]) -> tuple[T, ...]:
    """What `check(name, value)` makes of each of a tuple, list or array of one axis."""
    listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    if not listed and not (isinstance(values, np.ndarray) and values.ndim == 1):
        raise TypeError(f"{name} must be a tuple, got {type(values).__name__}")
    return tuple(check(name, value) for value in values)


def as_numbers(name: str, values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers in nested lists or arrays, as a new array of float64."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got MaskedArray")
    try:
        given = np.asarray(values)
        other = _NO_NUMBERS.get(given.dtype.kind)
        if given.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in given.flat):
            other = "text"
        with np.errstate(over="ignore"):
            numbers = np.array(0 if other else given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be real numbers: {error}") from None
    if other is not None:
        raise TypeError(f"{name} must be real numbers, got {other}")
    return numbers


def as_floats(name: str, values: Any, like: Any = None) -> Array:
    """Lists and whole numbers as float64; other arrays, and what is none, as they are.

    like : what stands beside them: lists go to its library and device if it is an array, and are
    of NumPy else.
    """
    if type(values) is np.ndarray:
        return values.astype(np.float64) if values.dtype.kind in "biu" else values
    if isinstance(values, list | tuple):
        numbers = as_numbers(name, values)
        if like is None or library_of(like) in (None, "numpy"):
            return numbers
        xp, device = namespace(like), compat.device(like)
        made: Array = xp.asarray(numbers, dtype=widest_dtypes(like)[0], device=device)
        return made
    library = library_of(values)
    plain = library is not None and not isinstance(values, np.ma.MaskedArray | np.matrix)
    if library == "dask":  # whose chunks may be of another library, and are refused later
        plain = isinstance(values.dtype, np.dtype)
    if plain and dtype_name(values) in _WHOLE:
        xp = namespace(values)
        single = library == "jax"  # which may have no float64
        values = xp.astype(values, xp.asarray(0.0).dtype if single else xp.float64)
    floats: Array = values
    return floats


def as_labels(name: str, labels: Any) -> HostArray:
    """Labels of any kind, in lists or arrays, in NumPy."""
    try:
        return to_host(labels) if library_of(labels) is not None else np.asarray(labels)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of labels: {error}") from None


def all_as_floats(**named: Any) -> dict[str, Array]:
    """Each by `as_floats`; lists go where the first array among them is."""
    like = next((values for values in named.values() if library_of(values) is not None), None)
    return {name: as_floats(name, values, like) for name, values in named.items()}


def on_a_line(x: Array, y: Array) -> tuple[Array, Array]:
    """Two sets of points, where numbers (N,) are N points on a line if the other set is on one."""
    first, second = getattr(x, "ndim", 0), getattr(y, "ndim", 0)
    if first == 1 and (second == 1 or (second > 1 and y.shape[-1] == 1)):
        x = x[:, None]
    if second == 1 and (first == 1 or (first > 1 and x.shape[-1] == 1)):
        y = y[:, None]
    return x, y


def check_positive(name: str, value: Any) -> float:
    """A positive finite number, as a float."""
    if not 0 < check_number(name, value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)


def check_nonnegative(name: str, value: Any) -> float:
    """A finite number that is not negative, as a float."""
    if not 0 <= check_number(name, value) < math.inf:
        raise ValueError(f"{name} must not be negative or infinite, got {value}")
    return float(value)


def _shortened(value: Any) -> str:
    """A number of any length; long ones by their size alone."""
    return str(value) if value.bit_length() < 128 else f"one of {value.bit_length()} bits"


def check_choice(name: str, value: T, choices: Sequence[str]) -> T:
    """One of the given names."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
    return value


def check_array(name: str, array: Any) -> ArrayInfo:
    """An array of real floating-point numbers from a library that we know: what it is."""
    if type(array) is np.ndarray:
        info = describe(array)
        if info.dtype in _FLOATS:
            return info
    if isinstance(array, np.ma.MaskedArray | np.matrix):
        raise TypeError(f"{name} must be a plain array, got {type(array).__name__}")
    library = library_of(array)
    if library == "dask" and type(array._meta) is not np.ndarray:
        raise TypeError(
            f"{name} must have chunks that are plain NumPy arrays, got {type(array._meta).__name__}"
        )
    if library == "torch" and not _is_dense(array.layout):
        raise TypeError(f"{name} must be a dense tensor, got one with layout {array.layout}")
    if library is None:
        raise TypeError(
            f"{name} must be an array (NumPy, torch, JAX, CuPy, ...), got {type(array).__name__}"
        )
    if dtype_name(array) not in _FLOATS:
        raise TypeError(
            f"{name} must have a real floating dtype ({', '.join(_FLOATS)}), "
            f"got {dtype_name(array)}"
        )
    if any(size != size for size in array.shape):
        raise ValueError(
            f"{name} must have chunks of known sizes: call compute_chunk_sizes(); got {array.shape}"
        )
    return describe(array)


@cache
def _is_dense(layout: Any) -> bool:
    """Whether a tensor with this layout of torch holds all of its numbers."""
    return str(layout).endswith("strided")


def check_points(name: str, array: Any) -> ArrayInfo:
    """Points (..., N, d), at least one of them, in at least one dimension: what arrays they are."""
    info = check_array(name, array)
    if array.ndim < 2:
        raise ValueError(f"{name} must have shape (..., points, dimension), got {shape(array)}")
    if 0 in array.shape:
        raise ValueError(f"{name} must not be empty, got shape {shape(array)}")
    return info


def check_together(first: str, x: Array, second: str, y: Array) -> None:
    """Both arrays belong to one library and lie on one device."""
    if type(x) is type(y) is np.ndarray:
        return
    libraries = library_of(x), library_of(y)
    if libraries[0] != libraries[1]:
        raise TypeError(
            f"{first} and {second} must come from one array library, "
            f"got {libraries[0]} and {libraries[1]}"
        )
    if libraries[0] != "torch" and not (known_values(x) and known_values(y)):
        return  # only torch knows the device of a tensor without values
    torch = libraries[0] == "torch"
    devices = (x.device, y.device) if torch else (compat.device(x), compat.device(y))
    if devices[0] != devices[1]:
        raise TypeError(
            f"{first} and {second} must be on one device, got {devices[0]} and {devices[1]}"
        )


def check_finite(name: str, array: Array) -> None:
    """Every number is finite; the error counts those that are not and names the first."""
    xp = namespace(array)
    count, checked, first = 0, 0, -1
    for block in blocks(array):
        bad = xp.reshape(~xp.isfinite(block), (-1,))
        if bool(xp.any(bad)):
            count += int(xp.sum(xp.astype(bad, xp.int32)))
            first = checked + int(xp.argmax(xp.astype(bad, xp.int32))) if first < 0 else first
        checked += bad.shape[0]
    elsewhere = count_of_all(count) - count
    if count:
        index = tuple(int(i) for i in np.unravel_index(first, shape(array)))
        raise ValueError(
            f"{name} must be finite, got {count} NaN or infinite of {checked} "
            f"numbers, the first at index {index}"
        )
    if elsewhere:
        raise ValueError(
            f"{name} must be finite, got {elsewhere} NaN or infinite numbers in other processes"
        )


def check_weights(name: str, weights: Any, points_name: str, points: Array) -> None:
    """Weights (N,) or (..., N) of the points: non-negative, and with sum one."""
    check_array(name, weights)
    check_together(points_name, points, name, weights)
    count = points.shape[-2]
    if weights.ndim == 0 or weights.shape[-1] != count:
        raise ValueError(
            f"{name} must have shape (..., {count}), one weight for each point of {points_name}, "
            f"got {shape(weights)}"
        )
    _check_constant(name, weights)
    if not known_values(weights):
        return
    check_finite(name, weights)
    xp = namespace(weights)
    least = float(xp.min(weights))
    if least < 0:
        raise ValueError(f"{name} must be non-negative, got a weight of {least:g}")
    wide = weights if dtype_name(weights) in _SUM_TOLERANCE else xp.astype(weights, xp.float32)
    total = summed(xp.sum(wide, axis=-1))
    error = float(xp.max(xp.abs(total - 1)))
    if error > _SUM_TOLERANCE.get(dtype_name(weights), 1e-2):
        raise ValueError(f"{name} must sum to one over the points, got a sum off by {error:g}")


def check_directions(projections: Any, x: Array) -> None:
    """Unit directions (P, d), one a row, in the library of the points."""
    check_array("projections", projections)
    check_together("x", x, "projections", projections)
    _check_constant("projections", projections)
    d = x.shape[-1]
    if projections.ndim != 2 or projections.shape[1] != d or projections.shape[0] < 1:
        raise ValueError(
            f"projections must have shape (P, {d}), one direction a row, got {shape(projections)}"
        )
    if _is_surely_unit(projections) or not known_values(projections):
        return
    check_finite("projections", projections)
    xp = namespace(projections)
    error = float(xp.max(xp.abs(projections))) - 1
    if error <= 1e-2:  # no square overflows
        norms = xp.sqrt(xp.sum(xp.astype(projections, xp.float32) ** 2, axis=1))
        error = float(xp.max(xp.abs(norms - 1)))
    if error > 1e-2:
        raise ValueError(f"projections must have rows of length one, got one off by {error:g}")


def _is_surely_unit(projections: Array) -> bool:
    """Whether a few directions of NumPy's pass at a glance, within what is allowed.

    Processes that share points ask each other in `check_finite`: there all take the longer way.
    """
    if type(projections) is not np.ndarray or projections.size > _FEW or sharding() is not None:
        return False
    for row in projections.tolist():  # noqa: SIM110 - a generator takes twice the time
        if not 0.99 <= math.hypot(*row) <= 1.01:  # NaN is not
            return False
    return True


def _check_constant(name: str, array: Array) -> None:
    if getattr(array, "requires_grad", False):
        raise TypeError(
            f"{name} must not require grad: gradients are with respect to points; detach() it"
        )


def shape(array: Array) -> tuple[int, ...]:
    """The shape as a tuple of Python ints, for messages."""
    return tuple(int(k) for k in array.shape)
