"""Directions that see one small patch of an image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce
from itertools import accumulate, pairwise
from operator import add
from typing import Any, ClassVar

import numpy as np
from energyflow_backends import Array, namespace
from numpy.typing import NDArray

from .._core.checks import check_count, check_each
from .._core.random import Source
from .projectors import DenseProjector, moved_index
from .slicing import Slicing

_SCALES = (0, 1, 2, 3)
_TOGETHER = 32  # directions that look at one patch: they share the gathering of its pixels


@dataclass(frozen=True)
class PatchSlicing(Slicing):
    r"""Locally connected directions for images: each sees a square patch at some place and scale.

    A patch at scale s has size x size cells of (s + 1) x (s + 1) pixels in every channel, at a
    uniformly random place of the image, which is continued periodically; s is uniform on `scales`.
    A direction has one weight a cell, and its weights are uniform on the unit sphere (normalised
    normal numbers). Groups of 32 directions see the same patch.

    With A_q the map from an image to the k = C size^2 cells of patch q, each the sum of its pixels
    over s + 1 (which makes the rows of A_q orthonormal), the sliced energy distance is, in
    expectation, the mean over places and scales of Euclidean energy distances of patches,

    .. math:: E_q \; E(A_q x, A_q y), \qquad A_q A_q^T = I,

    exactly so with the constant c(k, r). It is not a multiple of the distance of whole images:
    distributions of images with the same patches are not told apart.

    Images with conditions, as in `ConditionalFlow`, are points (pixels, condition). Each patch then
    has the `beside` numbers of the condition as cells of its own, k = C size^2 + beside. A
    condition that is an image of the same size is more channels of `shape` instead.

    Parameters
    ----------
    shape : tuple (C, H, W)
        Of the images whose flattened pixels (row-major) are the points, d = C H W.
    size : int
        Cells along each side of a patch.
    scales : tuple of int, optional
        The scales s, each at least 0 and with size (s + 1) at most H and W. When not given, those
        of 0, 1, 2 and 3 that fit.
    beside : int
        Numbers that follow the pixels of a point, d = C H W + beside, and that every patch sees.

    Raises
    ------
    TypeError, ValueError
        If sizes are not positive integers, or if patches are larger than the image.

    Notes
    -----
    Projecting N images on P directions costs O(N P k) and gathering O(N P / 32) patches.

    References
    ----------
    Hertrich, Wald, Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels",
    ICLR 2024, experiments on images.
    """

    shape: tuple[int, int, int]
    size: int = 7
    scales: tuple[int, ...] = _SCALES
    beside: int = 0
    unbiased: ClassVar[bool] = False

    def __post_init__(self) -> None:
        chosen = self.scales is not _SCALES
        for name, least in (("shape", 1), ("scales", 0)):
            check = partial(check_count, minimum=least)
            object.__setattr__(self, name, check_each(name, getattr(self, name), check))
        check_count("beside", self.beside, minimum=0)
        if len(self.shape) != 3 or not self.scales:
            raise ValueError(
                "shape must be (channels, height, width) and scales not empty, "
                f"got {self.shape} and {self.scales}"
            )
        fitting = min(self.shape[1:]) // check_count("size", self.size)  # sides of a cell that do
        if not fitting:
            raise ValueError(
                f"size must be at most the images' {min(self.shape[1:])} pixels, got {self.size}"
            )
        if not chosen:
            object.__setattr__(self, "scales", _SCALES[:fitting])
        elif max(self.scales) >= fitting:
            raise ValueError(
                f"scales must be at most {fitting - 1} for patches of size {self.size} in images "
                f"of {min(self.shape[1:])} pixels, got {max(self.scales)}"
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """Its name with the settings."""
        beside = f", {self.beside} numbers beside" if self.beside else ""
        return f"patches of {self.shape}, size {self.size}, scales {self.scales}{beside}"

    def check(self, d: int) -> None:
        """The points must be images of the shape, with the numbers beside them."""
        wanted = math.prod(self.shape) + self.beside
        if d != wanted:
            beside = f" and {self.beside} numbers beside" if self.beside else ""
            raise ValueError(
                f"PatchSlicing of shape {self.shape}{beside} needs points in {wanted} dimensions, "
                f"got {d}"
            )

    def projector(self, n: int, d: int, source: Source, step: int = 0) -> PatchProjector:
        """Draw a place and a scale for every 32 directions, and their weights."""
        cells = self.shape[0] * self.size**2 + self.beside
        patches = []
        for block, start in enumerate(range(0, n, _TOGETHER)):
            host = source.host(step, block)
            scale = self.scales[host.integers(len(self.scales))]
            corner = int(host.integers(self.shape[1])), int(host.integers(self.shape[2]))
            weights = host.standard_normal((min(_TOGETHER, n - start), cells))
            weights /= np.linalg.norm(weights, axis=1, keepdims=True)
            patches.append(Patch(self.shape, self.size, scale, corner, DenseProjector(weights)))
        return PatchProjector(tuple(patches))


@dataclass(frozen=True, eq=False)
class Patch:
    """One patch and the unit directions that see it."""

    shape: tuple[int, int, int]
    size: int
    scale: int
    corner: tuple[int, int]  # row and column of its first pixel
    weights: DenseProjector  # (count, C size^2), or more numbers than these beside the image

    def project(self, x: Array) -> Array:
        """Images (..., N, d) to rows (..., count, N)."""
        xp, side = namespace(x), self.scale + 1
        pixels, _ = _places(self.shape, self.size, self.scale, self.corner)
        cells = xp.take(x, moved_index(pixels, x), axis=-1)
        cells = xp.sum(xp.reshape(cells, (*x.shape[:-1], -1, side * side)), axis=-1) / side
        cells = xp.concat([cells, x[..., math.prod(self.shape) :]], axis=-1)
        return self.weights.project(cells)

    def project_back(self, g: Array) -> Array:
        """Rows (..., count, N) to sums over them (..., N, d)."""
        xp = namespace(g)
        _, cell_of = _places(self.shape, self.size, self.scale, self.corner)
        both, n_cells = self.weights.project_back(g), self.shape[0] * self.size**2
        cells, beside = both[..., :n_cells] / (self.scale + 1), both[..., n_cells:]
        cells = xp.concat([cells, xp.zeros_like(cells[..., :1])], axis=-1)
        pixels = xp.take(cells, moved_index(cell_of, g), axis=-1)
        return xp.concat([pixels, beside], axis=-1) if beside.shape[-1] else pixels


@dataclass(frozen=True, eq=False)
class PatchProjector:
    """Directions in groups, each with its patch."""

    patches: tuple[Patch, ...]

    @property
    def n_projections(self) -> int:
        """Number of slices P."""
        return sum(patch.weights.n_projections for patch in self.patches)

    def blocks(self, size: int) -> Iterator[PatchProjector]:
        """At most `size` slices at a time, in order."""
        waiting: list[Patch] = []
        for patch in self.patches:
            for weights in patch.weights.blocks(size):
                waiting_now = sum(w.weights.n_projections for w in waiting)
                if waiting and waiting_now + weights.n_projections > size:
                    yield PatchProjector(tuple(waiting))
                    waiting = []
                waiting.append(replace(patch, weights=weights))
        yield PatchProjector(tuple(waiting))

    def project(self, x: Array) -> Array:
        """Images (..., N, d) to rows (..., P, N)."""
        return namespace(x).concat([patch.project(x) for patch in self.patches], axis=-2)

    def project_back(self, g: Array) -> Array:
        """Rows (..., P, N) to sums over the slices (..., N, d)."""
        edges = accumulate((patch.weights.n_projections for patch in self.patches), initial=0)
        parts = zip(self.patches, pairwise(edges), strict=True)
        return reduce(add, (patch.project_back(g[..., i:j, :]) for patch, (i, j) in parts))

    def constant(self, exponent: float) -> float:
        """c(k, r) of the cells that every patch has."""
        return self.patches[0].weights.constant(exponent)


@lru_cache(maxsize=256)
def _places(
    shape: tuple[int, int, int], size: int, scale: int, corner: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels (k side^2,), cell by cell, and the cell (d,) of each pixel: k for none."""
    channels, height, width = shape
    side = scale + 1
    along = np.arange(size)[:, None] * side + np.arange(side)  # (size, side)
    rows, columns = (corner[0] + along) % height, (corner[1] + along) % width
    flat = rows[:, None, :, None] * width + columns[None, :, None, :]  # (size, size, side, side)
    pixels = np.arange(channels)[:, None] * (height * width) + flat.reshape(-1)
    count = channels * size * size
    cell_of = np.full(channels * height * width, count)
    cell_of[pixels.reshape(-1)] = np.repeat(np.arange(count), side * side)
    return pixels.reshape(-1), cell_of
