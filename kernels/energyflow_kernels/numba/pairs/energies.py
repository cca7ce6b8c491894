"""Energy distances of weighted point sets by sums over all pairs, on the CPU."""

import math
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...typing import Doubles, Floats
from ..rows import locked
from ..threads import share, usable_threads
from .blocks import scratch, sum_pairs
from .panels import SIDE
from .points import NOTHING, pooled
from .profiles import POWER


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
    Each pair within a set is visited once. All is computed in float64, and from differences of
    coordinates for float64 points and in up to 8 dimensions. Squared distances and gradients of
    float32 points in more dimensions are matrix products in float64: |p|^2 + |q|^2 - 2 <p, q>, with
    a relative error below 64 (d + 4) 2^-53, for a tile of pairs that has a square below 1/64 of
    |p|^2 + |q|^2 is computed anew from differences. Both are invisible in float32. Squared
    distances below 2^-1000 of the extent's square count as zero. Memory: a copy of the points, and
    2 MiB a thread at most. The results are the same bits for every number of threads.
    """
    if tuple(wrt) == ("y",):  # the distance is symmetric, and gradients begin with the first set
        value, gy, _ = pair_energies(
            y, x, b, a,
            exponent=exponent, self_scales=self_scales[::-1], n_threads=n_threads,
        )  # fmt: skip
        return value, None, gy
    (sets, n, d), m = x.shape, y.shape[1]
    points = pooled(x, y, exponent)
    if a is None and b is None:
        charges, charges_step = _uniform(n, m), 0
    else:
        both, charges_step = np.empty((sets, n + m)), n + m
        both[:, :n], both[:, n:] = (1 / n if a is None else a), (1 / m if b is None else b)
        charges = locked(both.reshape(-1))
    factors = np.empty((sets, 3))
    factors[:, 0] = 2.0
    for which, s in enumerate(self_scales):
        factors[:, 1 + which] = -2.0 * (np.asarray(s).reshape(-1))
    wanted = n + m if "y" in wrt else n if "x" in wrt else 0
    gradient = np.zeros(sets * wanted * d)
    threads = usable_threads() if n_threads is None else n_threads
    items, rounds = _schedule(n, m, d, "x" in wrt, "y" in wrt)
    values = np.empty((sets, len(items)))

    def run(first_set: int, last_set: int, first_item: int, last_item: int) -> None:
        sum_pairs(
            points.doubles, points.singles, n + m, d, charges, charges_step, items, factors,
            POWER, np.full(sets, float(exponent)), 0.0, points.exact,
            NOTHING, gradient, wanted, values, *scratch(d),
            first_set, last_set, first_item, last_item,
        )  # fmt: skip

    if len(rounds) == 1:
        block = max(1, -(-sets // (8 * threads)))
        share(lambda _, start, stop: run(start, stop, 0, len(items)), sets, block, threads)
    else:
        for s, (low, high) in product(range(sets), rounds):
            work = partial(_of_items, run, s, low)
            share(work, high - low, 1, threads)
    value = np.array([_sum(row) for row in values.tolist()])
    g = gradient.reshape(sets, wanted, d)
    if points.sizes is not None:
        value *= points.sizes**exponent
        g *= points.sizes[:, None, None] ** (exponent - 1)
    return value, g[:, :n] if "x" in wrt else None, g[:, n:] if "y" in wrt else None


def _of_items(
    run: Callable[..., None], s: int, low: int, thread: int, start: int, stop: int
) -> None:
    run(s, s + 1, low + start, low + stop)


def _sum(numbers: list[float]) -> float:
    return math.fsum(numbers) if math.isfinite(sum(numbers)) else math.nan


@lru_cache(4)
def _uniform(n: int, m: int) -> Doubles:
    """Equal weights of n points, and of m more."""
    return locked(np.repeat([1 / n, 1 / m], [n, m]))


@lru_cache(64)
def _schedule(
    n: int, m: int, d: int, of_x: bool, of_y: bool
) -> tuple[NDArray[np.int64], tuple[tuple[int, int], ...]]:
    """Items for `sum_pairs`, and rounds of them in which no block is met twice.

    It depends on the sizes alone, so that sums have one order for every number of threads.
    """
    total = n + m
    work = total * total * (20 + d)  # some 0.025 ns each
    count = 2 if work < 1 << 24 else 8 if work < 1 << 28 else 32
    size = max(n, m) if count == 2 else max(SIDE, -(-total // (count * SIDE)) * SIDE)
    blocks = [
        (which, start, min(start + size, stop))
        for which, first, stop in ((1, 0, n), (2, n, total))
        for start in range(first, stop, size)
    ]
    wanted = {0: of_x + 2 * of_y, 1: 3 * of_x, 2: 3 * of_y}  # sides whose gradients are
    items = [[(start, stop, start, stop, which, wanted[which]) for which, start, stop in blocks]]
    circle: list[Any] = [*blocks, *([None] if len(blocks) % 2 else [])]
    for _ in range(len(circle) - 1):
        pairs = zip(circle[: len(circle) // 2], circle[::-1], strict=False)
        met = [tuple(sorted(pair)) for pair in pairs if None not in pair]
        whiches = [0 if p[0] != q[0] else p[0] for p, q in met]
        items.append([
            (*p[1:], *q[1:], which, wanted[which])
            for which, (p, q) in zip(whiches, met, strict=True)
        ])  # fmt: skip
        circle = [circle[0], circle[-1], *circle[1:-1]]
    if count == 2:
        items = [[item for part in items for item in part]]
    ends = np.cumsum([0, *map(len, items)])
    rounds = tuple(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
    return np.array([item for part in items for item in part], np.int64), rounds
