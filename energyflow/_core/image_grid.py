"""Images side by side in one picture, and grids of samples as PNG files."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from energyflow_backends import Floats

from .files import atomic_write

_SMALLEST = 480  # pixels along a side: small images are drawn with larger pixels

Border = tuple[tuple[int, int], tuple[int, int]]


def image_grid(
    images: Floats, columns: int, *, border: Border = ((1, 1), (1, 1)), fill: float = 0.0
) -> Floats:
    """Lay images (n, C, H, W) out row by row: a picture (h, w, C).

    border: pixels of value `fill` above and below, left and right of each image. Places that are
    left over in the last row have that value too.
    """
    missing = -len(images) % columns
    padded = np.pad(images, ((0, missing), (0, 0), *border), constant_values=fill)
    _, channels, height, width = padded.shape  # with the border
    rows = padded.reshape(-1, columns, channels, height, width)
    return rows.transpose(0, 3, 1, 4, 2).reshape(-1, columns * width, channels)


def save_grid(path: Path, images: Floats, columns: int | None = None) -> Path:
    """Draw images row by row, with lines between, into a PNG file.

    Parameters
    ----------
    path : path
        Of the file.
    images : NumPy array (n, C, H, W)
        C = 1 or 3, values 0 to 1.
    columns : int, optional
        Images in a row; about as many as rows when not given.

    Returns
    -------
    path
        The one that was given.

    Raises
    ------
    ModuleNotFoundError
        If Pillow is not installed.
    OSError
        If the file cannot be written.
    """
    if find_spec("PIL") is None:
        raise ModuleNotFoundError("save_grid needs Pillow: pip install 'energyflow-mmd[models]'")
    from PIL import Image

    columns = columns or math.ceil(math.sqrt(len(images)))
    clipped = np.clip(np.nan_to_num(images), 0, 1)
    picture = image_grid(clipped, columns, border=((0, 1), (0, 1)), fill=0.5)
    zoom = max(1, _SMALLEST // max(picture.shape[:2]))
    pixels = np.rint(picture * 255).astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)
    with atomic_write(path) as handle:
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(handle, "PNG")
    return path
