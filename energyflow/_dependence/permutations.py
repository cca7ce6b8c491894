"""Permutations that pair one sample's points with the other's anew: drawn, or all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.checks import as_labels
from .._core.random import Source

_BLOCK = 256  # permutations that are drawn from one generator
_HELD = 2**26  # bytes of permutations held at once

Permutations = NDArray[np.int32]


def check_strata(strata: Any, n: int) -> list[NDArray[np.int64]]:
    """The places of the points of each stratum; one of all points where there are no strata."""
    if strata is None:
        return [np.arange(n)]
    given = as_labels("strata", strata)
    if given.shape != (n,):
        raise ValueError(f"strata must have shape ({n},), got {given.shape}")
    _, numbers = np.unique(given, return_inverse=True)
    parts = [np.flatnonzero(numbers == k) for k in range(numbers.max() + 1)]
    if all(len(part) == 1 for part in parts):
        raise ValueError("strata must hold two points somewhere, got one point in each")
    return parts


def number_of_all(parts: list[NDArray[np.int64]], limit: int) -> int | None:
    """How many permutations stay inside the strata; None where they are more than `limit`."""
    total = 1
    for part in parts:
        if len(part) > 20:
            return None
        total *= math.factorial(len(part))
        if total > limit:
            return None
    return total


def all_of_them(parts: list[NDArray[np.int64]], n: int) -> Permutations:
    """Every permutation (W, N) that stays inside the strata, the identity first."""
    rows = []
    for choice in product(*(permutations(part.tolist()) for part in parts)):
        row = np.empty(n, np.int32)
        for part, places in zip(parts, choice, strict=True):
            row[part] = places
        rows.append(row)
    return np.stack(rows)


def drawn(
    parts: list[NDArray[np.int64]], n: int, source: Source, count: int
) -> Iterator[Permutations]:
    """Draw `count` permutations, the first of them the identity, at most 64 MiB at a time.

    Those of a block of 256 depend on the source and on the number of the block alone.
    """
    width = min(_BLOCK, max(1, _HELD // (4 * n)))
    for number, start in enumerate(range(0, count, width)):
        rng = source.host(1 + number, 0)
        rows = np.empty((min(width, count - start), n), np.int32)
        for row in rows:
            for part in parts:
                row[part] = rng.permutation(part)
        if start == 0:
            rows[0] = np.arange(n)
        yield rows
