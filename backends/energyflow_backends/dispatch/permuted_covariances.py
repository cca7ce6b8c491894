"""Distance covariances of many permutations of one side of paired points, on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .._memory import MEMORY_BUDGET
from .._registry import select_on_host
from .._typing import Doubles
from ..dependence.permutations import Permutations
from ..dependence.weights import Weights
from ..sharded.sums import need_whole_sets
from .distance_covariances import ProjectorPair

_HELD = 2**28  # bytes of distances that are kept while permutations pass over them
_TILE = 512  # rows of distances that meet them

Report: TypeAlias = Callable[[int], Any]


def sliced_permuted_covariances(
    x: Doubles,
    y: Doubles,
    permutations: Permutations,
    weights: Weights,
    projectors: ProjectorPair,
    report: Report = lambda done: None,
) -> Doubles:
    """Sliced squared distance covariances of x_i and y_p(i), for each p of permutations (W, N).

    x is (N, d), y is (N, e); `report` is called with the number of slices that are done.
    """
    need_whole_sets("permutation tests")
    first, second = projectors.first, projectors.second
    backend = select_on_host()
    total, done = np.zeros(len(permutations)), 0
    at_once = max(1, MEMORY_BUDGET // (64 * len(x) + 24 * len(permutations)))
    for p, q in zip(first.blocks(at_once), second.blocks(at_once), strict=True):
        xs, ys = (np.asarray(v) for v in (p.project(x[None])[0], q.project(y[None])[0]))
        total += backend.permuted_line_covariances(xs, ys, permutations, weights)
        done += p.n_projections
        report(done)
    return total * (first.constant(1.0) * second.constant(1.0) / first.n_projections)


def exact_permuted_covariances(
    x: Doubles,
    y: Doubles,
    permutations: Permutations,
    weights: Weights,
    exponent: float,
    report: Report = lambda done: None,
) -> Doubles:
    """The same by sums over all pairs, at most 256 MiB of distances at a time.

    `report` is called with the number of points that are done.
    """
    need_whole_sets("permutation tests")
    n = len(x)
    backend = select_on_host()
    total = np.zeros(len(permutations))
    sums_x, sums_y = np.empty(n), np.empty(n)
    held = max(1, _HELD // (8 * n))
    tile = max(1, min(_TILE, MEMORY_BUDGET // (8 * n)))
    for low in range(0, n, held):
        far = _powers(y[low : low + held], y, exponent)
        sums_y[low : low + held] = far.sum(axis=1)
        for start in range(0, n, tile):
            near = _powers(x[start : start + tile], x, exponent)
            sums_x[start : start + tile] = near.sum(axis=1)
            total += 2 * backend.pair_products(near, start, far, low, permutations)
            report((low * n + min(start + tile, n) * min(held, n - low)) // n)
    product = np.array([sums_x @ sums_y[p] for p in permutations])
    covariances: Doubles = weights[0] * total + weights[1] * product
    covariances += weights[2] * sums_x.sum() * sums_y.sum()
    return covariances


def _powers(tile: Doubles, points: Doubles, exponent: float) -> Doubles:
    from scipy.spatial.distance import cdist

    far: Doubles = cdist(tile, points)
    if exponent != 1:
        far **= exponent
    return far
