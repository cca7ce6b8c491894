"""Folders of PNG and JPEG files."""

import io
import struct
import zlib

import numpy as np
import pytest

from energyflow import datasets

Image = pytest.importorskip("PIL.Image", reason="images are read by Pillow, an extra")

RNG = np.random.default_rng(0)
GRAY = RNG.integers(256, size=(6, 5, 4), dtype=np.uint8)
COLOUR = RNG.integers(256, size=(6, 5, 4, 3), dtype=np.uint8)


def write(folder, images, names="abcdef", suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in zip(names, images, strict=False):
        Image.fromarray(pixels).save(folder / f"{name}.{suffix}")


def pixels(data) -> set:
    return {image.tobytes() for image in np.concatenate([data.train, data.test])}


def test_gray_and_colour(tmp_path):
    write(tmp_path / "gray", GRAY)
    data = datasets.load(tmp_path / "gray")
    assert data.shape == (1, 5, 4)
    assert pixels(data) == {(image / np.float32(255)).tobytes() for image in GRAY[:, None]}
    write(tmp_path / "colour", COLOUR)
    data = datasets.load(tmp_path / "colour")
    moved = np.ascontiguousarray(np.moveaxis(COLOUR, 3, 1))
    assert pixels(data) == {(image / np.float32(255)).tobytes() for image in moved}


def test_subfolders_are_classes(tmp_path):
    write(tmp_path / "cat", GRAY[:4])
    write(tmp_path / "ant", GRAY[4:])
    (tmp_path / "empty").mkdir()
    data = datasets.load(tmp_path, split=0.5)
    assert data.class_names == ("ant", "cat")
    ants = {(image / np.float32(255)).tobytes() for image in GRAY[4:, None]}
    labels = np.concatenate([data.train_labels, data.test_labels])
    for image, label in zip(np.concatenate([data.train, data.test]), labels, strict=True):
        assert (image.tobytes() in ants) == (label == 0)
    assert sorted(np.bincount(data.test_labels)) == [1, 2]


def test_folders_train_and_test_are_the_parts(tmp_path):
    write(tmp_path / "train" / "a", GRAY[:2])
    write(tmp_path / "train" / "b", GRAY[2:4])
    write(tmp_path / "test" / "b", GRAY[4:5])
    data = datasets.load(tmp_path)
    np.testing.assert_array_equal(data.train_labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(data.test_labels, [1])
    np.testing.assert_allclose(data.test * 255, GRAY[4:5, None], rtol=1e-6)


def test_gray_among_colour_becomes_colour(tmp_path):
    write(tmp_path, COLOUR[:2])
    write(tmp_path, GRAY[:1], names="x")
    data = datasets.load(tmp_path)
    gray = np.broadcast_to(GRAY[0] / np.float32(255), (3, 5, 4))
    assert data.shape == (3, 5, 4)
    assert np.ascontiguousarray(gray).tobytes() in pixels(data)


def test_sixteen_bits_and_one_bit_and_transparency(tmp_path):
    deep = RNG.integers(2**16, size=(3, 5, 4), dtype=np.uint16)
    write(tmp_path / "deep", deep)
    data = datasets.load(tmp_path / "deep")
    assert pixels(data) == {(image / np.float32(65535)).tobytes() for image in deep[:, None]}
    write(tmp_path / "bits", GRAY[:2] > 100)
    assert set(np.unique(datasets.load(tmp_path / "bits").train)) <= {0, 1}
    write(tmp_path / "clear", np.concatenate([COLOUR, COLOUR[..., :1]], axis=3)[:2])
    assert datasets.load(tmp_path / "clear").shape == (3, 5, 4)


def test_jpeg(tmp_path):
    smooth = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8), (2, 16, 16)).copy()
    write(tmp_path, smooth, suffix="JPG")
    data = datasets.load(tmp_path)
    np.testing.assert_allclose(data.train[0, 0] * 255, smooth[0], atol=4)


def test_size_crops_the_middle_and_resizes(tmp_path):
    wide = np.zeros((2, 6, 12), np.uint8)
    wide[:, :, 3:9] = 200
    write(tmp_path, wide[:1], names="a")
    write(tmp_path, np.full((1, 9, 9), 200, np.uint8), names="b")
    with pytest.raises(ValueError, match=r"b\.png: expected 12 x 6 .*9 x 9; size= "):
        datasets.load(tmp_path)
    data = datasets.load(tmp_path, size=3)
    np.testing.assert_allclose(data.train, np.full((1, 1, 3, 3), 200 / 255), rtol=1e-6)
    np.testing.assert_allclose(data.test, data.train)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncation_is_told_or_loses_no_pixel(tmp_path, suffix):
    write(tmp_path, GRAY, suffix=suffix)
    wanted = pixels(datasets.load(tmp_path))
    path = tmp_path / f"c.{suffix}"
    whole = path.read_bytes()
    told = 0
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        try:
            assert pixels(datasets.load(tmp_path)) == wanted
        except ValueError as error:
            told += path.name in str(error)
    assert told >= (len(whole) - 24) // 3  # what follows the pixels has 20 bytes


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_huge_claims_are_refused(tmp_path):
    write(tmp_path, GRAY)
    for edge in (5_000, 2**31 - 1):
        start = chunk(b"IHDR", struct.pack(">IIBBBBB", edge, edge, 8, 0, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
        (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + start + body)
        with pytest.raises(ValueError, match=r"c\.png: expected a whole image.*(at most|exceeds)"):
            datasets.load(tmp_path)


def test_content_must_be_an_image(tmp_path):
    write(tmp_path, GRAY)
    (tmp_path / "notes.txt").write_text("not looked at")
    assert len(datasets.load(tmp_path).train) == 4
    for content in (b"", b"GIF89a", b"BM" + bytes(60)):
        (tmp_path / "c.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"c\.png: expected a PNG or JPEG"):
            datasets.load(tmp_path)
    buffer = io.BytesIO()
    Image.fromarray(GRAY[2]).save(buffer, "JPEG")
    (tmp_path / "c.png").write_bytes(buffer.getvalue())
    assert datasets.load(tmp_path).shape == (1, 5, 4)


def test_folders_that_do_not_say_what_is_what(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="an empty folder"):
        datasets.load(tmp_path / "none")
    (tmp_path / "none" / "a.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"expected a folder of MNIST.*got a\.txt"):
        datasets.load(tmp_path / "none")
    (tmp_path / "none" / "sub").mkdir()
    with pytest.raises(FileNotFoundError, match="found none"):
        datasets.load(tmp_path / "none")
    write(tmp_path / "both", GRAY)
    write(tmp_path / "both" / "sub", GRAY)
    with pytest.raises(ValueError, match="6 in it and more in sub"):
        datasets.load(tmp_path / "both")
    write(tmp_path / "parts" / "train" / "a", GRAY)
    write(tmp_path / "parts" / "test", GRAY)
    with pytest.raises(ValueError, match="in a subfolder"):
        datasets.load(tmp_path / "parts")


def test_without_pillow_it_says_how_to_install(tmp_path, monkeypatch):

    write(tmp_path, GRAY)
    monkeypatch.setattr("energyflow._core.extras.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs Pillow: pip install"):
        datasets.load(tmp_path)
