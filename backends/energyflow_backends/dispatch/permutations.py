"""Energy distances of many relabellings of one pooled sample, on the host in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from .._memory import MEMORY_BUDGET
from .._projector import Projector
from .._registry import select_on_host
from .._typing import Doubles, Integers
from ..sharded.sums import need_whole_sets
from ..sums.permutations import Labels


def sliced_permutation_energies(
    blocks: Callable[[], Iterable[Doubles]],
    labels: Sequence[Labels],
    sizes: Integers,
    projector: Projector,
    report: Callable[[int], Any] = lambda done: None,
) -> Doubles:
    """Sliced energy distances between the groups of points (T, d) that each labelling makes.

    blocks: gives the points in order, some at a time, around their middle; labels: blocks (T, W)
    of labellings; sizes: points in each of the k groups. The result is (k (k - 1) / 2, sum of the
    W). `report` is called with the number of slices that are done.
    """
    need_whole_sets("permutation tests")
    backend = select_on_host()
    pairs = len(sizes) * (len(sizes) - 1) // 2
    sums = np.zeros((pairs, sum(block.shape[1] for block in labels)))
    count = len(labels[0])
    at_once = max(1, MEMORY_BUDGET // max(16 * count, sums.nbytes))
    done = 0
    for part in projector.blocks(min(at_once, projector.n_projections)):
        rows, start = np.empty((part.n_projections, count)), 0  # (P, T)
        for block in blocks():
            rows[:, start : start + len(block)] = part.project(block[None])[0]
            start += len(block)
        sums += backend.permutation_energies(rows, labels, sizes)
        done += len(rows)
        report(done)
    return sums * (projector.constant(1.0) / projector.n_projections)


def exact_permutation_energies(
    points: Doubles,
    labels: Sequence[Labels],
    sizes: Integers,
    exponent: float,
    report: Callable[[int], Any] = lambda done: None,
    profile: Callable[[Doubles], Doubles] | None = None,
) -> Doubles:
    """The same by sums over all pairs of points; `report` gets the number of points done.

    With a `profile`, a kernel as a function of distances, they are squared MMDs.
    """
    k = len(sizes)
    if k == 2:  # charges, of which one column does
        shares = np.array([1 / sizes[0], -1 / sizes[1]])
        columns = np.concatenate([shares[block] for block in labels], axis=1)[:, None]
    else:
        members = [np.stack([block == g for g in range(k)], axis=1) for block in labels]
        columns = np.concatenate(members, axis=2, dtype=np.float64)  # (T, k, R)
    between = exact_distance_sums(points, columns, exponent, report, profile)
    if k == 2:
        energies: Doubles = -between[0]
    else:
        between /= (sizes[:, None] * sizes)[:, :, None]
        pairs = combinations(range(k), 2)
        energies = np.stack([2 * between[g, h] - between[g, g] - between[h, h] for g, h in pairs])
    return energies.clip(min=0)


def exact_distance_sums(
    points: Doubles,
    weights: Doubles,
    exponent: float,
    report: Callable[[int], Any] = lambda done: None,
    profile: Callable[[Doubles], Doubles] | None = None,
) -> Doubles:
    """Weighted sums of distances between points (T, d), for R sets of weights (T, C, R) at once.

    The result (C, C, R) is the sum over i, j of w_ig w_jh |x_i - x_j|^exponent, or of minus the
    `profile` of the distance.
    """
    from scipy.spatial.distance import cdist

    need_whole_sets("permutation tests")
    count, n_columns, n_sets = weights.shape
    flat = weights.reshape(count, -1)
    sums = np.zeros((n_columns, n_columns, n_sets))  # each pair of points once
    fit = MEMORY_BUDGET // (16 * max(count, flat.shape[1]))
    at_once = max(1, min(fit, max(64, count // 8)))
    for start in range(0, count, at_once):
        stop = min(start + at_once, count)
        far = cdist(points[start:stop], points[start:])
        if profile is not None:
            far = -profile(far)
        elif exponent != 1:
            far **= exponent
        far[:, : stop - start] /= 2  # among themselves, both (i, j) and (j, i) come
        reached = (far @ flat[start:]).reshape(-1, n_columns, n_sets)
        for g in range(n_columns):
            sums[g] += np.einsum("tr,thr->hr", weights[start:stop, g], reached)
        report(stop)
    return sums + sums.swapaxes(0, 1)
