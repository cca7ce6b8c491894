"""Parameters without units and bounds, as networks learn them, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from energyflow_backends import Doubles, Floats
from numpy.typing import DTypeLike
from scipy.special import ndtr, ndtri

from ..._core.files import load_array, write_arrays
from .bounds import Bounds


@dataclass(frozen=True, eq=False)
class ParameterTransform:
    r"""Each parameter by itself: without bounds, with mean 0 and standard deviation 1.

    .. math:: z = \Phi^{-1}\Big( \frac{\theta - l}{h - l} \Big), \qquad
              z = \log(\theta - l), \qquad z = -\log(h - \theta)

    between bounds l and h, above l, and below h; then (z - mean) / scale, in float64. A uniform
    prior becomes N(0, 1).

    Attributes
    ----------
    low, high, mean, scale : arrays (d,)
    """

    low: Doubles
    high: Doubles
    mean: Doubles
    scale: Doubles

    @classmethod
    def of(cls, points: Floats, bounds: Bounds | None = None) -> Self:
        """Learn from parameters (n, d).

        Raises
        ------
        ValueError
            If parameters are outside the bounds, or so large that squares overflow.

        Notes
        -----
        A parameter on a bound was rounded to it: it stands for one inside, by half the spacing of
        its dtype, in units of high - low or of the largest distance to a single bound.
        """
        d = points.shape[1]
        low, high = (bounds or Bounds(np.array(-np.inf), np.array(np.inf))).of_columns(d)
        plain = cls(low, high, np.zeros(d), np.ones(d))
        with np.errstate(over="ignore", invalid="ignore"):
            z = plain.apply(points, np.float64)
            mean = z[0] + (z - z[0]).mean(axis=0)  # exact where all are equal
            scale = np.sqrt(np.square(z - mean).mean(axis=0))
        if not np.isfinite(scale).all():
            raise ValueError(f"parameters must be smaller, got {np.abs(points).max():.2g}")
        return cls(low, high, mean, np.where(scale > 0, scale, 1.0))

    def apply(self, points: Floats, dtype: DTypeLike | None = None) -> Floats:
        """Parameters (n, d) as networks see them, in their dtype if no other is given.

        Raises
        ------
        ValueError
            If parameters are outside the bounds; the first one is named.
        """
        outside = self.outside(points)
        if outside.any():
            row = points[outside][0]
            low, high = self.low.astype(row.dtype), self.high.astype(row.dtype)
            column = int(((row < low) | (row > high)).argmax())
            raise ValueError(
                f"parameters must lie within the bounds, got {outside.sum()} of {len(points)} "
                f"outside, the first with {row[column]:.6g} in column {column}, which is between "
                f"{self.low[column]:.6g} and {self.high[column]:.6g}"
            )
        return np.asarray((self._unbounded(points) - self.mean) / self.scale).astype(
            points.dtype if dtype is None else dtype
        )

    def undo(self, z: Floats) -> Floats:
        """What networks see (n, d) as parameters in the same dtype, never beyond the bounds."""
        wide = z.astype(np.float64) * self.scale + self.mean
        both, above, below = self._kinds
        width = (self.high - self.low)[both]
        inner = wide[:, both]
        with np.errstate(over="ignore"):
            wide[:, both] = np.where(
                inner < 0,
                self.low[both] + width * ndtr(inner),
                self.high[both] - width * ndtr(-inner),
            )
            wide[:, above] = self.low[above] + np.exp(wide[:, above])
            wide[:, below] = self.high[below] - np.exp(-wide[:, below])
            return np.clip(wide.astype(z.dtype), *self._ends(z.dtype))

    @property
    def bounds(self) -> Bounds:
        """The bounds of all parameters."""
        return Bounds(self.low, self.high)

    def outside(self, points: Floats) -> Any:
        """Which of the points (n, d) are beyond a bound, rounded to their dtype: (n,)."""
        low, high = self.low.astype(points.dtype), self.high.astype(points.dtype)
        return ((points < low) | (points > high)).any(axis=1)

    def log_slope(self, points: Floats) -> Doubles:
        """Log of the determinant of `apply` at points (n, d) within the bounds: (n,)."""
        z = self._unbounded(points)
        both, above, below = self._kinds
        slopes = np.zeros_like(z)
        normal = z[:, both] ** 2 / 2 + 0.5 * math.log(2 * math.pi)
        slopes[:, both] = normal - np.log((self.high - self.low)[both])
        slopes[:, above], slopes[:, below] = -z[:, above], z[:, below]
        return np.asarray((slopes - np.log(self.scale)).sum(axis=1))

    def rescaled(self, factor: Doubles) -> Self:
        """The transform to units that are larger by a factor (d,)."""
        return replace(self, scale=self.scale * factor)

    def save(self, path: Path) -> None:
        """Write a .npz file."""
        write_arrays(path, {name: getattr(self, name) for name in _NAMES})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            If the file cannot be read, or is damaged.
        """
        low, high, mean, scale = (np.asarray(load_array(f"{path}:{n}"), np.float64) for n in _NAMES)
        if low.ndim != 1 or not low.shape == high.shape == mean.shape == scale.shape:
            raise ValueError(f"{path}: expected arrays {', '.join(_NAMES)} of one length")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError(f"{path}: expected finite means and positive scales")
        try:
            Bounds(low, high)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return cls(low, high, mean, scale)

    @property
    def _kinds(self) -> tuple[Any, Any, Any]:
        """Which parameters have two bounds, only a lower one, only an upper one: masks (d,)."""
        low, high = np.isfinite(self.low), np.isfinite(self.high)
        return low & high, low & ~high, ~low & high

    def _unbounded(self, points: Floats) -> Doubles:
        """Without bounds, in float64."""
        z = points.astype(np.float64)
        both, above, below = self._kinds
        half = float(np.finfo(points.dtype).eps) / 2
        width = (self.high - self.low)[both]
        up, down = (z - self.low)[:, both] / width, (self.high - z)[:, both] / width
        up, down = (np.where(share <= 0, half, share) for share in (up, down))
        z[:, both] = np.where(up < down, ndtri(up), -ndtri(down))
        z[:, above] = np.log(_inside((z - self.low)[:, above], half))
        z[:, below] = -np.log(_inside((self.high - z)[:, below], half))
        return z

    def _ends(self, dtype: DTypeLike) -> tuple[Floats, Floats]:
        """The smallest and the largest number of the dtype within the bounds."""
        limits = np.finfo(dtype)
        with np.errstate(over="ignore"):
            low = np.maximum(self.low, float(limits.min)).astype(dtype)
            high = np.minimum(self.high, float(limits.max)).astype(dtype)
        low = np.where(low < self.low, np.nextafter(low, limits.max), low)
        return low, np.where(high > self.high, np.nextafter(high, limits.min), high)


def _inside(distance: Doubles, half: float) -> Doubles:
    """Distances (n, k) to a bound, where points on it are moved inside."""
    largest = distance.max(axis=0, initial=0.0)
    least = half * np.where(largest > 0, largest, 1.0)
    return np.where(distance <= 0, least, distance)


_NAMES = tuple(field.name for field in fields(ParameterTransform))
