"""From arrays of any scale to a data set: scaling to [0, 1], and a held-out part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from energyflow_backends import ArrayLike, HostArray, Integers, library_of, to_host

from .._core.checks import as_labels, as_numbers, check_count, check_each, check_number
from ._dataset import Dataset

Part = tuple[HostArray, HostArray | None]


def from_arrays(
    values: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    condition: ArrayLike | None = None,
    name: str = "arrays",
    split: float = 0.2,
    seed: int = 0,
    class_names: tuple[str, ...] = (),
    low_high: tuple[float, float] | None = None,
) -> Dataset:
    """Make a data set of one array, holding out a part of each class.

    Parameters
    ----------
    values : array (n,), (n, d), (n, H, W), (n, C, H, W) or (n, H, W, C)
        Real numbers: NumPy arrays, tensors or lists. The last axis is taken for channels where it
        has 1 or 3 entries and the second has not. Bytes are divided by 255; other numbers outside
        [0, 1] are mapped there by one affine function for all coordinates, from their least and
        greatest value.
    labels : integer array (n,), optional
        Classes 0, 1, ...
    condition : array (n,) or (n, m), optional
        Continuous conditions: real numbers.
    name : str
        Name of the data.
    split : float
        Fraction that is held out as the test part, 0 < split < 1, rounded up to whole elements.
    seed : int
        Seed of the split: the same seed holds out the same elements.
    class_names : tuple of str
        Names of the classes.
    low_high : pair of floats, optional
        The numbers that become 0 and 1, where they are known.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two elements, numbers are NaN or infinite, or labels do not fit.

    Notes
    -----
    Each class gives its share to the test part, up to one element.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    points = _with_channels(name, values)
    classes = _as_labels(f"{name}: labels", labels, len(points))
    seed = check_count("seed", seed, 0, math.inf)
    if not 0 < check_number("split", split) < 1:
        raise ValueError(f"split must lie strictly between 0 and 1, got {split}")
    if len(points) < 2:
        raise ValueError(f"{name}: expected at least 2 elements to split, got {len(points)}")
    n_test = min(math.ceil(split * len(points)), len(points) - 1)
    test, train = held_out_rows(len(points), classes, n_test, seed)
    conditions: dict[str, Any] = {}
    if condition is not None:
        given = as_condition(f"{name}: condition", condition, len(points))
        conditions = {"train_condition": given[train], "test_condition": given[test]}
    parts = ((points[rows], None if classes is None else classes[rows]) for rows in (train, test))
    return from_parts(
        *parts, name=name, class_names=class_names, low_high=low_high,
        stratified=classes is not None, **conditions,
    )  # fmt: skip


def from_parts(
    train: Part,
    test: Part,
    *,
    name: str,
    class_names: tuple[str, ...] = (),
    low_high: tuple[float, float] | None = None,
    **more: Any,
) -> Dataset:
    """Make a data set of the two parts of a source, on one scale; more: of `Dataset`."""
    values = [_with_channels(name, part[0]) for part in (train, test)]
    labels = [_as_labels(f"{name}: labels", part[1], len(part[0])) for part in (train, test)]
    low, high = _range(name, values) if low_high is None else _given_range(low_high)
    scaled = [_to_unit(part, low, high) for part in values]
    parts = scaled[0], scaled[1], labels[0], labels[1]
    return Dataset(*parts, name, low, high, class_names, **more)


def held_out_rows(
    n: int, labels: Integers | None, n_test: int, seed: int
) -> tuple[Integers, Integers]:
    """Rows of the test part and of the training part, both in random order."""
    order = np.random.default_rng(seed).permutation(n)
    if labels is None:
        return order[:n_test], order[n_test:]
    classes, sizes = np.unique(labels, return_counts=True)
    quota = sizes * (n_test / n)
    taken = np.floor(quota).astype(int)
    largest_remainders = np.argsort(taken - quota, kind="stable")
    taken[largest_remainders[: n_test - taken.sum()]] += 1
    held_out = np.zeros(n, dtype=bool)
    for label, count in zip(classes, taken, strict=True):
        held_out[order[labels[order] == label][:count]] = True
    return order[held_out[order]], order[~held_out[order]]


def _with_channels(name: str, given: Any) -> HostArray:
    values = _plain(name, given)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected an array of real numbers, got {values.dtype}")
    if values.ndim not in (1, 2, 3, 4) or 0 in values.shape:
        raise ValueError(
            f"{name}: expected shape (n,), (n, d), (n, H, W), (n, C, H, W) or (n, H, W, C), "
            f"none of them 0, got {values.shape}"
        )
    if values.ndim in (1, 3):
        return values[:, None]
    if values.ndim == 4 and values.shape[3] in (1, 3) and values.shape[1] not in (1, 3):
        return np.moveaxis(values, 3, 1)
    return values


def _plain(name: str, given: Any) -> HostArray:
    """In NumPy, in the dtype that they have; lists in float64."""
    if isinstance(given, list | tuple):
        return as_numbers(name, given)
    if library_of(given) is None or isinstance(given, np.ma.MaskedArray | np.matrix):
        raise TypeError(f"{name}: expected an array of real numbers, got {type(given).__name__}")
    return to_host(given)


def _as_labels(name: str, given: ArrayLike | None, n: int) -> HostArray | None:
    if given is None:
        return None
    labels = as_labels(name, given)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an array of integers, got {labels.dtype}")
    if labels.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one each, got {labels.shape}")
    if n and not 0 <= int(labels.max()) < 2**31:
        raise ValueError(f"{name} must be classes 0, 1, ..., got {labels.max()}")
    return labels.astype(np.int64)


def as_condition(name: str, given: ArrayLike, n: int) -> HostArray:
    """Real numbers (n,) or (n, m) as float32 (n, m)."""
    condition = _plain(name, given)
    if condition.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {condition.dtype}")
    if condition.ndim not in (1, 2) or len(condition) != n:
        raise ValueError(f"{name} must have shape ({n},) or ({n}, m), got {condition.shape}")
    with np.errstate(over="ignore"):  # infinite numbers are refused by the data set
        return condition.reshape(n, -1).astype(np.float32)


def _given_range(low_high: tuple[float, float]) -> tuple[float, float]:
    numbers = check_each("low_high", low_high, check_number)
    if len(numbers) != 2 or not (
        numbers[0] < numbers[1] and math.isfinite(numbers[1] - numbers[0])
    ):
        raise ValueError(f"low_high must be two finite numbers in order, got {low_high}")
    return numbers[0], numbers[1]


def _range(name: str, parts: list[HostArray]) -> tuple[float, float]:
    """The numbers that become 0 and 1."""
    if all(part.dtype == np.uint8 for part in parts):
        return 0.0, 255.0
    low = min(float(part.min()) for part in parts)
    high = max(float(part.max()) for part in parts)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    if not math.isfinite(high - low):
        raise ValueError(f"{name}: expected a range that is finite, got {low:.2g} to {high:.2g}")
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if low < high else (low, low + 1)


def _to_unit(values: HostArray, low: float, high: float) -> HostArray:
    if (low, high) == (0.0, 1.0):
        with np.errstate(over="ignore"):  # numbers outside are refused by the data set
            return np.ascontiguousarray(values, dtype=np.float32)
    if values.dtype == np.uint8 and low == 0:  # in half of the memory of float64
        return np.ascontiguousarray(values, dtype=np.float32) / np.float32(high)
    unit = (values.astype(np.float64) - low) / (high - low)
    return np.ascontiguousarray(np.clip(unit, 0, 1), dtype=np.float32)
