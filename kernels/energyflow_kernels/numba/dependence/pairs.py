"""Products of the distances of all pairs, for many permutations of one side."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compiler import compiled
from ..threads import share, usable_threads

_ROWS = 8  # of a tile, whose numbers stay in the cache while the permutations pass

Doubles = NDArray[np.float64]


@compiled("contract", "reassoc")
def _add(near, first, far, first_far, permutations, sums):
    for w in range(len(permutations)):
        permutation = permutations[w]
        total = 0.0
        for i in range(len(near)):
            k = permutation[first + i] - first_far
            if 0 <= k < len(far):
                left, right = near[i], far[k]
                part = 0.0
                for j in range(first + i):
                    part += left[j] * right[permutation[j]]
                total += part
        sums[w] += total


def pair_products(
    near: Doubles, first: int, far: Doubles, first_far: int, permutations: NDArray[np.int32]
) -> Doubles:
    """Sums of a_ij b_p(i)p(j) over j < i, where rows i of a and p(i) of b are at hand.

    Parameters
    ----------
    near : array (T, N)
        Rows of a (T, N).
    first : int
        The number of the first of them.
    far : array (K, N)
        Rows of b (K, N).
    first_far : int
        The number of the first of them.
    permutations : integer array (W, N)
        Where each point finds its partner.

    Returns
    -------
    arrays
        (W,); over all tiles of a and of b they add up to the sums over all pairs.

    Notes
    -----
    Cost O(W T K). The same bit for bit for every number of threads.
    """
    parts = -(-len(near) // _ROWS)
    found = np.zeros((parts, len(permutations)))

    def work(thread: int, start: int, stop: int) -> None:
        for part in range(start, stop):
            rows = near[part * _ROWS : (part + 1) * _ROWS]
            _add(rows, first + part * _ROWS, far, first_far, permutations, found[part])

    share(work, parts, 1, usable_threads())
    total: Doubles = found.sum(axis=0)
    return total
