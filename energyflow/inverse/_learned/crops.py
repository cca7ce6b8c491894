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


def check_places(side: int, image: tuple[int, ...], observation: tuple[int, ...]) -> None:
    """Whether crops begin where pixels of observations do, if these are on a coarser grid.

    Raises
    ------
    ValueError
        If half a side is no multiple of the pixels that an observation has one for.
    """
    steps = {length // seen for length, seen in zip(image, observation, strict=True) if seen}
    whole = all(
        length == max(steps) * seen for length, seen in zip(image, observation, strict=True)
    )
    if len(steps) == 1 and whole and side % (2 * (step := steps.pop())):
        raise ValueError(
            f"crop must be a multiple of {2 * step}, twice the pixels along a side that an "
            f"observation has one for, got {side}"
        )


def _first(length: int, side: int) -> list[int]:
    """Where crops begin."""
    last = length - side
    return sorted({*range(0, last + 1, max(1, side // 2)), last})
