"""Backends whose slices or points are shared among processes: exact sums, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from .._arrays import Array, describe, dtype_name, namespace
from .._base import Backend, Result
from .._projector import Blocks, Projector
from .processes import Sharding, sharding


def shared(backend: Backend, x: Array) -> Backend:
    """The backend for arrays like `x` as its work is shared here, or as it is."""
    here = sharding()
    if here is None:
        return backend
    if describe(x).traced:
        raise TypeError(f"sharded sums need arrays whose values are known, got {describe(x)}")
    return (_SharedPoints if here.parted else _SharedSlices)(backend, here)


def need_whole_sets(what: str) -> None:
    """Refuse what would take this process's points for all of them."""
    here = sharding()
    if here is not None and here.parted:
        raise ValueError(
            f'{what} need all points in one process: inside sharded("particles") there are only '
            "sliced energy distances, their gradients and flows"
        )


def _same_in_all(
    inner: Backend, x: Array, a: Array | None, b: Array | None, projector: Blocks, how: Any
) -> dict[str, object]:
    """What processes must agree on: with other numbers, or other chunks, sums would be wrong."""
    return {
        "backend": inner.name,
        "dtype": dtype_name(x),
        "batch": x.shape[0],
        "d": x.shape[2],
        "projections": projector.n_projections,
        "weights": [name for name, weights in (("a", a), ("b", b)) if weights is not None],
        **how,
    }


class _SharedSlices(Backend):
    """Every process has all points and a share of the slices; sums are added up at the end."""

    def __init__(self, inner: Backend, here: Sharding) -> None:
        self._inner, self._here = inner, here

    def sliced_value_and_gradient(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        projector: Blocks,
        **how: Any,
    ) -> Result:
        same = _same_in_all(self._inner, x, a, b, projector, how)
        self._here.agreed({**same, "n": x.shape[1], "m": y.shape[1]})
        share = _Share(projector, self._here)
        results = self._inner.sliced_value_and_gradient(x, y, a, b, share, **how)
        totals = iter(self._here.summed(*(v for v in results if v is not None)))
        value, gx, gy = (None if v is None else next(totals) for v in results)
        return value, gx, gy


