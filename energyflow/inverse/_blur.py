"""Blur and downsampling, as one small matrix for each side of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from energyflow_backends import Array, Doubles, namespace

from .._core.checks import check_choice, check_count, check_positive
from ._base import Operator, Shape
from ._kinds import register
from ._linear import like

_LARGEST = 2**12  # taps and strides
_PADDING: dict[str, Literal["constant", "reflect", "wrap"]] = {
    "zeros": "constant", "reflect": "reflect", "wrap": "wrap",
}  # fmt: skip


@register("operator")
class BlurDownsample(Operator):
    r"""Gaussian blur, of which every `stride`-th value is kept, along rows and columns.

    .. math:: y_i = \sum_{k < s} g_k \, x_{i t + k - p} , \qquad
              g_k \propto \exp\Big( -\tfrac{(k - (s - 1) / 2)^2}{2 \sigma^2} \Big)

    with size s, stride t and p pixels of padding before the image.

    Parameters
    ----------
    std : float
        sigma, in pixels.
    size : int
        Taps of the kernel.
    stride : int
        Pixels between observations.
    padding : (int, int), optional
        Pixels before and after the image; s - t in all, and symmetric, when not given, so that
        observations are aligned with squares of t x t pixels. The published superresolution of
        materials has (0, s - t), which shifts the image.
    edges : "zeros", "reflect" or "wrap"
        Values of the padding: zeros, the mirrored image, or the image repeated (periodic), as the
        published superresolution of materials has it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Notes
    -----
    `lift` upsamples by bicubic interpolation (Keys, a = -1/2, edges repeated, or the image where
    it is periodic) from the true places of the observations, shift included. Images are
    (n, ..., H, W) with H + padding - s a multiple of t, and so is W. Cost O(n h H W).

    References
    ----------
    Hagemann et al., "Posterior Sampling Based on Gradient Flows of the MMD with Negative Distance
    Kernel", ICLR 2024, experiments; Keys, "Cubic Convolution Interpolation for Digital Image
    Processing", 1981.
    """

    name = "blur-downsample"

    def __init__(
        self,
        std: float = 2.0,
        size: int = 16,
        stride: int = 4,
        padding: tuple[int, int] | None = None,
        edges: Literal["zeros", "reflect", "wrap"] = "reflect",
    ) -> None:
        self.std = check_positive("std", std)
        self.size = check_count("size", size, maximum=_LARGEST)
        self.stride = check_count("stride", stride, maximum=_LARGEST)
        if padding is None:
            total = max(self.size - self.stride, 0)
            padding = total // 2, total - total // 2
        if not isinstance(padding, Sequence) or len(padding) != 2:
            raise ValueError(f"padding must be two numbers of pixels, got {padding!r}")
        before, after = (check_count("padding", n, minimum=0, maximum=_LARGEST) for n in padding)
        self.padding = before, after
        self.edges = check_choice("edges", edges, tuple(_PADDING))

    @property
    def shift(self) -> float:
        """Pixels from the centre of a square of t x t pixels to that of its observation."""
        return (self.size - self.stride) / 2 - self.padding[0]

    def check_image(self, image: Shape) -> str | None:
        """Sides along which the kernel moves in whole strides."""
        if len(image) < 2:
            return "shape (n, ..., H, W)"
        for side in image[-2:]:
            travel = side + sum(self.padding) - self.size
            if travel < 0 or travel % self.stride:
                return (
                    f"sides H with H + {sum(self.padding)} - {self.size} a multiple of "
                    f"{self.stride}"
                )
            if self.edges != "zeros" and max(self.padding) >= side:
                return f"sides above the padding {self.padding}"
        return None

    def check_observation(self, observation: Shape) -> str | None:
        """Images of any size."""
        return None if len(observation) >= 2 else "shape (n, ..., h, w)"

    def adjoint(self, observations: Array) -> Array:
        """A^T y, images (n, ..., H, W) of observations (n, ..., h, w)."""
        observations = self._checked("observations", observations, self.check_observation)
        return self._along_both_sides(lambda count: self._matrix(self._side(count)).T, observations)

    def forward(self, images: Array) -> Array:
        """Blur, and keep every `stride`-th value."""
        return self._along_both_sides(self._matrix, images)

    def to_images(self, observations: Array) -> Array:
        """Upsample by bicubic interpolation."""
        return self._along_both_sides(self._upsampling, observations)

    def _along_both_sides(self, matrix: Callable[[int], Doubles], images: Array) -> Array:
        """M X N^T for each image X."""
        height, width = images.shape[-2:]
        columns = namespace(images).matrix_transpose(like(matrix(int(width)), images))
        return like(matrix(int(height)), images) @ images @ columns

    def _side(self, count: int) -> int:
        """Pixels along an image of which `count` values are observed."""
        side = self.stride * (count - 1) + self.size - sum(self.padding)
        if side < 1:
            raise ValueError(f"observations must have sides of more values, got {count}")
        return side

    def _matrix(self, side: int) -> Doubles:
        return _blur(self.std, self.size, self.stride, self.padding, self.edges, side)

    def _upsampling(self, count: int) -> Doubles:
        first = (self.size - 1) / 2 - self.padding[0]
        side = self._side(count)
        periodic = self.edges == "wrap" and side == self.stride * count
        return _cubic(count, self.stride, first, side, periodic)


@lru_cache(maxsize=16)
def _blur(
    std: float, size: int, stride: int, padding: tuple[int, int], edges: str, side: int
) -> Doubles:
    """The matrix (h, side) from a line of `side` pixels to its observed values."""
    squares = (np.arange(size) - (size - 1) / 2) ** 2
    with np.errstate(over="ignore", under="ignore"):  # a narrow kernel is its largest taps alone
        taps = np.exp(-(squares - squares.min()) / 2 / std / std)
    taps /= taps.sum()
    padded = np.pad(np.eye(side), (padding, (0, 0)), mode=_PADDING[edges])  # (side + padding, side)
    count = (len(padded) - size) // stride + 1
    return np.stack([taps @ padded[i * stride : i * stride + size] for i in range(count)])


@lru_cache(maxsize=16)
def _cubic(count: int, stride: int, first: float, side: int, periodic: bool) -> Doubles:
    """The matrix (side, count) that upsamples values at first, first + stride, ... to a line."""
    place = (np.arange(side) - first) / stride
    left = np.floor(place).astype(int)
    matrix = np.zeros((side, count))
    for k in range(-1, 3):
        weight = _keys(np.abs(place - left - k))
        places = (left + k) % count if periodic else np.clip(left + k, 0, count - 1)
        np.add.at(matrix, (np.arange(side), places), weight)
    return matrix


def _keys(s: Doubles) -> Doubles:
    """The cubic convolution kernel at distances s, in units of the stride."""
    near = 1.5 * s**3 - 2.5 * s**2 + 1
    far = -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2
    return np.where(s < 1, near, np.where(s < 2, far, 0.0))
