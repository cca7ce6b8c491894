"""Sums over slices in chunks: some slices and some pairs of sets at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ._arrays import Array, namespace
from ._point_sets import PointSets, Result, added, zeros
from ._projector import Projector


def summed_over_blocks(
    sets: PointSets,
    blocks: Iterable[Projector],
    at_once: int,
    wrt: tuple[str, ...],
    compute: Callable[[PointSets, Projector], Result],
) -> Result:
    """Sums over the blocks of what `compute` gives, for `at_once` pairs of sets at a time.

    The pairs are joined again. Without blocks, as in a process that gets none of the slices, value
    and gradients are zero.
    """
    batch = sets.x.shape[0]
    parts = [sets.part(slice(k, min(k + at_once, batch))) for k in range(0, batch, at_once)]
    sums: dict[int, Result] = {}
    # drawn once for all sets: a stream of random numbers does not give them again
    for block in blocks:
        for k, part in enumerate(parts):
            new = compute(part, block)
            sums[k] = added(sums[k], new) if k in sums else new
    if not sums:
        return zeros(sets, wrt)
    values, *gradients = zip(*sums.values(), strict=True)
    gx, gy = (None if pieces[0] is None else _joined(pieces) for pieces in gradients)
    return _joined(values), gx, gy


def _joined(pieces: Sequence[Array]) -> Array:
    return pieces[0] if len(pieces) == 1 else namespace(pieces[0]).concat(pieces, axis=0)