@dataclass(frozen=True, eq=False)
class _Share:
    """A projector whose blocks are those that fall to this process.

    It keeps the constant and the number of slices of the whole, by which sums are scaled.
    """

    whole: Blocks
    here: Sharding

    @property
    def n_projections(self) -> int:
        """Of the whole."""
        return self.whole.n_projections

    def constant(self, exponent: float) -> float:
        """Of the whole."""
        return self.whole.constant(exponent)

    def blocks(self, size: int) -> Iterator[Projector]:
        """Each block goes to the process that has had the fewest slices so far."""
        processes, n = self.here.size, self.whole.n_projections
        rounds = -(-n // (processes * size))
        loads = [0] * processes
        for block in self.whole.blocks(-(-n // (processes * rounds))):
            taker = loads.index(min(loads))
            loads[taker] += block.n_projections
            if taker == self.here.rank:
                yield block


class _SharedPoints(Backend):
    """Every process has a part of the points: how many, they tell each other with each call."""

    def __init__(self, inner: Backend, here: Sharding) -> None:
        self._inner, self._here = inner, here

    def sliced_value_and_gradient(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        projector: Blocks,
        **how: Any,
    ) -> Result:
        same = _same_in_all(self._inner, x, a, b, projector, how)
        found = self._here.agreed(same, x.shape[1], y.shape[1])
        counts = [n for n, _ in found], [m for _, m in found]
        exchange = _ExchangedRows(self._inner, self._here, counts)
        return exchange.sliced_value_and_gradient(x, y, a, b, projector, **how)


class _ExchangedRows(Backend):
    """Every process projects its points, and sorts whole rows of a share of the slices.

    For each chunk of slices the projected points are exchanged so that each process has whole
    rows of its share, and their gradients are sent back to whose points they are.
    """

    def __init__(self, inner: Backend, here: Sharding, points: tuple[list[int], list[int]]) -> None:
        self._inner, self._here = inner, here
        self._points = points  # of x and of y in each process

    def sliced_value_and_gradient(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        projector: Blocks,
        **how: Any,
    ) -> Result:
        a, b = (
            None if w is None else self._joined_weights(w, counts)
            for w, counts in zip((a, b), self._points, strict=True)
        )
        value, gx, gy = super().sliced_value_and_gradient(x, y, a, b, projector, **how)
        return self._here.summed(value)[0], gx, gy

    def extremes(self, x: Array) -> tuple[Array, Array]:
        low, high = self._inner.extremes(x)
        low, high = self._here.largest(-low, high)
        return -low, high

    def slices_at_once(self, n: int, m: int, d: int, exponent: float) -> int:
        """As many for each process as whole rows would take in one."""
        n, m = map(sum, self._points)
        return self._here.size * Backend.slices_at_once(self._inner, n, m, d, exponent)

    def sets_at_once(self, slices: int, n: int, m: int) -> int:
        n, m = map(sum, self._points)
        return self._inner.sets_at_once(-(-slices // self._here.size), n, m)

    def block(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        projector: Projector,
        *,
        exponent: float,
        estimator: str,
        wrt: tuple[str, ...],
        scale: float,
    ) -> Result:
        xp, inner = namespace(x), self._inner
        sets, n_slices = x.shape[0], projector.n_projections
        shares = [stop - start for start, stop in pairwise(self._here.bounds(n_slices))]
        mine = shares[self._here.rank]
        rows = [
            self._whole_rows(inner.project(projector, v), shares, counts)
            for v, counts in zip((x, y), self._points, strict=True)
        ]  # (share B, N), (share B, M)
        weights = (
            None if w is None
            else xp.reshape(xp.broadcast_to(w[None, ...], (mine, *w.shape)), (-1, w.shape[1]))
            for w in (a, b)
        )  # fmt: skip
        if mine:
            value, *slopes = inner.rows(
                *rows, *weights, exponent=exponent, estimator=estimator, wrt=wrt
            )
        else:  # fewer slices than processes: no rows are no values, and their own empty slopes
            value, *slopes = (xp.sum(rows[0], axis=1), *rows)

        def back(name: str, side: int) -> Array | None:
            if name not in wrt:
                return None
            own = self._own_columns(slopes[side], shares, self._points[side], sets)
            return inner.project_back(projector, own, scale)

        return xp.sum(xp.reshape(value, (mine, sets)), axis=0) * scale, back("x", 0), back("y", 1)

    def _whole_rows(self, projected: Array, shares: list[int], counts: list[int]) -> Array:
        """A share of whole rows (share B, N), of all processes' projected points (B, P, N_k)."""
        xp = namespace(projected)
        sets, mine = projected.shape[0], shares[self._here.rank]
        rows = xp.permute_dims(projected, (1, 0, 2))
        came = self._here.exchanged(
            [rows[i:j, ...] for i, j in _ranges(shares)],
            [(mine * sets, count) for count in counts],
        )
        return xp.concat(came, axis=1)

    def _own_columns(self, slopes: Array, shares: list[int], counts: list[int], sets: int) -> Array:
        """The slopes of this process's points (B, P, N_k), of whole rows (share B, N)."""
        xp = namespace(slopes)
        own = counts[self._here.rank]
        came = self._here.exchanged(
            [slopes[:, i:j] for i, j in _ranges(counts)],
            [(share * sets, own) for share in shares],
        )
        return xp.permute_dims(xp.reshape(xp.concat(came), (-1, sets, own)), (1, 0, 2))

    def _joined_weights(self, weights: Array, counts: list[int]) -> Array:
        """Those of all points (B, N)."""
        sets = weights.shape[0]
        came = self._here.exchanged([weights] * self._here.size, [(sets, n) for n in counts])
        return namespace(weights).concat(came, axis=1)


def _ranges(counts: list[int]) -> Iterator[tuple[int, int]]:
    """Where parts of so many things begin and end."""
    return pairwise([0, *accumulate(counts)])
