"""A random part of a flow's target for each step."""

from __future__ import annotations

import numpy as np
from energyflow_backends import Array, need_whole_sets, to_host
from numpy.typing import NDArray

from .._core.checks import check_count
from .._core.random import Source

_BLOCK = 2**31 - 1  # its random numbers are those of a block that no slices reach


class Minibatch:
    """Which m of M points a step uses: a function of (source, step) alone.

    Every point is used equally often, or in proportion to its weight, so that sums over the part
    are unbiased. Without weights points are drawn without replacement, with weights with
    replacement.
    """

    def __init__(self, size: int, count: int, weights: Array | None) -> None:
        self.size, self._count = check_count("batch_size", size), count
        if self.size > count:
            raise ValueError(
                f"batch_size must be at most the {count} points of the target, got {self.size}"
            )
        self._levels = None
        if weights is not None:
            self._levels = np.cumsum(to_host(weights), dtype=np.float64)

    def places(self, source: Source, step: int) -> NDArray[np.int64]:
        """Places (m,) among the M points, in rising order, as files like to be read."""
        need_whole_sets("minibatches")
        rng = source.host(step, _BLOCK)
        if self._levels is None:
            return np.sort(rng.choice(self._count, self.size, replace=False, shuffle=False))
        marks = np.sort(rng.random(self.size)) * self._levels[-1]
        places: NDArray[np.int64] = np.searchsorted(self._levels, marks, side="right")
        return places.clip(max=self._count - 1)
