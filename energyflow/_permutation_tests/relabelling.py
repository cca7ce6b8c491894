"""Relabellings of pooled points: which are drawn, and how many are held at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, combinations, product
from typing import Any

import numpy as np
from energyflow_backends import Integers
from numpy.typing import NDArray

from .._core.checks import as_labels
from .._core.random import Source

_BLOCK = 256  # relabellings that a pass over a sorted row serves
_HELD = 2**28  # bytes of labels held at once, in the form that the method needs

Labels = NDArray[np.uint8]


def check_strata(strata: Sequence[Any] | None, sizes: Integers) -> Integers | None:
    """The stratum of each pooled point (T,), numbered from 0."""
    if strata is None:
        return None
    try:
        listed = list(strata)
    except TypeError:
        raise TypeError(
            f"strata must be a sequence of arrays, got {type(strata).__name__}"
        ) from None
    if len(listed) != len(sizes):
        raise ValueError(
            f"strata must be one array for each of {len(sizes)} samples, got {len(listed)}"
        )
    parts = [as_labels(f"strata[{number}]", part) for number, part in enumerate(listed)]
    for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        if part.shape != (size,):
            raise ValueError(f"strata[{number}] must have shape ({size},), got {part.shape}")
    names, numbers = np.unique(np.concatenate(parts), return_inverse=True)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    pairs = np.unique(np.stack([numbers, groups]), axis=1)
    if pairs.shape[1] == len(names):
        raise ValueError("strata must hold points of two samples, got one sample in each")
    return numbers


def relabellings(
    sizes: Integers, strata: Integers | None, source: Source, count: int, bytes_each: int
) -> Iterator[list[Labels]]:
    """Draw `count` relabellings, the first of them the true one.

    Blocks (T, W) of labels come in lists of at most 256 MiB, where a point's label takes
    `bytes_each`. A block's numbers depend on the source and on the block alone.
    """
    true = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    width = min(_BLOCK, max(1, _HELD // (bytes_each * len(true))))
    at_once = max(1, _HELD // (bytes_each * len(true) * width))
    starts = range(0, count, width)
    for first in range(0, len(starts), at_once):
        yield [
            _block(true, strata, source, start // width, min(width, count - start))
            for start in starts[first : first + at_once]
        ]


def number_of_all(sizes: Integers, strata: Integers | None, limit: int) -> int | None:
    """How many relabellings there are that differ, within the strata; None for more than `limit`.

    A multinomial coefficient for each stratum.
    """
    total = 1
    for counts in _counts(sizes, strata)[1]:
        log = math.lgamma(sum(counts) + 1) - sum(math.lgamma(count + 1) for count in counts)
        if log > math.log(limit) + 1:  # too large to be multiplied out
            return None
        for last, count in zip(accumulate(counts), counts, strict=True):
            total *= math.comb(last, count)
        if total > limit:
            return None
    return total


def all_relabellings(
    sizes: Integers, strata: Integers | None, bytes_each: int
) -> Iterator[list[Labels]]:
    """Every relabelling once, the true one first, in lists of one block of at most 256 MiB."""
    places, counts = _counts(sizes, strata)
    true = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    width = max(1, _HELD // (bytes_each * len(true)))
    rows: list[Labels] = []
    for choice in product(*map(_arrangements, counts)):
        row = np.empty_like(true)
        for part, labels in zip(places, choice, strict=True):
            row[part] = labels
        rows.append(row)
        if len(rows) == width:
            yield [np.ascontiguousarray(np.stack(rows).T)]
            rows = []
    if rows:
        yield [np.ascontiguousarray(np.stack(rows).T)]


def _counts(
    sizes: Integers, strata: Integers | None
) -> tuple[list[Integers], list[tuple[int, ...]]]:
    """The places of each stratum's points, and how many of each sample it holds."""
    true = np.repeat(np.arange(len(sizes)), sizes)
    numbers = np.zeros(len(true), np.int64) if strata is None else strata
    places = [np.flatnonzero(numbers == k) for k in range(int(numbers.max()) + 1)]
    counts = [tuple(np.bincount(true[p], minlength=len(sizes)).tolist()) for p in places]
    return places, counts


def _arrangements(counts: tuple[int, ...], group: int = 0) -> Iterator[Labels]:
    """Ways to give so many points the labels of the groups, in lexicographic order."""
    total = sum(counts)
    if len(counts) == 1:
        yield np.full(total, group, np.uint8)
        return
    for chosen in combinations(range(total), counts[0]):
        rest = np.ones(total, bool)
        rest[list(chosen)] = False
        for others in _arrangements(counts[1:], group + 1):
            labels = np.full(total, group, np.uint8)
            labels[rest] = others
            yield labels


def _block(
    true: Labels, strata: Integers | None, source: Source, number: int, width: int
) -> Labels:
    """One block of relabellings (T, W)."""
    rng = source.host(1 + number, 0)
    relabel = (lambda: rng.permutation(true)) if strata is None else _within(true, strata, rng)
    labels = np.empty((width, len(true)), np.uint8)
    for row in labels:
        row[:] = relabel()
    if number == 0:
        labels[0] = true
    return np.ascontiguousarray(labels.T)


def _within(true: Labels, strata: Integers, rng: np.random.Generator) -> Callable[[], Labels]:
    """Relabellings that keep the labels of each stratum inside it."""
    in_order = true[np.argsort(strata, kind="stable")]

    def relabel() -> Labels:
        # half, so that no rounding lifts a point into the next stratum
        places = np.argsort(strata + 0.5 * rng.random(len(true)))
        labels = np.empty_like(true)
        labels[places] = in_order
        return labels

    return relabel
