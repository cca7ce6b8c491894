"""Energy distances of weighted point sets by sums over all pairs, on the CPU."""

import math
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rows import Doubles, Floats, locked
from ..threads import share, usable_threads
from .blocks import set_energies
from .panels import SIDE
from .points import by_differences, middles_of, sizes_of


def pair_energies(
    x: Floats,
    y: Floats,
    a: Floats | None = None,
    b: Floats | None = None,
    *,
    exponent: float = 1.0,
    self_scales: tuple[Any, Any] = (1.0, 1.0),
    wrt: Collection[str] = ("x",),
    n_threads: int | None = None,
) -> tuple[Doubles, Floats | None, Floats | None]:
    r"""Energy distances of pairs of weighted point sets, and their gradients.

    E = 2 sum a_i b_j |x_i - y_j|^r - s_x sum a_i a_k |x_i - x_k|^r - s_y sum b_j b_l |y_j - y_l|^r

    Parameters
    ----------
    x, y : arrays (B, N, d) and (B, M, d)
        Points, float32 or float64.
    a, b : arrays (B, N) and (B, M), optional
        Weights; uniform when not given.
    exponent : float
        The power r, 0 < r < 2.
    self_scales : pair of numbers or arrays (B,)
        The factors s_x and s_y.
    wrt : collection of str
        Which gradients are wanted, of "x" and "y".
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    values : array (B,)
        float64; NaN for sets that are not finite.
    gx, gy : arrays (B, N, d) and (B, M, d), or None
        Gradients in float64; None where not wanted.

    Notes
    -----
    Each pair within a set is visited once. All is computed in float64 and from differences of
    coordinates; gradients of float32 points in more than 8 dimensions are matrix products, whose
    rounding in float64 is invisible in float32. Squared distances below 2^-1000 of the extent's
    square count as zero. Memory beside the output: some 2 MiB a thread at most. The results are
    the same bits for every number of threads.
    """
    (sets, n, d), m = x.shape, y.shape[1]
    x, y = (np.require(points, None, ("C", "A")) for points in (x, y))
    exact = by_differences(x)
    sizes = np.ones(sets) if x.dtype == np.float32 else sizes_of(x, y, exponent)
    middle = np.zeros((sets, d)) if exact else middles_of(x, y)
    (flat_a, a_step), (flat_b, b_step) = _weights(a, n), _weights(b, m)
    s_x, s_y = (np.broadcast_to(np.reshape(s, -1), sets).astype(np.float64) for s in self_scales)
    gx = np.zeros(x.shape if "x" in wrt else 0)
    gy = np.zeros(y.shape if "y" in wrt else 0)
    threads = usable_threads() if n_threads is None else n_threads
    items, rounds = _schedule(n, m, d)
    values = np.empty((sets, len(items)))
    rest = (
        locked(x.reshape(-1)), flat_a, a_step, gx.reshape(-1),
        locked(y.reshape(-1)), flat_b, b_step, gy.reshape(-1),
        n, m, d, middle, 1 / sizes, exponent, s_x, s_y, exact, values,
    )  # fmt: skip
    if len(rounds) == 1:

        def of_sets(thread: int, start: int, stop: int) -> None:
            set_energies(start, stop, items, 0, len(items), *rest)

        share(of_sets, sets, max(1, -(-sets // (8 * threads))), threads)
    else:
        for s in range(sets):
            for low, high in rounds:

                def of_items(
                    thread: int, start: int, stop: int, s: int = s, low: int = low
                ) -> None:
                    set_energies(s, s + 1, items, low + start, low + stop, *rest)

                share(of_items, high - low, 1, threads)
    value = np.array([math.fsum(row) if np.isfinite(row).all() else np.nan for row in values])
    value *= sizes**exponent
    grown = sizes ** (exponent - 1)
    if exponent != 1 or (sizes != 1).any():
        for g in (gx, gy):
            if g.size:
                g *= grown[:, None, None]
    return value, gx if "x" in wrt else None, gy if "y" in wrt else None


def _weights(weights: Floats | None, n: int) -> tuple[Doubles, int]:
    if weights is None:
        return locked(np.full(n, 1 / n)), 0
    flat: Doubles = np.ascontiguousarray(weights, np.float64)
    return locked(flat.reshape(-1)), n


@lru_cache(64)
def _schedule(n: int, m: int, d: int) -> tuple[NDArray[np.int64], tuple[tuple[int, int], ...]]:
    """Items for `set_energies`, and rounds of them in which no block is met twice.

    It depends on the sizes alone, so that sums have one order for every number of threads.
    """
    total = n + m
    work = total * total * (20 + d)  # some 0.025 ns each
    count = 2 if work < 1 << 24 else 8 if work < 1 << 28 else 32
    size = max(n, m) if count == 2 else max(SIDE, -(-total // (count * SIDE)) * SIDE)
    blocks = [
        (which, start, min(start + size, stop))
        for which, stop in ((1, n), (2, m))
        for start in range(0, stop, size)
    ]
    items = [[(which, start, stop, start, stop) for which, start, stop in blocks]]
    circle: list[Any] = [*blocks, *([None] if len(blocks) % 2 else [])]
    for _ in range(len(circle) - 1):
        pairs = zip(circle[: len(circle) // 2], circle[::-1], strict=False)
        met = [tuple(sorted(pair)) for pair in pairs if None not in pair]
        items.append([
            (0 if p[0] != q[0] else p[0], *p[1:], *q[1:]) for p, q in met
        ])  # fmt: skip
        circle = [circle[0], circle[-1], *circle[1:-1]]
    if count == 2:
        items = [[item for part in items for item in part]]
    ends = np.cumsum([0, *map(len, items)])
    rounds = tuple(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
    return np.array([item for part in items for item in part], np.int64), rounds
