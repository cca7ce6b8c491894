"""Arrays in NumPy's own formats: .npy, and .npz with recognised names; never pickled objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from energyflow_backends import HostArray

from .._core.reading import Archive, opened, opened_archive, read_array
from ._dataset import Dataset
from ._split import as_condition, from_arrays, from_parts

TRAIN, TEST = ("train", "x_train"), ("test", "x_test")
TRAIN_LABELS, TEST_LABELS = ("train_labels", "y_train"), ("test_labels", "y_test")
VALUES = ("x", "data", "images", "samples", "particles")
LABELS = ("y", "labels")
CONDITION = ("condition",)


def load_npy(path: Path, name: str, split: float, seed: int) -> Dataset:
    """One array without labels."""
    with opened(path) as stream:
        values = read_array(stream, path.stat().st_size, str(path))
    return from_arrays(values, name=name, split=split, seed=seed)


def load_npz(path: Path, key: str | None, name: str, split: float, seed: int) -> Dataset:
    """Arrays by their names: train and test, or one with or without labels, or the one at `key`."""
    with opened_archive(path) as archive:
        return _from_archive(archive, path, key, name, split, seed)


def _from_archive(
    archive: Archive, path: Path, key: str | None, name: str, split: float, seed: int
) -> Dataset:
    def read(names: tuple[str, ...]) -> HostArray | None:
        first = next((known for known in names if known in archive.names), None)
        return None if first is None else archive.read(first)

    content = ", ".join(archive.names)
    if key is not None or len(archive.names) == 1:
        values = read((key if key is not None else next(iter(archive.names)),))
        if values is None:
            raise ValueError(f"{path} has no array {key!r}; it holds {content}")
        return from_arrays(values, name=name, split=split, seed=seed)
    train, test = read(TRAIN), read(TEST)
    if train is not None and test is not None:
        conditions: dict[str, Any] = {
            key: as_condition(f"{path}: {key}", given, len(part))
            for key, part in (("train_condition", train), ("test_condition", test))
            if (given := read((key,))) is not None
        }
        parts = (train, read(TRAIN_LABELS)), (test, read(TEST_LABELS))
        return from_parts(*parts, name=name, **conditions)
    values = read(VALUES) if train is None else train
    if values is None:
        raise ValueError(
            f"{path}: expected arrays train and test, or one of {', '.join(VALUES)}, with or "
            f"without labels; it holds {content or 'none'}: choose one as {path}:KEY"
        )
    own = (LABELS, CONDITION) if train is None else (TRAIN_LABELS, ("train_condition",))
    labels, condition = map(read, own)
    if labels is None and condition is not None and condition.dtype.kind in "iu":
        labels, condition = condition, None
    return from_arrays(values, labels, condition=condition, name=name, split=split, seed=seed)
