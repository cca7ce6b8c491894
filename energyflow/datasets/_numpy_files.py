"""Arrays in NumPy's own formats: .npy, and .npz with recognised names; never pickled objects."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, cast

import numpy as np

from ._bytes import MOST_FROM_ONE_BYTE
from ._dataset import Array, Dataset
from ._split import from_arrays, from_parts

NPY = np.lib.format.MAGIC_PREFIX
ZIP = b"PK\x03\x04"
TRAIN, TEST = ("train", "x_train"), ("test", "x_test")
TRAIN_LABELS, TEST_LABELS = ("train_labels", "y_train"), ("test_labels", "y_test")
VALUES = ("x", "data", "images", "samples", "particles")
LABELS = ("y", "labels", "condition")


def load_npy(path: Path, name: str, split: float, seed: int) -> Dataset:
    """One array without labels."""
    with path.open("rb") as stream:
        values = _read_array(stream, path.stat().st_size, str(path))
    return from_arrays(values, name=name, split=split, seed=seed)


def load_npz(path: Path, key: str | None, name: str, split: float, seed: int) -> Dataset:
    """Arrays by their names: train and test, or one with or without labels, or the one at `key`."""
    damage = (zipfile.BadZipFile, zlib.error, EOFError, OSError, UnicodeDecodeError)
    unknown = (RuntimeError, NotImplementedError)  # encrypted members, other ways of compressing
    with path.open("rb") as raw:
        try:
            with zipfile.ZipFile(raw) as archive:
                return _from_archive(archive, path, key, name, split, seed)
        except (*damage, *unknown) as error:
            raise ValueError(f"{path}: expected a whole .npz archive: {error}") from error


def _from_archive(
    archive: zipfile.ZipFile, path: Path, key: str | None, name: str, split: float, seed: int
) -> Dataset:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def read(names: tuple[str, ...]) -> Array | None:
        there = next((member for member in names if member in members), None)
        return None if there is None else _read_member(archive, members[there], path)

    if key is not None or len(members) == 1:
        values = read((key if key is not None else next(iter(members)),))
        if values is None:
            raise ValueError(f"{path} has no array {key!r}; it holds {', '.join(members)}")
        return from_arrays(values, name=name, split=split, seed=seed)
    train, test = read(TRAIN), read(TEST)
    if train is not None and test is not None:
        return from_parts((train, read(TRAIN_LABELS)), (test, read(TEST_LABELS)), name=name)
    values = read(VALUES) if train is None else train
    if values is None:
        raise ValueError(
            f"{path}: expected arrays train and test, or one of {', '.join(VALUES)}, with or "
            f"without labels; it holds {', '.join(members) or 'none'}: choose one as {path}:KEY"
        )
    labels = read(LABELS) if train is None else read(TRAIN_LABELS)
    return from_arrays(values, labels, name=name, split=split, seed=seed)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Array:
    name = f"{path}:{info.filename.removesuffix('.npy')}"
    if info.file_size > min(info.compress_size, path.stat().st_size) * MOST_FROM_ONE_BYTE:
        raise ValueError(
            f"{name}: claims {info.file_size} bytes, more than {info.compress_size} bytes of the "
            "archive can hold"
        )
    with archive.open(info) as stream:
        return _read_array(stream, info.file_size, name)


def _read_array(stream: IO[bytes], size: int, name: str) -> Array:
    """An array whose header claims what the stream of `size` bytes holds, no less and no more."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"version {version} is not for arrays of numbers")
        shape, _, dtype = readers[version](stream)
        if dtype.kind not in "biuf":
            raise ValueError(f"expected real numbers, got an array of dtype {dtype}")
        claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
        if claimed != there:
            raise ValueError(
                f"its header claims an array of shape {shape} and dtype {dtype}, "
                f"{claimed} bytes, but {there} follow"
            )
        stream.seek(0)
        return cast(Array, np.lib.format.read_array(stream, allow_pickle=False))
    except (ValueError, EOFError, SyntaxError, TokenError) as error:  # the last two: the header
        told = str(error).partition("\n")[0]
        raise ValueError(f"{name}: expected an array in NumPy's format: {told}") from error
