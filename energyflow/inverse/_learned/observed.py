"""Observations and parameters that users give, as NumPy arrays of the shapes that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from energyflow_backends import Floats, library_of, to_host

from ..._core.checks import check_array, check_finite, shape

_AXES = (2, 3, 4)  # of observations: vectors, series or sets, maps


@dataclass(frozen=True)
class Observed:
    """The shape of one observation."""

    shape: tuple[int, ...]

    def batch(self, observation: Any, name: str = "observation") -> tuple[Floats, bool]:
        """Observations (m, *observation), and whether a single one was given.

        Raises
        ------
        TypeError, ValueError
            If it is no array of finite numbers, or of another shape.
        """
        if library_of(observation) is None:
            raise TypeError(
                f"{name} must be an array, such as x[0] of the training pairs (before the number "
                f"of samples), got {type(observation).__name__}"
            )
        array = as_host(name, observation)
        single = array.shape == self.shape
        if not single and (array.shape[1:] != self.shape or not len(array)):
            raise ValueError(
                f"{name} must have shape {self.shape}, or (m, {str(self.shape)[1:]} for a batch, "
                f"got {array.shape}"
            )
        check_finite(name, array)
        return (array[None] if single else array), single


def as_host(name: str, array: Any) -> Floats:
    """A NumPy array of a user's floating numbers."""
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
        more = f": {points}[:, None] is of one parameter" if images.ndim == 1 else ""
        raise ValueError(
            f"{points} must have shape (n, d) or (n, C, H, W) with n at least 2, "
            f"got {images.shape}{more}"
        )
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
    return array


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
