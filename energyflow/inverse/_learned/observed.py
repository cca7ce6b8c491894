"""Observations and parameters that users give, as NumPy arrays of the shapes that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from energyflow_backends import Doubles, Floats, library_of, to_host

from ..._core.checks import as_floats, as_numbers, check_array, check_finite, shape, warn

_LARGEST = 1e290
_AXES = (2, 3, 4)  # of observations: vectors, series or sets, maps


@dataclass(frozen=True)
class Observed:
    """The shape of one observation; of any height and width, where networks are of crops."""

    shape: tuple[int, ...]
    any_size: bool = False

    def batch(self, observation: Any, name: str = "observation") -> tuple[Floats, bool]:
        """Observations (m, *observation), and whether a single one was given.

        Raises
        ------
        TypeError, ValueError
            If it is no array of finite numbers, or of another shape.
        """
        observation = as_floats(name, observation)
        if library_of(observation) is None:
            raise TypeError(
                f"{name} must be an array, such as x[0] of the training pairs (before the number "
                f"of samples), got {type(observation).__name__}"
            )
        array = as_host(name, observation)
        single, several = self._fits(array.shape), self._fits(array.shape[1:])
        if not single and not (several and len(array)):
            raise ValueError(
                f"{name} must have shape {self.shape}, or (m, {str(self.shape)[1:]} for a batch, "
                f"got {array.shape}"
            )
        check_finite(name, array)
        return (array[None] if single else array), single

    def _fits(self, given: tuple[int, ...]) -> bool:
        if self.any_size:
            return given[:-2] == self.shape[:-2] and len(given) == len(self.shape)
        return given == self.shape


@dataclass(frozen=True, eq=False)
class ObservedRange:
    """Smallest and largest number of each column (m,) of the training observations."""

    low: Doubles
    high: Doubles

    @classmethod
    def of(cls, observations: Floats) -> Self:
        """Of vectors (n, m)."""
        low, high = observations.min(axis=0), observations.max(axis=0)
        return cls(low.astype(np.float64), high.astype(np.float64))

    def warn_beyond(self, observations: Floats) -> None:
        """Warn of vectors (n, m) that lie beyond by more than a tenth of the range."""
        least = 1e-6 * np.maximum(abs(self.low), abs(self.high))  # rounding to float32
        over = np.maximum(self.low - observations, observations - self.high)
        with np.errstate(over="ignore"):
            far = over > np.maximum((self.high - self.low) / 10, least)
        if not far.any():
            return
        row, column = np.argwhere(far)[0]
        several = f"{int(far.any(axis=1).sum())} of {len(far)} observations lie"
        warn(
            f"{several if len(far) > 1 else 'the observation lies'} outside the training "
            f"observations, and the posterior is extrapolated: column {column} is "
            f"{observations[row, column]:.6g}, trained between {self.low[column]:.6g} and "
            f"{self.high[column]:.6g}"
        )

    def settings(self) -> list[list[float]]:
        """For a file of JSON."""
        return [self.low.tolist(), self.high.tolist()]

    @classmethod
    def read(cls, settings: Any) -> Self:
        """What `settings` gave.

        Raises
        ------
        TypeError, ValueError
            If they are something else.
        """
        low, high = (as_numbers("range", side) for side in settings)
        if low.shape != high.shape or low.ndim != 1 or not (low <= high).all():
            raise ValueError("range must be two lists of numbers, the smaller ones first")
        return cls(low, high)


def as_host(name: str, array: Any) -> Floats:
    """A NumPy array of a user's numbers, as floats."""
    array = as_floats(name, array)
    check_array(name, array)
    return to_host(array)


def as_pairs(points: str, images: Floats, name: str, observations: Any) -> Floats:
    """The observations as a NumPy array, when they are one for each of the images.

    Raises
    ------
    TypeError, ValueError
        If either is not finite, or shapes do not fit; the names are those in messages.
    """
    if images.ndim not in (2, 4) or len(images) < 2 or 0 in images.shape:
        more = ": of one parameter, add an axis by [:, None]" if images.ndim == 1 else ""
        raise ValueError(
            f"{points} must have shape (n, d), (n, H, W) or (n, C, H, W) with n at least 2, "
            f"got {images.shape}{more}"
        )
    observations = as_floats(name, observations)
    check_array(name, observations)
    if shape(observations)[:1] != (len(images),):
        raise ValueError(
            f"{name} must be one for each of the {len(images)} {points}, "
            f"got {len(observations) if observations.ndim else 'a number'}"
        )
    if observations.ndim not in _AXES or 0 in observations.shape:
        more = f": {name}[:, None] is of one number" if observations.ndim == 1 else ""
        raise ValueError(
            f"{name} must be vectors (n, m), series (n, k, m) or maps (n, C, H, W), "
            f"got shape {shape(observations)}{more}"
        )
    array = to_host(observations)
    check_finite(points, images)
    check_finite(name, array)
    _check_size(name, array)
    return array


def _check_size(name: str, array: Floats) -> None:
    """Refuse numbers whose differences, or their inverses, are close to overflow."""
    rows = array.reshape(-1, array.shape[-1])
    low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    size = np.maximum(abs(low), abs(high))
    with np.errstate(over="ignore"):
        bad = (size > _LARGEST) | ((low < high) & (high - low < 1 / _LARGEST))
    if bad.any():
        column = int(bad.argmax())
        raise ValueError(
            f"{name} must be of sizes between {1 / _LARGEST:g} and {_LARGEST:g}: divide column "
            f"{column} by its size, got {size[column]:.3g}"
        )


def as_parameters(points: Any, d: int, m: int, single: bool) -> tuple[Floats, tuple[int, ...]]:
    """Points of `log_prob` as rows (n, d), and the shape of what it gives for them.

    Raises
    ------
    TypeError, ValueError
        If they are of other parameters, or not one or a row for each of m observations.
    """
    array = as_host("points", points)
    fits = array.ndim in (2, 3) and array.shape[-1] == d and array.size
    if array.ndim == 3:
        fits = fits and not single and len(array) == m
    elif fits and not single:
        fits = len(array) == m
    if not fits:
        wanted = f"(n, {d})" if single else f"({m}, {d}) or ({m}, n, {d})"
        raise ValueError(f"points must have shape {wanted}, got {array.shape}")
    check_finite("points", array)
    return array.reshape(-1, array.shape[-1]), array.shape[:-1]
