"""Energy distances of many subsets of pooled points, along rows that are sorted once, by NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._typing import Doubles

Subsets = NDArray[np.int64]


class SortedRows:
    """Rows (P, N) of a reference, its order along each, and each point's distances to all others.

    They take 20 P N bytes, and O(P N log N) time, once.
    """

    def __init__(self, rows: Doubles) -> None:
        self._rows = rows
        self._order = np.argsort(rows, axis=1).astype(np.int32)
        self._potentials = np.empty_like(rows)
        for row, order, potentials in zip(rows, self._order, self._potentials, strict=True):
            potentials[order] = _to_itself(row[order])

    def subset_energies(self, batch: Doubles, subsets: Subsets) -> Doubles:
        """E between subsets (R, m) of the pooled points and the rest, summed over rows: (R,).

        batch: rows (P, m). Points are numbered from 0, those of the batch behind the reference.

        With h the sum of distances of a point to all T pooled points, H that of all h, A that of a
        subset S, and W the sum of distances within S, those between S and the rest sum to A - W,
        and those within the rest to H - 2 A + W. No row is sorted again: O(P (N + R m log m)).
        """
        m, n = batch.shape[1], self._rows.shape[1]
        signs = 2.0 * np.arange(m) - (m - 1)
        energies = np.zeros(len(subsets))
        for row, order, own, new in zip(
            self._rows, self._order, self._potentials, batch, strict=True
        ):
            in_order = np.sort(new)
            along = row[order]
            place = np.searchsorted(along, in_order)
            potentials = np.empty(n + m)
            below = np.cumsum(np.bincount(place, minlength=n + 1))[:n]  # of the batch
            potentials[order] = own[order] + _distances(along, below, in_order)
            potentials[n + np.argsort(new)] = _to_itself(in_order) + _distances(
                in_order, place, along
            )
            values = np.concatenate([row, new])
            to_all = potentials[subsets].sum(axis=1)
            within = 2 * (np.sort(values[subsets], axis=1) @ signs)
            rest = potentials.sum() - 2 * to_all + within
            energies += 2 * (to_all - within) / (m * n) - within / m**2 - rest / n**2
        return energies


def _distances(points: Doubles, below: NDArray[np.int64], others: Doubles) -> Doubles:
    """Sums of distances of points to sorted others, of which `below` are not above each."""
    sums = np.concatenate([[0.0], np.cumsum(others)])
    distances: Doubles = (2 * below - len(others)) * points + sums[-1] - 2 * sums[below]
    return distances


def _to_itself(row: Doubles) -> Doubles:
    """Sums of distances to all others, of a sorted row."""
    return _distances(row, np.arange(len(row)), row)
