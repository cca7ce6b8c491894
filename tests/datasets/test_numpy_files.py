"""Arrays in .npy and .npz: recognised names, no pickles, no lies about sizes."""

import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from energyflow import datasets

X = np.random.default_rng(0).random((10, 4), dtype=np.float32)
Y = np.arange(10) % 2


def rows(data) -> set:
    return {row.tobytes() for row in np.concatenate([data.train, data.test])}


def test_npy_is_split(tmp_path):
    np.save(tmp_path / "x.npy", X)
    data = datasets.load(tmp_path / "x.npy", split=0.3)
    assert (len(data.train), len(data.test)) == (7, 3)
    assert rows(data) == {row.tobytes() for row in X}
    assert (data.train_labels, data.n_classes, data.name) == (None, 0, "x")


@pytest.mark.parametrize(
    ("arrays", "key", "labelled"),
    [
        ({"x": X, "y": Y}, "", True),
        ({"images": X, "labels": Y}, "", True),
        ({"samples": X, "condition": Y}, "", True),
        ({"anything": X}, "", False),
        ({"train": X, "train_labels": Y}, "", True),
        ({"p": X, "q": -X}, ":p", False),
    ],
)
def test_npz_names(tmp_path, arrays, key, labelled):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        data = datasets.load(f"{tmp_path / 'a.npz'}{key}")
        assert rows(data) == {row.tobytes() for row in X}
        assert (data.train_labels is not None) == labelled


def test_continuous_conditions_stay_with_their_rows(tmp_path):
    level = X.sum(1)
    np.savez(tmp_path / "a.npz", x=X, y=Y, condition=level)
    data = datasets.load(tmp_path / "a.npz")
    np.testing.assert_allclose(data.train_condition[:, 0], data.train.sum(1), rtol=1e-5)
    np.testing.assert_allclose(data.test_condition[:, 0], data.test.sum(1), rtol=1e-5)
    assert data.train_labels is not None
    parts = {"train": X, "test": X[:3], "train_condition": level[:, None]}
    np.savez(tmp_path / "b.npz", **parts, test_condition=level[:3])
    both = datasets.load(tmp_path / "b.npz")
    np.testing.assert_allclose(both.test_condition, both.train_condition[:3])
    for change, error, message in (
        ({}, ValueError, "for both train and test, or none"),
        ({"test_condition": level}, ValueError, r"test_condition must have shape \(3,\) or"),
        ({"test_condition": np.full(3, np.nan)}, ValueError, "test_condition must be finite"),
        ({"test_condition": np.ones(3, complex)}, ValueError, "test_condition: .* real numbers"),
    ):
        np.savez(tmp_path / "c.npz", **parts, **change)
        with pytest.raises(error, match=message):
            datasets.load(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", **parts, test_condition=np.arange(3))  # whole numbers are taken
    taken = datasets.load(tmp_path / "d.npz").test_condition
    np.testing.assert_array_equal(taken, [[0.0], [1.0], [2.0]])


@pytest.mark.parametrize("style", ["{part}|{part}_labels", "x_{part}|y_{part}"])
def test_npz_with_both_parts_keeps_them(tmp_path, style):
    names = [style.format(part=part).split("|") for part in ("train", "test")]
    arrays = {names[0][0]: X, names[0][1]: Y, names[1][0]: X[:3], names[1][1]: Y[:3]}
    np.savez(tmp_path / "a.npz", **arrays)
    data = datasets.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.train, X)
    np.testing.assert_array_equal(data.test_labels, Y[:3])


def test_content_decides_and_not_the_name(tmp_path):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").rename(tmp_path / "x.dat")
    assert rows(datasets.load(tmp_path / "x.dat")) == {row.tobytes() for row in X}


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_every_truncation_is_told(tmp_path, save):
    path = tmp_path / ("a.npy" if save is np.save else "a.npz")
    save(path, X[:3])
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=path.name):
            datasets.load(path)


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_a_changed_byte_is_an_error_or_does_no_harm(tmp_path, save):
    path = tmp_path / ("a.npy" if save is np.save else "a.npz")
    save(path, X[:3])
    whole = path.read_bytes()
    loaded = 0
    for place in range(len(whole)):
        for flip in (0x01, 0x80):
            changed = bytearray(whole)
            changed[place] ^= flip
            path.write_bytes(changed)
            try:
                assert datasets.load(path).train.ndim == 2
                loaded += 1
            except ValueError as error:
                assert path.name in str(error) or "a: " in str(error)  # noqa: PT017
    assert loaded > 0


def npy(descr: str, shape: str, body: bytes) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + body


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "got an empty file"),
        (b"1,2\n3,4\n", "begins with 31 2c 32"),
        (npy("<f4", "(1000000000000, 4)", bytes(160)), "16000000000000 bytes, but 160 follow"),
        (npy("<f4", "(10, 3)", bytes(160)), "120 bytes, but 160 follow"),
        (npy("<f4", "(-10, -4)", bytes(100)), "not that of a plain array"),
        (npy("<f4", "'ten'", bytes(160)), "not that of a plain array"),
        (npy("|O", "(10,)", bytes(160)), "objects, which would have to be unpickled"),
        (npy("<c8", "(20,)", bytes(160)), "complex64"),
        (npy("<U2", "(20,)", bytes(160)), "<U2"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "version"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "version"),
    ],
)
def test_bad_arrays_are_told(tmp_path, content, told):
    path = tmp_path / "bad.npy"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=told) as caught:
        datasets.load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert str(path) in str(caught.value)


def test_a_claim_inside_an_archive_is_compared_with_the_archive(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy("<f4", "(1000000000000, 4)", bytes(160)))
    with pytest.raises(ValueError, match="16000000000000 bytes, but 160 follow"):
        datasets.load(path)
    # the directory of the archive lies about the size too
    size = struct.pack("<I", len(npy("<f4", "(1000000000000, 4)", bytes(160))))
    content = path.read_bytes()
    path.write_bytes(content.replace(size, struct.pack("<I", 2**32 - 2)))
    with pytest.raises(ValueError, match=r"claims 4294967294 bytes"):
        datasets.load(path)


class Intruder:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_pickles_are_refused(tmp_path):
    objects = np.array([Intruder()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", objects)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match="object"):
            datasets.load(tmp_path / name)


def test_archives_that_do_not_say_what_is_what(tmp_path):
    np.savez(tmp_path / "a.npz", p=X, q=X)
    with pytest.raises(ValueError, match=r"p, q: choose one as .*a\.npz:KEY"):
        datasets.load(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="no array 'r'; it holds p, q"):
        datasets.load(f"{tmp_path / 'a.npz'}:r")
    np.savez(tmp_path / "b.npz", x=X, y=Y[:4])
    with pytest.raises(ValueError, match=r"labels must have shape \(10,\).*\(4,\)"):
        datasets.load(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "none.npz", "w"):
        pass
    with pytest.raises(ValueError, match=r"none\.npz"):
        datasets.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="size is for folders of images"):
        datasets.load(tmp_path / "a.npz", size=3)
