"""The binary version of CIFAR-10.

Format: records of one byte for the label and 3072 for the image, 32 rows of 32 pixels of red, then
of green, then of blue. Reference: Krizhevsky, "Learning multiple layers of features from tiny
images", 2009.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from energyflow_backends import HostArray

from .._core.reading import opened
from ._dataset import Dataset
from ._split import from_parts

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
TEST = "test_batch.bin"
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32


def is_cifar_folder(folder: Path) -> bool:
    """Whether the folder holds batches; they have no magic number, only names."""
    return (folder / TEST).is_file() or any(folder.glob("data_batch_*.bin"))


def load_cifar_folder(folder: Path, name: str) -> Dataset:
    """Read `data_batch_1.bin` to `data_batch_5.bin` (those that are there) and `test_batch.bin`."""
    batches = sorted(folder.glob("data_batch_*.bin"))
    if not batches:
        raise FileNotFoundError(f"{folder}: expected files data_batch_1.bin, ..., found none")
    if not (folder / TEST).is_file():
        raise FileNotFoundError(f"{folder}: expected a file {TEST}, found none")
    images, labels = zip(*(read_batch(path) for path in batches), strict=True)
    train = np.concatenate(images), np.concatenate(labels)
    return from_parts(train, read_batch(folder / TEST), name=name, class_names=CLASSES)


def read_batch(path: Path) -> tuple[HostArray, HostArray]:
    """Images (n, 3, 32, 32) and labels (n,) as bytes."""
    size = path.stat().st_size
    if size == 0 or size % _RECORD:
        raise ValueError(
            f"{path}: expected records of {_RECORD} bytes (CIFAR-10, binary version), "
            f"got {size} bytes, {size % _RECORD} more than {size // _RECORD} records"
        )
    with opened(path) as stream:
        records = np.frombuffer(stream.read(size), dtype=np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        first = int(np.argmax(labels >= len(CLASSES)))
        raise ValueError(
            f"{path}: expected labels 0 to 9 (CIFAR-10), got {labels[first]} in record {first}"
        )
    return records[:, 1:].reshape(-1, *_SHAPE), labels
