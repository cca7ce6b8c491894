"""Writers of small files in the true formats, byte by byte."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx_folder(folder: Path, *, compressed: bool = False, mark: str = "-") -> dict:
    """An MNIST-like folder of 7 and 3 images of 4 x 5 pixels; gives the arrays in it."""
    rng = np.random.default_rng(0)
    arrays = {}
    for stem, n in (("train", 7), ("t10k", 3)):
        arrays[f"{stem}-images{mark}idx3-ubyte"] = rng.integers(256, size=(n, 4, 5))
        arrays[f"{stem}-labels{mark}idx1-ubyte"] = np.arange(n) % 3
    for name, array in arrays.items():
        content = idx_bytes(array)
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return arrays


def write_cifar_folder(folder: Path, batches: int = 2, n: int = 4) -> dict:
    """Batches of n records and a test batch of 2; gives images and labels by file name."""
    rng = np.random.default_rng(1)
    sizes = {f"data_batch_{k}.bin": n for k in range(1, batches + 1)} | {"test_batch.bin": 2}
    content = {}
    for name, count in sizes.items():
        images = rng.integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
        labels = rng.integers(10, size=count, dtype=np.uint8)
        records = np.concatenate([labels[:, None], images.reshape(count, -1)], axis=1)
        (folder / name).write_bytes(records.tobytes())
        content[name] = images, labels
    return content
