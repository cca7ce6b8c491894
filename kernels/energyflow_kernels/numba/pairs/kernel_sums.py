"""Sums of radial kernels over all pairs of points, on the CPU."""

import math

import numpy as np

from ...typing import Doubles, Floats
from ..rows import locked
from ..threads import share, usable_threads
from .blocks import scratch, sum_pairs
from .panels import SIDE
from .points import NOTHING, pooled
from .profiles import GAUSS, KINDS, MATERN, POWER

_ROWS = 4 * SIDE  # points of x that one call takes
_SHARED_PAIRS = 1 << 14  # from which waking a second thread pays


def pair_sums(
    x: Floats,
    y: Floats,
    w: Floats,
    profile: tuple[str, float, float],
    *,
    gradient: bool = False,
    n_threads: int | None = None,
) -> Doubles:
    r"""Sums over j of w_j F(|x_i - y_j|), or their gradients.

    Parameters
    ----------
    x, y : arrays (B, N, d) and (B, M, d)
        Points, float32 or float64.
    w : array (B, M)
        Weights of y, of any sign.
    profile : tuple (kind, first, second)
        The kind of F, "power", "gauss" or "matern", and its two numbers: see `profiles`.
    gradient : bool
        Whether sum_j w_j F'(|x_i - y_j|) (x_i - y_j) / |x_i - y_j| is wanted instead; points that
        coincide add nothing to it.
    n_threads : int, optional
        Threads at most; all when not given (see `usable_threads`).

    Returns
    -------
    array (B, N), or (B, N, d) where the gradient is wanted
        float64.

    Notes
    -----
    Time B N M (d + some twenty operations), memory as `pair_energies`. The results are the same
    bits for every number of threads.
    """
    (sets, n, d), m = x.shape, y.shape[1]
    kind, first, second = KINDS[profile[0]], *profile[1:]
    lengths = {POWER: math.inf, GAUSS: first, MATERN: 1 / first}
    points = pooled(x, y, first if kind == POWER else 1.0, lengths[kind])
    firsts = np.full(sets, float(first))
    if points.sizes is not None and kind != POWER:
        firsts = firsts / points.sizes if kind == GAUSS else firsts * points.sizes
    charges = np.ones((sets, n + m))
    charges[:, n:] = w
    items = np.array([
        (i, min(i + _ROWS, n), n, n + m, 0, gradient) for i in range(0, n, _ROWS)
    ], np.int64)  # fmt: skip
    rows = NOTHING if gradient else np.zeros(sets * n)
    slopes = np.zeros(sets * n * d) if gradient else NOTHING
    values, factors = np.empty((sets, len(items))), np.ones((sets, 1))

    def work(thread: int, start: int, stop: int) -> None:
        for k in range(start, stop):
            s, item = divmod(k, len(items))
            sum_pairs(
                points.doubles, points.singles, n + m, d, locked(charges.reshape(-1)), n + m,
                items, factors, kind, firsts, float(second), points.exact,
                rows, slopes, n, values, *scratch(d),
                s, s + 1, item, item + 1,
            )  # fmt: skip

    threads = usable_threads() if n_threads is None else n_threads
    share(work, sets * len(items), 1, threads if sets * n * m >= _SHARED_PAIRS else 1)
    sums = slopes.reshape(sets, n, d) if gradient else rows.reshape(sets, n)
    if points.sizes is not None:
        power = first if kind == POWER else 0.0
        grown = points.sizes ** (power - 1 if gradient else power)
        sums *= grown[:, None, None] if gradient else grown[:, None]
    return sums
