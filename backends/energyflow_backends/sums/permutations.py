"""Energy distances of many relabellings of the same points on a line, by NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._memory import MEMORY_BUDGET
from .._typing import Doubles, Integers

Labels: TypeAlias = NDArray[np.uint8]


def permutation_energies(rows: Doubles, labels: Sequence[Labels], sizes: Integers) -> Doubles:
    """Sums over rows (R, T) of the energy distances, for the pairs of groups of each labelling."""
    pairs = list(combinations(range(len(sizes)), 2))
    sums = [np.zeros((len(pairs), block.shape[1])) for block in labels]
    at_once = max(1, MEMORY_BUDGET // ((16 + 4 * len(sizes)) * rows.shape[1]))
    for row in rows:
        order = np.argsort(row)
        gaps = np.diff(row[order])
        for total, block in zip(sums, labels, strict=True):
            for start in range(0, block.shape[1], at_once):
                part = slice(start, start + at_once)
                here = block[order[:-1], part]  # (T - 1, W)
                below = [np.cumsum(here == g, axis=0, dtype=np.int32) for g in range(len(sizes))]
                for place, (g, h) in enumerate(pairs):
                    n, m = float(sizes[g]), float(sizes[h])
                    charges = below[g] * m - below[h] * n  # whole numbers: equals stay equal
                    total[place, part] += 2 / (n * m) / (n * m) * (gaps @ np.square(charges))
    return np.concatenate(sums, axis=1)
