"""What every source of data becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


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
        What the data are, for tables and pictures.
    low, high : float
        What 0 and 1 were in the source: 0 and 255 for bytes.
    class_names : tuple of str
        Names of the classes in the order of their labels; empty where they have none.
    stratified : bool
        Whether both parts were given the same share of each class.
    train_condition, test_condition : float32 arrays (n, m), or None for both
        A continuous condition of each element, in the units of the source.

    Raises
    ------
    TypeError, ValueError
        Arrays that break the promises above, naming the array, what was expected and what came.
    """

    train: Array
    test: Array
    train_labels: Array | None
    test_labels: Array | None
    name: str
    low: float = 0.0
    high: float = 1.0
    class_names: tuple[str, ...] = ()
    stratified: bool = False
    train_condition: Array | None = None
    test_condition: Array | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            _check_values(f"{self.name}: {part}", getattr(self, part))
        if self.train.shape[1:] != self.test.shape[1:]:
            raise ValueError(
                f"{self.name}: train and test must have one shape, "
                f"got {self.train.shape[1:]} and {self.test.shape[1:]}"
            )
        if (self.train_labels is None) != (self.test_labels is None):
            raise ValueError(f"{self.name}: labels must be given for both train and test, or none")
        for part in ("train", "test"):
            _check_labels(
                f"{self.name}: {part}_labels", getattr(self, f"{part}_labels"), getattr(self, part)
            )
        _check_conditions(self)
        if self.class_names and len(self.class_names) != self.n_classes:
            raise ValueError(
                f"{self.name}: expected names of {self.n_classes} classes, "
                f"got {len(self.class_names)}"
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


def _check_values(name: str, values: Array) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        kind = getattr(values, "dtype", type(values).__name__)
        raise TypeError(f"{name} must be a float32 NumPy array, got {kind}")
    if values.ndim not in (2, 4) or 0 in values.shape:
        raise ValueError(
            f"{name} must have shape (n, d) or (n, C, H, W) and not be empty, got {values.shape}"
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{name} must lie in [0, 1], got numbers from {low:g} to {high:g}")


def _check_labels(name: str, labels: Array | None, values: Array) -> None:
    if labels is None:
        return
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64:
        kind = getattr(labels, "dtype", type(labels).__name__)
        raise TypeError(f"{name} must be an int64 NumPy array, got {kind}")
    if labels.shape != values.shape[:1]:
        raise ValueError(f"{name}: expected {len(values)} labels, one each, got {labels.shape}")
    if labels.min() < 0:
        raise ValueError(f"{name} must not be negative, got {labels.min()}")


def _check_conditions(data: Dataset) -> None:
    parts = {"train": data.train_condition, "test": data.test_condition}
    if (parts["train"] is None) != (parts["test"] is None):
        raise ValueError(f"{data.name}: conditions must be given for both train and test, or none")
    for part, condition in parts.items():
        if condition is None:
            continue
        name, count = f"{data.name}: {part}_condition", len(getattr(data, part))
        if not isinstance(condition, np.ndarray) or condition.dtype != np.float32:
            kind = getattr(condition, "dtype", type(condition).__name__)
            raise TypeError(f"{name} must be a float32 NumPy array, got {kind}")
        if condition.ndim != 2 or len(condition) != count or condition.shape[1] < 1:
            raise ValueError(f"{name} must have shape ({count}, m), got {condition.shape}")
        if not np.isfinite(condition).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
