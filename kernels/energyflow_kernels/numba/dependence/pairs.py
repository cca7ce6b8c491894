"""Products of the distances of all pairs, for many permutations of one side."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import uint32
from numpy.typing import NDArray

from ...typing import Doubles
from ..compiler import compiled, inner
from ..threads import share, usable_threads

# Rows of a that stay in the second cache while rows of b pass through the first.
_ROWS = 64
_NUMBERS = 1 << 17


@inner("reassoc", "contract")
def _permuted_product(left, right, p):
    total = 0.0
    for j in range(left.size):
        total += left[j] * right[uint32(p[j])]
    return total


@compiled()
def _add(near, first, far, first_far, permutations, items, sums):
    """Add the products of the rows i and p(i) for items w T + i, T rows of each permutation w."""
    n = len(near)
    for item in items:
        w, i = item // n, item % n
        at = first + i
        p = permutations[w]
        sums[w] += _permuted_product(near[i, :at], far[p[at] - first_far], p[:at])


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
    size = max(1, min(_ROWS, _NUMBERS // near.shape[1]))
    parts = -(-len(near) // size)
    sums = np.zeros((parts, len(permutations)))

    def work(thread: int, start: int, stop: int) -> None:
        for part in range(start, stop):
            rows = near[part * size : (part + 1) * size]
            at = first + part * size
            places = permutations[:, at : at + len(rows)].reshape(-1) - first_far
            items = np.argsort(places)  # a row of b is read once for all who want it
            items = items[slice(*np.searchsorted(places, (0, len(far)), sorter=items))]
            _add(rows, at, far, first_far, permutations, items, sums[part])

    share(work, parts, 1, usable_threads())
    total: Doubles = sums.sum(axis=0)
    return total
