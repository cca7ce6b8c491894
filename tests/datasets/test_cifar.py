"""CIFAR-10's binary batches."""

import numpy as np
import pytest
from _dataset_files import write_cifar_folder

from energyflow import datasets


def test_read_as_written(tmp_path):
    content = write_cifar_folder(tmp_path)
    data = datasets.load(tmp_path)
    images, labels = content["test_batch.bin"]
    np.testing.assert_allclose(data.test, images / np.float32(255), rtol=1e-6)
    np.testing.assert_array_equal(data.test_labels, labels)
    batches = [content[f"data_batch_{k}.bin"] for k in (1, 2)]
    np.testing.assert_allclose(data.train * 255, np.concatenate([b[0] for b in batches]), rtol=1e-6)
    np.testing.assert_array_equal(data.train_labels, np.concatenate([b[1] for b in batches]))
    assert data.n_classes == 10
    assert data.class_names[3] == "cat"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda whole: b"", "got 0 bytes"),
        (lambda whole: whole[:-1], "3072 more than 3 records"),
        (lambda whole: whole + b"x", "1 more than 4 records"),
        (lambda whole: whole[:3073] + b"\x0a" + whole[3074:], "got 10 in record 1"),
    ],
)
def test_damage_is_told(tmp_path, change, told):
    write_cifar_folder(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=told) as caught:
        datasets.load(tmp_path)
    assert str(path) in str(caught.value)


def test_missing_batches_are_named(tmp_path):
    write_cifar_folder(tmp_path, batches=1)
    (tmp_path / "test_batch.bin").rename(tmp_path / "aside")
    with pytest.raises(FileNotFoundError, match=r"test_batch\.bin"):
        datasets.load(tmp_path)
    (tmp_path / "aside").rename(tmp_path / "test_batch.bin")
    (tmp_path / "data_batch_1.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_1\.bin"):
        datasets.load(tmp_path)
