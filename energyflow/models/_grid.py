"""Sample grids as PNG files, written without a picture library."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.files import replacing

_SMALLEST = 480  # pixels along a side: small images are drawn with larger pixels


def save_grid(path: Path, images: NDArray[Any], columns: int | None = None) -> Path:
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
    OSError
        It cannot be written.
    """
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    missing = -count % columns
    gap = ((0, missing), (0, 0), (0, 1), (0, 1))
    tiles = np.pad(np.clip(np.nan_to_num(images), 0, 1), gap, constant_values=0.5)
    tiles = tiles.reshape(-1, columns, channels, height + 1, width + 1)
    picture = tiles.transpose(0, 3, 1, 4, 2).reshape(-1, columns * (width + 1), channels)
    zoom = max(1, _SMALLEST // max(picture.shape[:2]))
    picture = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
    with replacing(path) as handle:
        handle.write(_png(np.rint(picture * 255).astype(np.uint8)))
    return path


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 1) gray or (H, W, 3) colour pixels."""
    height, width, channels = pixels.shape
    colour = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with filter 0
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
