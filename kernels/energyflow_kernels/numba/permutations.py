"""Energy distances of many relabellings of the same points on a line, from one sort a row."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..typing import Doubles
from .compiler import compiled
from .threads import share, usable_threads

_UNROLLED = 4  # points that one pass over the relabellings takes

Labels: TypeAlias = NDArray[np.uint8]


@compiled("contract")
def _add_pair(order, gaps, labels, first, second, sizes, charges, sums):
    """Add 2 sum (F - G)^2 gap of groups `first` and `second`, for each column of labels (T, W).

    gaps follow the points in order; those that pad both to a multiple of 4 are zero. charges (W,)
    is scratch: n m (F - G), in whole numbers, so that relabellings which are worth the same get
    the same sum.
    """
    n, m = sizes
    scale = 2 / (n * m) / (n * m)
    charges[:] = 0
    for k in range(0, order.size, _UNROLLED):
        label0, label1 = labels[order[k]], labels[order[k + 1]]
        label2, label3 = labels[order[k + 2]], labels[order[k + 3]]
        gap0, gap1 = gaps[k] * scale, gaps[k + 1] * scale
        gap2, gap3 = gaps[k + 2] * scale, gaps[k + 3] * scale
        for j in range(charges.size):
            charge, total = charges[j], sums[j]
            charge += (m if label0[j] == first else 0.0) - (n if label0[j] == second else 0.0)
            total += charge * charge * gap0
            charge += (m if label1[j] == first else 0.0) - (n if label1[j] == second else 0.0)
            total += charge * charge * gap1
            charge += (m if label2[j] == first else 0.0) - (n if label2[j] == second else 0.0)
            total += charge * charge * gap2
            charge += (m if label3[j] == first else 0.0) - (n if label3[j] == second else 0.0)
            total += charge * charge * gap3
            charges[j], sums[j] = charge, total


def permutation_energies(
    rows: Doubles, labels: Sequence[Labels], sizes: NDArray[np.int64]
) -> Doubles:
    """Energy distances of the groups that labels make of the points of each row, over all rows.

    Parameters
    ----------
    rows : array (R, T)
        Points on a line, finite; all rows are labelled alike.
    labels : sequence of arrays (T, W)
        Blocks of relabellings: the group of each point, 0 to k - 1.
    sizes : array (k,)
        Points in each group, the same for all relabellings.

    Returns
    -------
    array (k (k - 1) / 2, sum of the W)
        Sums over the rows for the pairs (0, 1), (0, 2), ..., (1, 2), ...

    Notes
    -----
    Cost O(R T (log T + k^2 W)); rows are shared among threads and added up in one order.
    """
    pairs = list(combinations(range(len(sizes)), 2))
    edges = np.cumsum([0, *(block.shape[1] for block in labels)])
    energies = np.zeros((len(rows), len(pairs), edges[-1]))
    n_threads = usable_threads()
    scratch = np.empty((n_threads, max(block.shape[1] for block in labels)))
    count = rows.shape[1]
    padded = -(-count // _UNROLLED) * _UNROLLED

    def work(thread: int, start: int, stop: int) -> None:
        order, gaps = np.zeros(padded, np.int64), np.zeros(padded)
        for number in range(start, stop):
            order[:count] = np.argsort(rows[number])
            gaps[: count - 1] = np.diff(rows[number][order[:count]])
            for block, left, right in zip(labels, edges, edges[1:], strict=False):
                charges = scratch[thread, : right - left]
                for place, (g, h) in enumerate(pairs):
                    both = float(sizes[g]), float(sizes[h])
                    sums = energies[number, place, left:right]
                    _add_pair(order, gaps, block, g, h, both, charges, sums)

    share(work, len(rows), 1, n_threads)
    total: Doubles = energies.sum(axis=0)
    return total
