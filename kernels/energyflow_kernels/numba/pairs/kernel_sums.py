"""Sums of radial kernels over all pairs of points, on the CPU."""

import numpy as np

from ..rows import Doubles, Floats, locked
from ..threads import share, usable_threads
from .blocks import block_sums
from .panels import SIDE
from .points import by_differences, middles_of, sizes_of
from .profiles import GAUSS, MATERN, POWER

_ROWS = 4 * SIDE  # points of x that one call takes
_SHARED_PAIRS = 1 << 14  # from which waking a second thread pays


def pair_sums(
    x: Floats,
    y: Floats,
    w: Doubles,
    profile: tuple[int, float, float],
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
        The kind of F and its two numbers, see `profiles`.
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
    x, y = (np.require(points, None, ("C", "A")) for points in (x, y))
    exact = by_differences(x)
    middle = np.zeros((sets, d)) if exact else middles_of(x, y)
    kind, first, second = profile
    sizes = np.ones(sets)
    if x.dtype == np.float64:
        sizes = sizes_of(x, y, first if kind == POWER else 1.0)
    firsts = np.full(sets, first) * {POWER: np.ones(sets), GAUSS: 1 / sizes, MATERN: sizes}[kind]
    flat_x, flat_y = (locked(v.reshape(sets, -1)) for v in (x, y))
    weights, ones = locked(np.ascontiguousarray(w, np.float64)), locked(np.ones(n))
    rows = np.zeros((sets, 0 if gradient else n))
    out = np.zeros((sets, n * d if gradient else 0))
    nothing = np.empty(0)
    blocks = -(-n // _ROWS)

    def work(thread: int, start: int, stop: int) -> None:
        for k in range(start, stop):
            s, i = divmod(k, blocks)
            block_sums(
                flat_x[s], i * _ROWS, min((i + 1) * _ROWS, n), ones, flat_y[s], 0, m, weights[s], d,
                middle[s], 1 / sizes[s], kind, firsts[s], second, rows[s], out[s], nothing, 1.0,
                False, exact,
            )  # fmt: skip

    threads = usable_threads() if n_threads is None else n_threads
    share(work, sets * blocks, 1, threads if sets * n * m >= _SHARED_PAIRS else 1)
    sums = out if gradient else rows
    if (sizes != 1).any():
        power = first if kind == POWER else 0.0
        sums *= sizes[:, None] ** (power - 1 if gradient else power)
    return out.reshape(x.shape) if gradient else rows
