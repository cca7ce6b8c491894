"""Folders of PNG and JPEG files, read by Pillow; subfolders are classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from energyflow_backends import HostArray

from .._core.extras import need
from .._core.reading import MOST_FROM_ONE_BYTE, capacity, opened
from ._dataset import Dataset
from ._split import from_arrays, from_parts

if TYPE_CHECKING:
    from PIL.Image import Image

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
SUFFIXES = (".png", ".jpg", ".jpeg")


def load_image_folder(
    folder: Path, name: str, size: int | None, split: float, seed: int
) -> Dataset:
    """Read all images; folders `train` and `test`, where both are there, are the two parts."""
    need("PIL", f"{folder}: reading images", "models")
    folders = [folder / "train", folder / "test"]
    parts = [_list(part) for part in (folders if all(map(Path.is_dir, folders)) else [folder])]
    files = [file for part in parts for file in part]
    classes = sorted({label for _, label in files if label is not None})
    images, labels = _stack([path for path, _ in files], size), _numbered(files, classes)
    how: Any = {"name": name, "class_names": tuple(classes), "low_high": (0.0, 1.0)}
    if len(parts) == 1:
        return from_arrays(images, labels, split=split, seed=seed, **how)
    train, test = (
        (images[rows], None if labels is None else labels[rows])
        for rows in (slice(len(parts[0])), slice(len(parts[0]), None))
    )
    return from_parts(train, test, **how)


def image_files(folder: Path) -> list[Path]:
    """The files of a folder with the suffix of an image, in the order of their names."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _list(folder: Path) -> list[tuple[Path, str | None]]:
    """The images of a folder with the subfolder each lies in."""
    here = image_files(folder)
    subfolders = {sub.name: image_files(sub) for sub in sorted(folder.iterdir()) if sub.is_dir()}
    below = {label: files for label, files in subfolders.items() if files}
    if here and below:
        raise ValueError(
            f"{folder}: expected images in the folder or in subfolders (one a class), got "
            f"{len(here)} in it and more in {', '.join(below)}"
        )
    if not here and not below:
        raise FileNotFoundError(f"{folder}: expected PNG or JPEG images, found none")
    if here:
        return [(path, None) for path in here]
    return [(path, label) for label, files in below.items() for path in files]


def _numbered(files: list[tuple[Path, str | None]], classes: list[str]) -> HostArray | None:
    if not classes:
        return None
    numbers = {label: number for number, label in enumerate(classes)}
    unknown = next((path for path, label in files if label is None), None)
    if unknown is not None:
        raise ValueError(f"{unknown}: expected the image in a subfolder, one a class")
    return np.array([numbers[label] for _, label in files if label is not None], dtype=np.int64)


def _stack(paths: list[Path], size: int | None) -> HostArray:
    """All images (n, C, H, W), gray where all of them are."""
    images = [_read(path, size) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            raise ValueError(
                f"{path}: expected {_pixels(images[0])} pixels as {paths[0].name} has, got "
                f"{_pixels(image)}; size= (--size) crops and resizes them to a square"
            )
    channels = max(image.shape[2] for image in images)
    height, width = images[0].shape[:2]
    stacked = np.empty((len(images), channels, height, width), dtype=np.float32)
    for row, image in zip(stacked, images, strict=True):
        scale = 255 if image.dtype == np.uint8 else 65535
        row[:] = np.moveaxis(image, 2, 0) / np.float32(scale)
    return np.clip(stacked, 0, 1, out=stacked)


def _read(path: Path, size: int | None) -> HostArray:
    """One image (H, W, 1 or 3): bytes, or float32 up to 65535 where pixels have 16 bits."""
    from PIL import Image

    with opened(path) as stream:
        if not stream.read(8).startswith(MAGIC):
            raise ValueError(f"{path}: expected a PNG or JPEG image, got other content")
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            _check_claim(path, image)
            pixels = _square(_plain(image), size)
            return np.atleast_3d(np.asarray(pixels))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: expected a whole image: {reason}") from error


def _check_claim(path: Path, image: Image) -> None:
    """Refuse decompression bombs: more pixels than a deflate stream of single bits can hold."""
    claimed = 3 * image.width * image.height
    most = capacity(path.stat().st_size, 3 * 8 * MOST_FROM_ONE_BYTE)
    if claimed > most:
        raise ValueError(
            f"its header claims {image.width} x {image.height} pixels, {claimed} bytes, but a "
            f"file of its size holds at most {most}"
        )


def _plain(image: Image) -> Image:
    """Gray or RGB, upright; transparency is dropped."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        return upright.convert("I").convert("F")
    return upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB")


def _square(image: Image, size: int | None) -> Image:
    """The middle square, resized to size x size by antialiased bicubic interpolation."""
    if size is None:
        return image
    from PIL import Image

    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return image.crop(box).resize((size, size), Image.Resampling.BICUBIC)


def _pixels(image: HostArray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
