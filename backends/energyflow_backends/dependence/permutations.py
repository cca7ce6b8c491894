"""Distance covariances of many permutations of one side of paired points, by NumPy."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._memory import MEMORY_BUDGET
from .._typing import Doubles
from .lines import line_covariance
from .weights import Weights

Permutations: TypeAlias = NDArray[np.int32]


def permuted_line_covariances(
    xs: Doubles, ys: Doubles, permutations: Permutations, weights: Weights
) -> Doubles:
    """Sums over rows (R, N) of the covariances on the line, for each permutation."""
    totals = np.zeros(len(permutations))
    at_once = max(1, MEMORY_BUDGET // (320 * xs.shape[1]))
    for x, y in zip(xs, ys, strict=True):
        for start in range(0, len(permutations), at_once):
            part = slice(start, start + at_once)
            there = y[permutations[part]]
            values = line_covariance(np.broadcast_to(x, there.shape), there, weights, wrt=())[0]
            totals[part] += np.asarray(values)
    return totals


def pair_products(
    near: Doubles, first: int, far: Doubles, first_far: int, permutations: Permutations
) -> Doubles:
    """Sums of a_ij b_p(i)p(j) over j < i, of rows of a and rows p(i) of b that are at hand."""
    below = np.tril(near, first - 1)
    totals = np.zeros(len(permutations))
    for w, permutation in enumerate(permutations):
        places = permutation[first : first + len(near)] - first_far
        here = (places >= 0) & (places < len(far))
        totals[w] = np.vdot(below[here], far[places[here]][:, permutation])
    return totals
