"""A few points of a target, on the host: the same for every library and number of processes."""

from __future__ import annotations

import numpy as np
from energyflow_backends import Array, Doubles, detached, namespace, sharding, to_host

from ..._core.random import HostSource
from ..._slices.projectors import moved_index

_POINTS = 256
_NUMBERS = 2**22  # that are brought to the host
SOURCE = HostSource((0x5EED, 0))  # what is measured does not depend on the seed of a flow
VECTORS = HostSource((0x5EED, 1))  # apart from directions that are drawn from the other


def sample(points: Array, weights: Array | None = None) -> Doubles:
    """Some rows of points (M, d) as float64 (n, d), in proportion to their weights."""
    counts, own = [points.shape[0]], 0
    here = sharding()
    if here is not None and here.parted:
        counts, own = [n for (n,) in here.numbers([points.shape[0]])], here.rank
    size, start = sum(counts), sum(counts[:own])
    n = min(size, _POINTS, max(32, _NUMBERS // max(1, points.shape[1])))
    rng = SOURCE.host(0, 0)
    if weights is None:
        places = np.sort(rng.choice(size, n, replace=False, shuffle=False))
    else:
        levels = np.cumsum(_whole(to_host(detached(weights)), size, start))
        places = np.searchsorted(levels, np.sort(rng.random(n)) * levels[-1], side="right")
        places = places.clip(max=size - 1)
    mine = (places >= start) & (places < start + counts[own])
    rows = np.zeros((n, points.shape[1]))
    if mine.any():
        index = moved_index(places[mine] - start, points)
        rows[mine] = to_host(namespace(points).take(detached(points), index, axis=0))
    return rows if here is None or not here.parted else np.asarray(here.summed(rows)[0])


def _whole(weights: Doubles, size: int, start: int) -> Doubles:
    """The weights of all points, of which this process holds those from `start` on."""
    here = sharding()
    whole = np.zeros(size)
    whole[start : start + len(weights)] = weights
    return whole if here is None or not here.parted else np.asarray(here.summed(whole)[0])


def effective_size(count: int, weights: Array | None) -> float:
    """1 / sum b^2: how many points of equal weight vary as much as these."""
    if weights is None:
        return float(count)
    here, squares = sharding(), np.array([np.sum(to_host(detached(weights)).astype(float) ** 2)])
    if here is not None and here.parted:
        squares = np.asarray(here.summed(squares)[0])
    return float(1 / squares[0])
