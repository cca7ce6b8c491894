"""Products of the distances of all pairs, for many permutations of one side."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...typing import Doubles
from ..compiler import compiled
from ..threads import share, usable_threads

_ROWS = 8  # of a tile, whose numbers stay in the cache while the permutations pass


@compiled("contract")
def _one_row(left, right, p, stop):
    total = 0.0
    for j in range(stop):
        total += left[j] * right[p[j]]
    return total


@compiled("contract")
def _four_rows(near, far, k0, k1, k2, k3, p, stop):
    """A permutation is read once for four rows, and no sum waits for another."""
    a0, a1, a2, a3 = near[0], near[1], near[2], near[3]
    b0, b1, b2, b3 = far[k0], far[k1], far[k2], far[k3]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for j in range(stop):
        q = p[j]
        s0 += a0[j] * b0[q]
        s1 += a1[j] * b1[q]
        s2 += a2[j] * b2[q]
        s3 += a3[j] * b3[q]
    for j in range(stop, stop + 3):  # below the diagonal
        q = p[j]
        s1 += a1[j] * b1[q] if j < stop + 1 else 0.0
        s2 += a2[j] * b2[q] if j < stop + 2 else 0.0
        s3 += a3[j] * b3[q]
    return (s0 + s1) + (s2 + s3)


@compiled("contract")
def _add(near, first, far, first_far, permutations, sums):
    n, n_far = len(near), len(far)
    for w in range(len(permutations)):
        p = permutations[w]
        total, i = 0.0, 0
        while i < n:
            at = first + i
            k0 = p[at] - first_far
            if i + 4 <= n:
                k1, k2, k3 = p[at + 1] - first_far, p[at + 2] - first_far, p[at + 3] - first_far
                if min(k0, k1, k2, k3) >= 0 and max(k0, k1, k2, k3) < n_far:
                    total += _four_rows(near[i : i + 4], far, k0, k1, k2, k3, p, at)
                    i += 4
                    continue
            if 0 <= k0 < n_far:
                total += _one_row(near[i], far[k0], p, at)
            i += 1
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
    sums = np.zeros((parts, len(permutations)))

    def work(thread: int, start: int, stop: int) -> None:
        for part in range(start, stop):
            rows = near[part * _ROWS : (part + 1) * _ROWS]
            _add(rows, first + part * _ROWS, far, first_far, permutations, sums[part])

    share(work, parts, 1, usable_threads())
    total: Doubles = sums.sum(axis=0)
    return total
