"""The points of several samples as one, on the host, whether or not there is room for a copy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from energyflow_backends import Array, Doubles, known_values, to_host
from numpy.typing import NDArray

from .._core.blocks import NUMBERS, blocks
from .._core.checks import check_finite, check_points, check_together, shape

_MOST_SAMPLES = 255


class PooledPoints:
    """Points (T, d) of all samples, float64 in a unit near their extent, around their midrange.

    The unit is a power of two: squares neither overflow nor vanish. `names` are those of the
    samples in messages.

    Attributes
    ----------
    sizes : array (k,)
        Points of each sample.
    count, dimension : int
        T and d.
    unit : float
        In the unit of the samples.
    """

    def __init__(self, samples: tuple[Array, ...], names: Sequence[str]) -> None:
        self._samples = _hosted(samples, names)
        self.sizes = np.array([len(sample) for sample in self._samples])
        self.count, self.dimension = int(self.sizes.sum()), self._samples[0].shape[1]
        self.unit = 1.0
        self._middle = np.zeros(self.dimension)
        parts = list(zip(*((v.min(axis=0), v.max(axis=0)) for v in self.blocks()), strict=True))
        low, high = np.min(parts[0], axis=0), np.max(parts[1], axis=0)
        extent = float((high / 2 - low / 2).max())
        if extent > 0:
            self.unit = math.ldexp(1.0, min(math.frexp(extent)[1], 1023))
        self._middle = low / self.unit / 2 + high / self.unit / 2

    def blocks(self) -> Iterator[Doubles]:
        """The points in order; few of them come as one block."""
        if self.count * self.dimension <= NUMBERS:
            parts: Iterable[Any] = [np.concatenate(self._samples)]
        else:
            parts = (block for sample in self._samples for block in blocks(sample))
        for part in parts:
            yield part.astype(np.float64) / self.unit - self._middle

    def whole(self) -> Doubles:
        """All of them, a copy."""
        return np.concatenate(list(self.blocks()))

    def mean_power(self, exponent: float) -> float:
        """Mean of |x - mean|^exponent, in the unit."""
        mean = sum(block.sum(axis=0) for block in self.blocks()) / self.count
        far = (np.linalg.norm(block - mean, axis=1) ** exponent for block in self.blocks())
        return float(sum(part.sum() for part in far) / self.count)

    def deviations(self) -> Doubles:
        """Standard deviation of each coordinate (d,), in the unit."""
        mean = sum(block.sum(axis=0) for block in self.blocks()) / self.count
        squares = sum(((block - mean) ** 2).sum(axis=0) for block in self.blocks())
        return np.sqrt(np.asarray(squares) / self.count)


def _hosted(samples: tuple[Array, ...], names: Sequence[str]) -> list[NDArray[Any]]:
    if not 2 <= len(samples) <= _MOST_SAMPLES:
        raise ValueError(f"samples must be 2 to {_MOST_SAMPLES}, got {len(samples)}")
    hosted = []
    for name, sample in zip(names, samples, strict=True):
        check_points(name, sample)
        check_together(names[0], samples[0], name, sample)
        if sample.ndim != 2 or sample.shape[1] != samples[0].shape[1]:
            raise ValueError(
                f"{name} must have shape (n, {samples[0].shape[-1]}), got {shape(sample)}; "
                f"that of {names[0]} is {shape(samples[0])}"
            )
        if not known_values(sample):
            raise TypeError(f"{name} must have values: a test cannot be traced")
        check_finite(name, sample)
        hosted.append(to_host(sample))
    return hosted
