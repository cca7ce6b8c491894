"""Backends whose slices or points are shared among processes: exact sums, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from .._arrays import Array, describe, dtype_name, namespace
from .._base import Backend
from .._point_sets import PointSets, Request, Result
from .._projector import Blocks, Projector
from .processes import Sharding, sharding


def shared(backend: Backend, here: Sharding, x: Array) -> Backend:
    """The backend for arrays like `x` as its work is shared here."""
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
    inner: Backend, sets: PointSets, projector: Blocks, request: Request
) -> dict[str, object]:
    """What processes must agree on: with other numbers, or other chunks, sums would be wrong."""
    return {
        "backend": inner.name,
        "dtype": dtype_name(sets.x),
        "batch": sets.x.shape[0],
        "d": sets.x.shape[2],
        "projections": projector.n_projections,
        "weights": [name for name in ("a", "b") if getattr(sets, name) is not None],
        **request._asdict(),
    }


class _SharedSlices(Backend):
    """Every process has all points and a share of the slices; sums are added up at the end."""

    def __init__(self, inner: Backend, here: Sharding) -> None:
        self._inner, self._here = inner, here

    def sliced_value_and_gradient(
        self, sets: PointSets, projector: Blocks, request: Request
    ) -> Result:
        same = _same_in_all(self._inner, sets, projector, request)
        n, m = sets.counts
        self._here.agreed({**same, "n": n, "m": m})
        share = _Share(projector, self._here)
        value, *gradients = self._inner.sliced_value_and_gradient(sets, share, request)
        total, *sums = self._here.summed(value, *(g for g in gradients if g is not None))
        gx, gy = (None if g is None else sums.pop(0) for g in gradients)
        return total, gx, gy


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
    """Every process has a part of the points; they exchange how many with each call."""

    def __init__(self, inner: Backend, here: Sharding) -> None:
        self._inner, self._here = inner, here

    def sliced_value_and_gradient(
        self, sets: PointSets, projector: Blocks, request: Request
    ) -> Result:
        same = _same_in_all(self._inner, sets, projector, request)
        sizes = self._here.agreed(same, *sets.counts)
        counts = [n for n, _ in sizes], [m for _, m in sizes]
        exchange = _ExchangedRows(self._inner, self._here, counts)
        return exchange.sliced_value_and_gradient(sets, projector, request)


class _ExchangedRows(Backend):
    """Every process projects its points, and sorts whole rows of a share of the slices.

    For each chunk of slices the projected points are exchanged so that each process has whole
    rows of its share, and their gradients are sent back to whose points they are.
    """

    def __init__(self, inner: Backend, here: Sharding, points: tuple[list[int], list[int]]) -> None:
        self._inner, self._here = inner, here
        self._points = points  # of x and of y in each process

    def sliced_value_and_gradient(
        self, sets: PointSets, projector: Blocks, request: Request
    ) -> Result:
        a, b = (
            None if w is None else self._joined_weights(w, counts)
            for w, counts in zip((sets.a, sets.b), self._points, strict=True)
        )
        whole = sets._replace(a=a, b=b)
        value, gx, gy = super().sliced_value_and_gradient(whole, projector, request)
        return self._here.summed(value)[0], gx, gy

    def around_origin(self, x: Array) -> bool:
        """Processes must not differ, since `extremes` is a collective."""
        return False

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
        self, sets: PointSets, projector: Projector, request: Request, scale: float
    ) -> Result:
        xp, inner = namespace(sets.x), self._inner
        batch, n_slices = sets.x.shape[0], projector.n_projections
        shares = [stop - start for start, stop in pairwise(self._here.bounds(n_slices))]
        mine = shares[self._here.rank]
        xs, ys = (
            self._whole_rows(inner.project(projector, v), shares, counts)
            for v, counts in zip((sets.x, sets.y), self._points, strict=True)
        )  # (share B, N), (share B, M)
        weights = (
            None if w is None
            else xp.reshape(xp.broadcast_to(w[None, ...], (mine, *w.shape)), (-1, w.shape[1]))
            for w in (sets.a, sets.b)
        )  # fmt: skip
        slopes: dict[str, Array | None] = {"x": xs, "y": ys}
        if mine:
            value, slopes["x"], slopes["y"] = inner.rows(PointSets(xs, ys, *weights), request)
        else:  # fewer slices than processes: no rows are no values, and their own empty slopes
            value = xp.sum(xs, axis=1)

        def back(name: str, counts: list[int]) -> Array | None:
            rows = slopes[name]
            if name not in request.wrt or rows is None:
                return None
            own = self._own_columns(rows, shares, counts, batch)
            return inner.project_back(projector, own, scale)

        total = xp.sum(xp.reshape(value, (mine, batch)), axis=0) * scale
        return total, back("x", self._points[0]), back("y", self._points[1])

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
