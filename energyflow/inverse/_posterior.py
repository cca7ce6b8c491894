"""Samples of posteriors: mean, standard deviation, intervals, residuals, and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from energyflow_backends import Doubles, Floats

from .._core.checks import as_floats, check_array, check_finite, check_flag
from .._core.pictures import _figure, _save
from ._base import Problem

_SAMPLES_DRAWN = 4


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Samples of the posterior, given an observation, or of those of several observations.

    Parameters
    ----------
    samples : array (n, *image)
        At least two; of m observations an array (m, n, *image).
    observation : array (*observation), optional
        The observation that is given, or (m, *observation).
    problem : Problem, optional
        How images are observed.
    batched : bool
        Whether the first axis is that of several observations: all summaries have it too, and
        ``posterior[k]`` is the one of observation k, ``posterior[1:3]`` of two of them.

    Raises
    ------
    TypeError, ValueError
        If `samples` is no NumPy array of finite floating numbers, or has fewer than two rows.

    Examples
    --------
    >>> import numpy as np
    >>> from energyflow import inverse
    >>> posterior = inverse.Posterior(np.zeros((5, 100, 2)), batched=True)
    >>> posterior.mean.shape, posterior[0].mean.shape
    ((5, 2), (2,))
    """

    samples: Floats
    observation: Floats | None = None
    problem: Problem | None = None
    batched: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", as_floats("samples", self.samples))
        check_array("samples", self.samples)
        if not isinstance(self.samples, np.ndarray):
            raise TypeError(f"samples must be a NumPy array, got {type(self.samples).__name__}")
        check_flag("batched", self.batched)
        if self.samples.ndim < 2 + self.batched or self.samples.shape[self._axis] < 2:
            raise ValueError(f"samples must be at least 2 rows, got shape {self.samples.shape}")
        check_finite("samples", self.samples)

    def __repr__(self) -> str:
        count, *shape = self.samples.shape[self._axis :]
        several = f", of {len(self)} observations" if self.batched else ""
        return f"Posterior({count} samples of shape {tuple(shape)}{several})"

    def __len__(self) -> int:
        """How many samples, or how many observations."""
        return len(self.samples)

    def __getitem__(self, k: Any) -> Posterior:
        """The posterior of one of several observations; of some of them by a slice, a list or an
        array of indices, or a mask.
        """
        if not self.batched:
            raise TypeError("a posterior of one observation has no parts: index its samples")
        which = np.arange(len(self))[np.asarray(k) if isinstance(k, list) else k]
        if which.ndim > 1 or not which.size:
            raise IndexError(f"a posterior must be indexed by observations, got {which.shape}")
        observation = None if self.observation is None else self.observation[which]
        return Posterior(self.samples[which], observation, self.problem, batched=which.ndim == 1)

    @property
    def _axis(self) -> int:
        """That of the samples."""
        return int(self.batched)

    @property
    def mean(self) -> Floats:
        """The mean image."""
        return np.asarray(self.samples.mean(self._axis, dtype=np.float64), self.samples.dtype)

    @property
    def std(self) -> Floats:
        """The standard deviation of each pixel (with n - 1)."""
        return np.asarray(
            self.samples.std(self._axis, ddof=1, dtype=np.float64), self.samples.dtype
        )

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
        ends = (1 - level) / 2, (1 + level) / 2
        low, high = np.quantile(self.samples, ends, axis=self._axis)
        return low, high

    def residuals(self) -> Doubles:
        """Residuals (n,) or (m, n) in units of the noise: about 1 where samples fit the data.

        Raises
        ------
        ValueError
            If the observation or the problem is not known.
        """
        if self.problem is None or self.observation is None:
            raise ValueError("observation and problem must be given to compute residuals")
        if self.batched:
            return np.stack([self[k].residuals() for k in range(len(self))])
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
            If the samples are not images of one or three channels, or of several observations.
        """
        if self.batched:
            raise ValueError("a picture is of one observation: posterior[k].save_picture(path)")
        panels: list[tuple[str, Floats]] = []
        if truth is not None:
            panels.append(("truth", truth))
        if self.observation is not None and self.observation.ndim in (2, 3):
            panels.append(("observation", self.observation))
            if self.problem is not None and self.problem.operator.lifts:
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
