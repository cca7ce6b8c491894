"""Line integrals of round images: computed tomography with parallel beams."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from energyflow_backends import Array, Floats

from .._core.checks import as_numbers, check_count, check_number
from .._core.extras import need
from ._base import Operator, Shape
from ._kinds import register

_LARGEST = 2**13  # pixels along a side
_MOST_ANGLES = 2**20


@register("operator")
class Radon(Operator):
    r"""Radon transform of square images, by scikit-image.

    Observations (n, C, size, angles) are line integrals in units of the image's side, for lines
    at each angle and each offset of a pixel. Pixels outside the inscribed circle are not observed.

    Parameters
    ----------
    size : int
        Pixels along the side of the images (n, C, size, size).
    angles : int or sequence of float
        A number of angles, evenly spaced over the half circle without the missing part; or the
        angles in degrees.
    missing : float
        Degrees at the end of the half circle that are not observed, 0 <= missing < 180.

    Raises
    ------
    ModuleNotFoundError
        If scikit-image is not installed.
    TypeError, ValueError
        If an argument is of the wrong type or out of range; in calls, if arrays are not NumPy's.

    Notes
    -----
    `lift` is filtered back-projection with the ramp filter, scaled by the share of the half
    circle that is observed. Cost O(angles size^2) an image.
    """

    name = "radon"

    def __init__(self, size: int, angles: int | Sequence[float] = 60, missing: float = 0.0) -> None:
        need("skimage", "Radon", "imaging")
        self.size = check_count("size", size, minimum=2, maximum=_LARGEST)
        self.missing = check_number("missing", missing)
        if not 0 <= self.missing < 180:
            raise ValueError(f"missing must be at least 0 and below 180 degrees, got {missing}")
        if isinstance(angles, Sequence | np.ndarray):
            self.angles = as_numbers("angles", angles)
        else:
            count = check_count("angles", angles, maximum=_MOST_ANGLES)
            self.angles = np.linspace(0, 180 - self.missing, count, endpoint=False)
        if self.angles.ndim != 1 or not self.angles.size or not np.isfinite(self.angles).all():
            raise ValueError(f"angles must be finite numbers, at least one, got {angles}")
        places = np.arange(self.size) - self.size // 2
        self.circle = places[:, None] ** 2 + places**2 <= (self.size // 2) ** 2
        self.shape = self.size, len(self.angles)

    def check_image(self, image: Shape) -> str | None:
        """Square images of the size."""
        fits = len(image) == 3 and image[1:] == (self.size, self.size)
        return None if fits else f"shape (n, C, {self.size}, same)"

    def check_observation(self, observation: Shape) -> str | None:
        """A column for each angle."""
        fits = len(observation) == 3 and observation[1:] == self.shape
        return None if fits else f"shape (n, C, *{self.shape})"

    def forward(self, images: Array) -> Array:
        """Integrate along lines."""
        from skimage.transform import radon

        def project(image: Floats) -> Floats:
            inside = np.where(self.circle, image, 0).astype(np.float64)
            integrals = radon(inside, self.angles)  # type: ignore[no-untyped-call]
            return np.asarray(integrals) / self.size

        return _map_channels(project, images)

    def to_images(self, observations: Array) -> Array:
        """Filtered back-projection."""
        from skimage.transform import iradon

        share = 1 - self.missing / 180

        def back_project(sinogram: Floats) -> Floats:
            integrals = sinogram.astype(np.float64) * self.size
            image = iradon(integrals, self.angles, self.size)  # type: ignore[no-untyped-call]
            return np.where(self.circle, image, 0) * share

        return _map_channels(back_project, observations)


def _map_channels(function: Callable[[Floats], Floats], images: Array) -> Array:
    """A function of one channel (H, W), applied to each channel of each image."""
    if not isinstance(images, np.ndarray):
        raise TypeError(f"Radon takes NumPy arrays, got {type(images).__name__}")
    results = np.stack([function(image) for image in images.reshape(-1, *images.shape[-2:])])
    return results.reshape(*images.shape[:-2], *results.shape[1:]).astype(images.dtype)
