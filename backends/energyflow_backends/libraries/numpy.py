"""NumPy, and whatever else lies in ordinary memory: torch and JAX arrays on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from .._arrays import ArrayInfo, library_of, to_numpy
from .._base import Backend
from .._typing import Array, HostArray, Native
from ..sums.waves import Waves, transformed_sums, transforms_pay


class NumpyBackend(Backend):
    """Sorting by `numpy.sort`, which is vectorised; foreign arrays are viewed, not copied."""

    name: ClassVar[str] = "numpy"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "jax")
    arrays: ClassVar[str] = "viewed as NumPy arrays"

    def refuses(self, info: ArrayInfo) -> str | None:
        """Arrays whose values are in ordinary memory and known can be taken."""
        reason = super().refuses(info)
        if reason is None and info.traced:
            return "the values are not known while tracing"
        if reason is None and not info.on_cpu:
            return f"the data are on {info.device}, not in ordinary memory"
        return reason

    def adopt(self, array: Native) -> HostArray:
        """A view."""
        return array if type(array) is np.ndarray else to_numpy(array)

    def restore(self, array: HostArray, like: Native) -> Array:
        """A view in the library of `like` (torch), or a copy where that library owns its data."""
        library = None if type(like) is np.ndarray else library_of(like)
        if library == "torch":
            import torch

            return torch.from_numpy(np.asarray(array))
        if library == "jax":
            import jax.numpy as jnp

            return jnp.asarray(array)
        return np.asarray(array)

    def pooled_order(self, pooled: HostArray) -> tuple[Array, Array]:
        """Order by sorting order-preserving integer keys packed with the index, where they fit."""
        if pooled.dtype != np.float32:
            return super().pooled_order(pooled)
        bits = (pooled + np.float32(0)).view(np.int32)  # -0.0 + 0.0 is 0.0
        keys = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
        packed = keys.astype(np.int64) << 32 | np.arange(pooled.shape[1], dtype=np.int64)
        packed.sort(axis=1)
        order = packed & 0xFFFFFFFF
        return order, np.take_along_axis(pooled, order, axis=1)

    def limits(
        self, pooled: HostArray, order: HostArray, points: HostArray, start: int
    ) -> Callable[[HostArray], HostArray]:
        """Limits are formed along the sorted row, and written where the points belong."""
        length = pooled.shape[1]
        new = pooled[:, 1:] != pooled[:, :-1]
        ties = None if new.all() else _tie_groups(new)

        def at_points(function: HostArray) -> HostArray:
            padded = np.zeros((len(function), length + 1), dtype=function.dtype)
            padded[:, 1:] = function
            if ties is None:
                both = padded[:, :-1] + padded[:, 1:]
            else:
                first, last = (np.take_along_axis(padded, place, axis=1) for place in ties)
                both = first + last
            placed = np.empty_like(both)
            np.put_along_axis(placed, order, both, axis=1)
            return placed[:, start : start + points.shape[1]]

        return at_points

    def distances(self, tile: HostArray, z: HostArray) -> Array:
        """SciPy's direct distances, which need no working memory."""
        if z.shape[2] == 1:
            return super().distances(tile, z)
        from scipy.spatial.distance import cdist

        return np.stack([cdist(t, s) for t, s in zip(tile, z, strict=True)])

    def wave_sums(
        self, waves: Waves, xs: HostArray, ys: HostArray, w: HostArray, *, derivative: bool
    ) -> Array:
        """Long rows take fast Fourier transforms where finufft is installed."""
        if transforms_pay(xs, ys):
            return transformed_sums(waves, xs, ys, w, derivative)
        return super().wave_sums(waves, xs, ys, w, derivative=derivative)


def _tie_groups(new: HostArray) -> tuple[HostArray, HostArray]:
    """How many places of each row are before, and not after, the group of equal numbers."""
    rows, length = new.shape[0], new.shape[1] + 1
    place = np.arange(length + 1)
    before = np.zeros((rows, length), dtype=place.dtype)
    before[:, 1:] = np.where(new, place[1:-1], 0)
    upto = np.full((rows, length), length)
    upto[:, :-1] = np.where(new, place[1:-1], length)
    return (
        np.maximum.accumulate(before, axis=1),
        np.minimum.accumulate(upto[:, ::-1], axis=1)[:, ::-1],
    )
