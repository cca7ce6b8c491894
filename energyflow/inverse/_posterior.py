"""Samples of a posterior: mean, standard deviation, intervals, residuals, and a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from energyflow_backends import Doubles, Floats

from .._core.checks import check_array, check_finite
from .._core.pictures import _figure, _save
from ._base import Problem

_SAMPLES_DRAWN = 4


@dataclass(frozen=True, eq=False)
class Posterior:
    """Samples of the posterior, given an observation.

    Parameters
    ----------
    samples : array (n, *image)
        At least two.
    observation : array (*observation), optional
        The observation that is given.
    problem : Problem, optional
        How images are observed.

    Raises
    ------
    TypeError, ValueError
        If `samples` is no NumPy array of finite floating numbers, or has fewer than two rows.
    """

    samples: Floats
    observation: Floats | None = None
    problem: Problem | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_array("samples", self.samples)
        if not isinstance(self.samples, np.ndarray):
            raise TypeError(f"samples must be a NumPy array, got {type(self.samples).__name__}")
        if self.samples.ndim < 2 or len(self.samples) < 2:
            raise ValueError(f"samples must be at least 2 rows, got shape {self.samples.shape}")
        check_finite("samples", self.samples)

    @property
    def mean(self) -> Floats:
        """The mean image."""
        return np.asarray(self.samples.mean(axis=0, dtype=np.float64), self.samples.dtype)

    @property
    def std(self) -> Floats:
        """The standard deviation of each pixel (with n - 1)."""
        return np.asarray(self.samples.std(0, ddof=1, dtype=np.float64), self.samples.dtype)

    def interval(self, level: float = 0.9) -> tuple[Floats, Floats]:
        """Central credible intervals: the lower and the upper end for each pixel.

        Parameters
        ----------
        level : float
            The share of the samples between the ends, 0 < level < 1.

        Raises
        ------
        ValueError
            If the level is outside.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
        low, high = np.quantile(self.samples, ((1 - level) / 2, (1 + level) / 2), axis=0)
        return low, high

    def residuals(self) -> Doubles:
        """Residuals (n,) in units of the noise: about 1 if samples are consistent with the data.

        Raises
        ------
        ValueError
            If the observation or the problem is not known.
        """
        if self.problem is None or self.observation is None:
            raise ValueError("observation and problem must be given to compute residuals")
        return self.problem.residuals(self.samples, self.observation)

    def save_picture(self, path: str | Path, truth: Floats | None = None) -> Path:
        """Draw truth, observation, its lift, samples, mean and standard deviation side by side.

        Parameters
        ----------
        path : path
            Of a PNG file.
        truth : array (C, H, W) or (H, W), optional
            The true image.

        Raises
        ------
        ValueError
            If the samples are not images of one or three channels.
        """
        panels: list[tuple[str, Floats]] = []
        if truth is not None:
            panels.append(("truth", truth))
        if self.observation is not None and self.observation.ndim in (2, 3):
            panels.append(("observation", self.observation))
            if self.problem is not None:
                panels.append(("lift", self.problem.lift(self.observation[None])[0]))
        panels += [(f"sample {k + 1}", x) for k, x in enumerate(self.samples[:_SAMPLES_DRAWN])]
        panels += [("mean", self.mean), ("standard deviation", self.std)]
        images = [(name, _pixels(name, image)) for name, image in panels]
        low, high = np.quantile(self.samples, (0.001, 0.999))
        columns = -(-len(images) // 2)
        figure = _figure(2.2 * columns, 5.2)
        for axes in (places := figure.subplots(2, columns).ravel()):
            axes.set_axis_off()
        for axes, (name, image) in zip(places, images, strict=False):
            own = name in ("observation", "standard deviation")
            scale = {} if own else {"vmin": low, "vmax": high}
            if image.ndim == 3 and own:
                image = image - min(float(image.min()), 0.0)
                image = image / (image.max() or 1.0)
            elif image.ndim == 3:
                image = ((image - low) / ((high - low) or 1.0)).clip(0, 1)
            shown = axes.imshow(image, cmap="magma" if "dev" in name else "gray", **scale)
            axes.set_title(name, fontsize="small")
            if "dev" in name and image.ndim == 2:
                below = axes.inset_axes((0, -0.1, 1, 0.05))
                figure.colorbar(shown, cax=below, orientation="horizontal")
        return _save(figure, Path(path))


def _pixels(name: str, image: Floats) -> Floats:
    """(H, W), or (H, W, 3) for matplotlib."""
    if image.ndim == 2:
        return image
    if image.ndim == 3 and image.shape[0] == 1:
        return image.reshape(image.shape[1:])
    if image.ndim == 3 and image.shape[0] == 3:
        return np.moveaxis(image, 0, 2)
    raise ValueError(f"{name} must be an image (H, W) or of 1 or 3 channels, got {image.shape}")
