"""Images side by side in one picture, and grids of samples as PNG files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from energyflow_backends import Floats

from .checks import check_count, check_path
from .extras import need
from .files import atomic_write

_MOST_COLUMNS = 10_000
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
    TypeError
        If the path or the images are something else.
    ModuleNotFoundError
        If Pillow is not installed.
    OSError
        If the file cannot be written.
    """
    path = check_path("path", path)
    shape = images.shape if isinstance(images, np.ndarray) else ()
    if len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
        raise TypeError(
            "images must be a NumPy array of shape (n, 1 or 3, H, W), "
            f"got {type(images).__name__} of shape {getattr(images, 'shape', None)}"
        )
    need("PIL", "save_grid", "models")
    from PIL import Image

    if columns is None:
        columns = max(1, math.ceil(math.sqrt(len(images))))
    columns = check_count("columns", columns, maximum=_MOST_COLUMNS)
    clipped = np.clip(np.nan_to_num(images), 0, 1)
    picture = image_grid(clipped, columns, border=((0, 1), (0, 1)), fill=0.5)
    zoom = max(1, _SMALLEST // max(picture.shape[:2]))
    pixels = np.rint(picture * 255).astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)
    with atomic_write(path) as handle:
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(handle, "PNG")
    return path
