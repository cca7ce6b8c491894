"""Distance covariances of many permutations of one side of paired points, on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._base import MEMORY_BUDGET
from .._registry import select_on_host
from .._typing import Doubles
from ..sharded.sums import need_whole_sets
from .covariance import ProjectorPair
from .lines import line_covariance
from .weights import Weights

_HELD = 2**28  # bytes of distances that are kept while permutations pass over them
_TILE = 512  # rows of distances that meet them

Permutations = NDArray[np.int32]
Report = Callable[[int], Any]


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
    moments = _line_moments()
    total, done = np.zeros(len(permutations)), 0
    at_once = max(1, MEMORY_BUDGET // (64 * len(x) + 24 * len(permutations)))
    for p, q in zip(first.blocks(at_once), second.blocks(at_once), strict=True):
        total += moments(p.project(x[None])[0], q.project(y[None])[0], permutations, weights)
        done += p.n_projections
        report(done)
    return total * (first.constant(1.0) * second.constant(1.0) / first.n_projections)


def _line_moments() -> Callable[[Doubles, Doubles, Permutations, Weights], Doubles]:
    if select_on_host().name != "numba":
        return numpy_line_covariances
    from energyflow_kernels.numba.dependence.rows import permuted_moments

    def run(xs: Doubles, ys: Doubles, permutations: Permutations, weights: Weights) -> Doubles:
        found: Doubles = permuted_moments(xs, ys, permutations) @ np.array(weights)
        return found

    return run


def numpy_line_covariances(
    xs: Doubles, ys: Doubles, permutations: Permutations, weights: Weights
) -> Doubles:
    """Sums over rows (R, N) of the covariances on the line, for each permutation."""
    found = np.zeros(len(permutations))
    at_once = max(1, MEMORY_BUDGET // (320 * xs.shape[1]))
    for x, y in zip(xs, ys, strict=True):
        for start in range(0, len(permutations), at_once):
            part = slice(start, start + at_once)
            there = y[permutations[part]]
            values = line_covariance(np.broadcast_to(x, there.shape), there, weights, wrt=())[0]
            found[part] += np.asarray(values)
    return found


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
    products = _pair_products()
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
            total += 2 * products(near, start, far, low, permutations)
            report((low * n + min(start + tile, n) * min(held, n - low)) // n)
    product = np.array([sums_x @ sums_y[p] for p in permutations])
    found: Doubles = weights[0] * total + weights[1] * product
    found += weights[2] * sums_x.sum() * sums_y.sum()
    return found


def _powers(tile: Doubles, points: Doubles, exponent: float) -> Doubles:
    from scipy.spatial.distance import cdist

    far: Doubles = cdist(tile, points)
    if exponent != 1:
        far **= exponent
    return far


def _pair_products() -> Callable[[Doubles, int, Doubles, int, Permutations], Doubles]:
    if select_on_host().name != "numba":
        return numpy_pair_products
    from energyflow_kernels.numba.dependence.pairs import pair_products

    return pair_products


def numpy_pair_products(
    near: Doubles, first: int, far: Doubles, first_far: int, permutations: Permutations
) -> Doubles:
    """Sums of a_ij b_p(i)p(j) over j < i, of rows of a and rows p(i) of b that are at hand."""
    below = np.tril(near, first - 1)
    found = np.zeros(len(permutations))
    for w, permutation in enumerate(permutations):
        places = permutation[first : first + len(near)] - first_far
        here = (places >= 0) & (places < len(far))
        found[w] = np.vdot(below[here], far[places[here]][:, permutation])
    return found
