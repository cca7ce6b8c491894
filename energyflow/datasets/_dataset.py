"""A data set: training data and held-out data, with labels and conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from energyflow_backends import HostArray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training data and held-out data, scaled to [0, 1], with or without labels.

    Parameters
    ----------
    train, test : float32 arrays (n, d) for vectors, (n, C, H, W) for images
        Numbers in [0, 1], at least one row in each.
    train_labels, test_labels : int64 arrays (n,), or None for both
        Classes 0, 1, ...
    name : str
        Name of the data, for tables and pictures.
    low, high : float
        The numbers of the source that became 0 and 1: 0 and 255 for bytes.
    class_names : tuple of str
        Names of the classes in the order of their labels; empty where they have none.
    stratified : bool
        Whether both parts have the same share of each class.
    train_condition, test_condition : float32 arrays (n, m), or None for both
        A continuous condition of each element, in the units of the source.

    Raises
    ------
    TypeError, ValueError
        If an array is not as described above; the message names it.
    """

    train: HostArray
    test: HostArray
    train_labels: HostArray | None
    test_labels: HostArray | None
    name: str
    low: float = 0.0
    high: float = 1.0
    class_names: tuple[str, ...] = ()
    stratified: bool = False
    train_condition: HostArray | None = None
    test_condition: HostArray | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            _check_values(f"{self.name}: {part}", getattr(self, part))
        if self.train.shape[1:] != self.test.shape[1:]:
            raise ValueError(
                f"{self.name}: train and test must have one shape, "
                f"got {self.train.shape[1:]} and {self.test.shape[1:]}"
            )
        self._check_parts("labels", "labels", _check_labels)
        self._check_parts("condition", "conditions", _check_condition)
        if self.class_names and len(self.class_names) != self.n_classes:
            raise ValueError(
                f"{self.name}: expected names of {self.n_classes} classes, "
                f"got {len(self.class_names)}"
            )

    def _check_parts(
        self, suffix: str, plural: str, check: Callable[[str, HostArray, int], None]
    ) -> None:
        """Check what goes with the elements of both parts, or of neither."""
        arrays = {part: getattr(self, f"{part}_{suffix}") for part in ("train", "test")}
        if (arrays["train"] is None) != (arrays["test"] is None):
            raise ValueError(
                f"{self.name}: {plural} must be given for both train and test, or none"
            )
        for part, array in arrays.items():
            if array is not None:
                check(f"{self.name}: {part}_{suffix}", array, len(getattr(self, part)))

    def __repr__(self) -> str:
        extras = [f"{self.n_classes} classes"] if self.train_labels is not None else []
        if self.train_condition is not None:
            extras.append(f"conditions ({self.train_condition.shape[1]},)")
        return (
            f"Dataset({self.name!r}: {len(self.train)} points to train on and {len(self.test)} "
            f"held out, {', '.join([f'shape {self.shape}', *extras])})"
        )

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 without labels."""
        labels = [part for part in (self.train_labels, self.test_labels) if part is not None]
        return max(len(self.class_names), *(int(part.max()) + 1 for part in labels), 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one element: (d,) or (C, H, W)."""
        return tuple(self.train.shape[1:])


def _check_type(name: str, array: Any, dtype: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        kind = getattr(array, "dtype", type(array).__name__)
        article = "an" if dtype.startswith("i") else "a"
        raise TypeError(f"{name} must be {article} {dtype} NumPy array, got {kind}")


def _check_values(name: str, values: HostArray) -> None:
    _check_type(name, values, "float32")
    if values.ndim not in (2, 4) or 0 in values.shape:
        raise ValueError(
            f"{name} must have shape (n, d) or (n, C, H, W) and not be empty, got {values.shape}"
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{name} must lie in [0, 1], got numbers from {low:g} to {high:g}")


def _check_labels(name: str, labels: HostArray, count: int) -> None:
    _check_type(name, labels, "int64")
    if labels.shape != (count,):
        raise ValueError(f"{name}: expected {count} labels, one each, got {labels.shape}")
    if labels.min() < 0:
        raise ValueError(f"{name} must not be negative, got {labels.min()}")


def _check_condition(name: str, condition: HostArray, count: int) -> None:
    _check_type(name, condition, "float32")
    if condition.ndim != 2 or len(condition) != count or condition.shape[1] < 1:
        raise ValueError(f"{name} must have shape ({count}, m), got {condition.shape}")
    if not np.isfinite(condition).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
