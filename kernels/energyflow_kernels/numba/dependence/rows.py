"""Distance covariances of pairs of rows, and of many permutations of one, from two sorts a pair."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...typing import Doubles
from ..compiler import compiled
from ..threads import share, usable_threads
from .discordance import discordant_products, discordant_sums

_AT_ONCE = 16  # permutations that a thread takes

Weights = tuple[float, float, float]


def covariance_rows(
    xs: NDArray[np.floating[Any]],
    ys: NDArray[np.floating[Any]],
    weights: Weights,
    *,
    wrt: tuple[str, ...] = (),
    n_threads: int | None = None,
) -> tuple[Doubles, Doubles | None, Doubles | None]:
    """Squared distance covariance of each pair of rows, and its gradients, for the exponent 1.

    With distances a_ij = |x_i - x_j| and b_ij = |y_i - y_j|, their sums a_i and b_i over j, and a
    and b over all, it is w_0 sum a_ij b_ij + w_1 sum a_i b_i + w_2 a b.

    Parameters
    ----------
    xs : array (R, N)
        Rows (R, N), finite; computed in float64.
    ys : array (R, N)
        Likewise; x_i and y_i are a pair.
    weights : tuple of 3 floats
        (w_0, w_1, w_2).
    wrt : tuple of "x", "y"
        Any of "x" and "y".
    n_threads : int, optional
        All that may be used if not given.

    Returns
    -------
    arrays
        Values (R,), gradients (R, N) with respect to x and to y, or None.

    Notes
    -----
    Cost O(R N log N). Pairs that tie in one coordinate have no slope in it. The same bit for
    bit for every number of threads.
    """
    n_rows, n = xs.shape
    values = np.empty(n_rows)
    gradients = {name: np.empty((n_rows, n)) for name in ("x", "y") if name in wrt}

    def work(thread: int, start: int, stop: int) -> None:
        for row in range(start, stop):
            pair = _Pair.of(xs[row], ys[row], tied=bool(gradients))
            if not gradients:
                values[row] = pair.moments(pair.rank) @ weights
                continue
            values[row], slopes = pair.slopes(weights)
            for name, gradient in gradients.items():
                gradient[row] = slopes[name]

    share(work, n_rows, 1, usable_threads() if n_threads is None else n_threads)
    return values, gradients.get("x"), gradients.get("y")


def permuted_moments(xs: Doubles, ys: Doubles, permutations: NDArray[np.integer[Any]]) -> Doubles:
    """Sums over rows of sum a_ij b_ij, sum a_i b_i and a b, for permutations of the y.

    Parameters
    ----------
    xs : array (R, N)
        Rows (R, N), finite.
    ys : array (R, N)
        Likewise; all are permuted alike.
    permutations : integer array (W, N)
        (W, N); x_i gets the y of place permutations[w, i].

    Returns
    -------
    arrays
        (W, 3).

    Notes
    -----
    Cost O(R W N log N); the rows are sorted once.
    """
    n_rows = len(xs)
    pairs = [_Pair.of(x, y) for x, y in zip(xs, ys, strict=True)]
    parts = -(-len(permutations) // _AT_ONCE)
    sums = np.empty((n_rows, len(permutations), 3))

    def work(thread: int, start: int, stop: int) -> None:
        for item in range(start, stop):
            row, part = divmod(item, parts)
            pair = pairs[row]
            chosen = slice(part * _AT_ONCE, (part + 1) * _AT_ONCE)
            ranks, scratch = pair.ranks_as_given(), pair.scratch()
            for place, permutation in zip(sums[row, chosen], permutations[chosen], strict=True):
                place[:] = pair.moments(ranks[permutation[pair.order]], scratch)

    share(work, n_rows * parts, 1, usable_threads())
    total: Doubles = sums.sum(axis=0)
    return total


@dataclass(frozen=True, eq=False)
class _Pair:
    """Pairs (x_i, y_i) in the order of x, and the y in their own."""

    order: NDArray[np.int64]  # of the points by x
    x: Doubles  # sorted, around its middle
    y: Doubles  # likewise
    rank: NDArray[np.int32]  # among the y, of the points sorted by x
    sums_x: Doubles  # of distances to all others, of the sorted x
    sums_y: Doubles

    @classmethod
    def of(cls, x: NDArray[Any], y: NDArray[Any], tied: bool = False) -> _Pair:
        """Sort both; if ties matter, those of x are in the order of y, and the other way round."""
        first, second = (_centred(v) for v in (x, y))
        order = np.argsort(first)
        by_x = first[order]
        if tied and (by_x[1:] == by_x[:-1]).any():
            order = np.lexsort((second, first))
        along = second[order]
        order_y = np.argsort(along, kind="stable" if tied else None)
        rank = np.empty(len(x), np.int32)
        rank[order_y] = np.arange(len(x), dtype=np.int32)
        by_y = along[order_y]
        return cls(order, by_x, by_y, rank, _distance_sums(by_x), _distance_sums(by_y))

    def ranks_as_given(self) -> NDArray[np.int32]:
        """Ranks among the y of the points in their first order."""
        ranks = np.empty_like(self.rank)
        ranks[self.order] = self.rank
        return ranks

    def scratch(self) -> tuple[Doubles, NDArray[np.int32]]:
        """Room for a pass."""
        return np.empty((4, len(self.x))), np.empty((2, len(self.x)), np.int32)

    def moments(self, rank: NDArray[np.int32], scratch: Any = None) -> Doubles:
        """Sum a_ij b_ij, sum a_i b_i and a b of the pairs with these ranks."""
        return np.array(
            _moments(self.x, self.y, rank, self.sums_x, self.sums_y, *(scratch or self.scratch()))
        )

    def slopes(self, weights: Weights) -> tuple[float, dict[str, Doubles]]:
        """The weighted sum of the moments, and its gradients in the first order of the points."""
        n = len(self.x)
        sums = np.empty((n, 3))
        discordant_sums(self.x, self.y, self.rank, sums, *self.scratch())
        by_rank = np.empty(n, np.int64)
        by_rank[self.rank] = np.arange(n)
        x, sums_x = self.x[by_rank], self.sums_x[by_rank]
        back = self.order[by_rank]
        sides = {
            "x": (self.x, self.y[self.rank], sums[self.rank, 0], sums[self.rank, 2],
                  self.sums_y[self.rank], self.order),
            "y": (self.y, x, sums[:, 0], sums[:, 1], sums_x, back),
        }  # fmt: skip
        slopes: dict[str, Doubles] = {}
        for name, (own, other, count, total, sums, places) in sides.items():
            # sum over j of |other_i - other_j| sign(own_i - own_j)
            pull = n * other - other.sum() - 2 * (count * other - total)
            low, high = _tied(own)
            if (high - low > 1).any():
                pull -= (high - low) * other - _between(other, low, high)
            if name == "x":
                product = 2 * float((own * pull).sum())  # not BLAS: it has threads too
            signs = low - (n - high)
            below = np.concatenate([[0.0], np.cumsum(sums)])
            signed = below[low] - (below[-1] - below[high])
            slope = np.empty(n)
            slope[places] = 2 * (
                weights[0] * pull
                + weights[1] / 2 * (sums * signs + signed)
                + weights[2] * sums.sum() * signs
            )
            slopes[name] = slope
        moments = (
            product,
            float((self.sums_x * self.sums_y[self.rank]).sum()),
            self.sums_x.sum() * self.sums_y.sum(),
        )
        return float(np.dot(moments, weights)), slopes


@compiled("contract")
def _moments(x, y, rank, sums_x, sums_y, scratch, ranks):
    n = x.size
    total_x, total_y, product, sums, all_x, all_y = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        v = y[rank[k]]
        total_x += x[k]
        total_y += v
        product += x[k] * v
        sums += sums_x[k] * sums_y[rank[k]]
        all_x += sums_x[k]
        all_y += sums_y[k]
    apart = discordant_products(x, y, rank, scratch, ranks)
    return 2 * (n * product - total_x * total_y) + 4 * apart, sums, all_x * all_y


def _centred(row: NDArray[Any]) -> Doubles:
    wide = row.astype(np.float64)
    centred: Doubles = wide - (0.5 * wide.min() + 0.5 * wide.max())
    return centred


def _distance_sums(row: Doubles) -> Doubles:
    """Sums over j of |x_i - x_j|, of a sorted row."""
    n = len(row)
    upto = np.cumsum(row)
    sums: Doubles = row * (2.0 * np.arange(1, n + 1) - n) + (upto[-1] - 2 * upto)
    return sums


def _tied(row: Doubles) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places where the numbers equal to each begin and end in a sorted row."""
    edges = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1], [True]]))
    sizes = np.diff(edges)
    return np.repeat(edges[:-1], sizes), np.repeat(edges[1:], sizes)


def _between(row: Doubles, low: NDArray[np.int64], high: NDArray[np.int64]) -> Doubles:
    upto = np.concatenate([[0.0], np.cumsum(row)])
    between: Doubles = upto[high] - upto[low]
    return between
