"""MNIST's files: read as written, and every damage told."""

import gzip
import struct

import numpy as np
import pytest
from _dataset_files import idx_bytes, write_idx_folder

from energyflow import datasets

TRAIN = "train-images-idx3-ubyte"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("mark", "-.")
def test_read_as_written(tmp_path, compressed, mark):
    arrays = write_idx_folder(tmp_path, compressed=compressed, mark=mark)
    data = datasets.load(tmp_path)
    for stem, part in (("train", "train"), ("t10k", "test")):
        images = arrays[f"{stem}-images{mark}idx3-ubyte"]
        wanted = (images / 255).astype(np.float32)[:, None]
        np.testing.assert_allclose(getattr(data, part), wanted, rtol=1e-6)
        labels = arrays[f"{stem}-labels{mark}idx1-ubyte"]
        np.testing.assert_array_equal(getattr(data, f"{part}_labels"), labels)
    assert (data.n_classes, data.high, data.name) == (3, 255, tmp_path.name)


def test_other_files_do_not_matter(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / "README.txt").write_text("hello")
    (tmp_path / ".hidden").write_text("hello")
    assert datasets.load(str(tmp_path)).train.shape == (7, 1, 4, 5)


@pytest.mark.parametrize("compressed", [False, True])
def test_every_truncation_is_told(tmp_path, compressed):
    write_idx_folder(tmp_path, compressed=compressed)
    path = tmp_path / (TRAIN + ".gz" * compressed)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=TRAIN):
            datasets.load(tmp_path)


def header(*lengths: int, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(lengths)}I", 0, 0, kind, len(lengths), *lengths)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "got an empty file"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01a", "beginning with 00 00 08 03, got 00 00 08 01"),
        (header(7, 4, 5, kind=13), "got 00 00 0d 03"),
        (b"\x89PNG\r\n\x1a\n", "got 89 50 4e 47"),
        (header(0, 28, 28), r"shape \(0, 28, 28\)"),
        (header(7, 4, 5) + bytes(139), "140 bytes, but only 139 follow"),
        (header(7, 4, 5) + bytes(141), "140 bytes, but more follow"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(140), "holds at most"),
        (idx_bytes(np.zeros((6, 4, 5))), "expected 6 labels.*got 7"),
    ],
)
def test_damage_is_told(tmp_path, content, told, compress):
    write_idx_folder(tmp_path)
    (tmp_path / TRAIN).write_bytes(compress(content))
    with pytest.raises(ValueError, match=told) as caught:
        datasets.load(tmp_path)
    assert "train-" in str(caught.value)


def test_claims_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    import tracemalloc

    write_idx_folder(tmp_path)
    for compress in (bytes, gzip.compress):
        (tmp_path / TRAIN).write_bytes(compress(header(60000, 2**16, 2**8) + bytes(999)))
        tracemalloc.start()
        with pytest.raises(ValueError, match="at most"):
            datasets.load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


@pytest.mark.parametrize("name", [TRAIN, "t10k-labels-idx1-ubyte"])
def test_missing_files_are_named(tmp_path, name):
    write_idx_folder(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        datasets.load(tmp_path)
