"""Distributions in the plane, any number of points, scaled into the unit square."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from energyflow_backends import HostArray

from ._dataset import Dataset

Points = tuple[HostArray, HostArray | None]
_CENTRE = 0.5


def load_toy(name: str, n: int, seed: int) -> Dataset:
    """Draw n training points, and as many to hold out, independently."""
    streams = np.random.default_rng(seed).spawn(2)
    parts = [TOYS[name](n, stream) for stream in streams]
    train, test = (np.clip(points, 0, 1).astype(np.float32) for points, _ in parts)
    return Dataset(train, test, parts[0][1], parts[1][1], name)


def _moons(n: int, rng: np.random.Generator) -> Points:
    """Two half circles that reach into each other; the label says which."""
    labels = rng.integers(2, size=n)
    angle = rng.uniform(0, np.pi, n)
    side = 1 - 2 * labels  # the second moon is the first one, turned by half a circle
    x = side * (np.cos(angle) - 0.5)
    y = side * (np.sin(angle) - 0.25)
    points = np.stack([x, y], axis=1) + rng.normal(scale=0.05, size=(n, 2))  # (n, 2)
    return _CENTRE + 0.28 * points, labels


def _eight_gaussians(n: int, rng: np.random.Generator) -> Points:
    """Eight narrow Gaussians on a circle; the label says which."""
    labels = rng.integers(8, size=n)
    angle = labels * (np.pi / 4)
    centres = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _CENTRE + 0.38 * centres + rng.normal(scale=0.02, size=(n, 2)), labels


def _checkerboard(n: int, rng: np.random.Generator) -> Points:
    """Uniform on the eight dark squares of a board of four by four; no labels."""
    row, column = rng.integers(4, size=n), rng.integers(2, size=n)
    squares = np.stack([2 * column + row % 2, row], axis=1)
    return (squares + rng.random((n, 2))) / 4, None


def _rings(n: int, rng: np.random.Generator) -> Points:
    """Four circles around one centre, in proportion to their lengths; the label says which."""
    labels = rng.choice(4, size=n, p=np.arange(1, 5) / 10)
    radius = 0.11 * (labels + 1) + rng.normal(scale=0.005, size=n)
    angle = rng.uniform(0, 2 * np.pi, n)
    return _CENTRE + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), labels


TOYS: dict[str, Callable[[int, np.random.Generator], Points]] = {
    "moons": _moons,
    "eight-gaussians": _eight_gaussians,
    "checkerboard": _checkerboard,
    "rings": _rings,
}
