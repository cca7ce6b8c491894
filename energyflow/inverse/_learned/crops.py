"""Crops of images that overlap by half, for networks that are trained on parts."""

from __future__ import annotations

from itertools import product

import numpy as np
from energyflow_backends import Floats


def crops(images: Floats, side: int) -> Floats:
    """Squares of images (n, C, H, W), half a side apart and along all edges: (N, C, side, side).

    Raises
    ------
    ValueError
        If images are smaller.
    """
    *_, height, width = images.shape
    if side > min(height, width):
        raise ValueError(
            f"crop must be at most the sides of the images, {height} and {width}, got {side}"
        )
    places = product(_first(height, side), _first(width, side))
    return np.concatenate([images[..., i : i + side, j : j + side] for i, j in places])


def _first(length: int, side: int) -> list[int]:
    """Where crops begin."""
    last = length - side
    return sorted({*range(0, last + 1, max(1, side // 2)), last})
