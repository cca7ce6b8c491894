"""MNIST and its kin: folders of IDX files.

Format: two zero bytes, the type (8: unsigned bytes), the number of axes, the length of each axis
as 32 bits, most significant byte first, then the bytes. Reference: LeCun, Cortes, Burges, "The
MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from energyflow_backends import HostArray

from ._bytes import opened, read_claimed
from ._dataset import Dataset
from ._split import Part, from_parts

MAGIC = {b"\x00\x00\x08\x03": "images", b"\x00\x00\x08\x01": "labels"}
_STEMS = {
    ("train", "images"): "train-images",
    ("train", "labels"): "train-labels",
    ("test", "images"): "t10k-images",
    ("test", "labels"): "t10k-labels",
}


def load_idx_folder(folder: Path, name: str) -> Dataset:
    """Read `train-images-idx3-ubyte`, `train-labels-...`, `t10k-images-...` and `t10k-labels-...`.

    Each plain or with .gz, and with a dot or a dash before `idx`.
    """
    train, test = (_read_part(folder, part) for part in ("train", "test"))
    return from_parts(train, test, name=name)


def _read_part(folder: Path, part: str) -> Part:
    paths = {kind: _find(folder, part, kind) for kind in ("images", "labels")}
    images, labels = (read_idx(path, kind) for kind, path in paths.items())
    if len(images) != len(labels):
        raise ValueError(
            f"{paths['labels']}: expected {len(images)} labels, as many as images in "
            f"{paths['images'].name}, got {len(labels)}"
        )
    return images, labels


def _find(folder: Path, part: str, kind: str) -> Path:
    stem = _STEMS[part, kind]
    axes = {"images": 3, "labels": 1}[kind]
    names = [f"{stem}{mark}idx{axes}-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]
    there = [folder / name for name in names if (folder / name).is_file()]
    if not there:
        raise FileNotFoundError(f"{folder}: expected a file {names[0]} (or with .gz), found none")
    return there[0]


def read_idx(path: Path, kind: str) -> HostArray:
    """The bytes (n,) of labels or (n, rows, columns) of images."""
    with opened(path) as stream:
        magic = stream.read(4)
        if MAGIC.get(magic) != kind:
            wanted = next(magic for magic, name in MAGIC.items() if name == kind)
            raise ValueError(
                f"{path}: expected an IDX file of {kind}, beginning with {wanted.hex(' ')}, "
                f"got {magic.hex(' ') or 'an empty file'}"
            )
        lengths = stream.read(4 * magic[3])
        if len(lengths) < 4 * magic[3]:
            raise ValueError(f"{path}: its header ends after {4 + len(lengths)} bytes")
        shape = struct.unpack(f">{magic[3]}I", lengths)
        if 0 in shape:
            raise ValueError(f"{path}: expected {kind}, got an array of shape {shape}")
        content = read_claimed(stream, math.prod(shape), path, f"{kind} of shape {shape}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
