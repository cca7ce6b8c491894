"""The base backend: everything in array-API code, for its subclasses to do better."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from operator import iadd
from typing import ClassVar

import array_api_compat as compat

from ._arrays import Array, ArrayInfo, known_values, namespace, widest_dtypes
from ._projector import Blocks, Projector
from .sums.pairs import COORDINATES, euclidean_distances, pair_sums

MEMORY_BUDGET = 64 * 2**20  # bytes of extra memory that a chunk of slices or a tile may take

Result = tuple[Array, Array | None, Array | None]


class Backend:
    """One implementation of the sliced and exact sums, for the arrays that it accepts.

    All arrays that reach the methods belong to one library, device and floating dtype; point sets
    are (B, N, d) and (B, M, d), weights (B, N) and (B, M) or None for uniform ones.
    """

    name: ClassVar[str] = "array-api"
    requires: ClassVar[tuple[str, ...]] = ()  # modules that must be installed
    scratch: ClassVar[int] = 12  # working numbers per projected number, at most

    # -- what it takes ---------------------------------------------------------------------------

    def missing(self) -> str | None:
        """Which of the modules that it needs are not installed, found without importing them."""
        absent = [name for name in self.requires if find_spec(name) is None]
        return f"{' and '.join(absent)} not installed" if absent else None

    def unusable(self) -> str | None:
        """Why it cannot be used on this machine, or None where it can."""
        return self.missing()

    def refuses(self, info: ArrayInfo) -> str | None:
        """Why arrays like this cannot be taken, or None where they can."""
        if info.library == "dask":
            return "Dask has no take_along_axis; compute() the arrays first"
        return None

    def lacks_pairs(self) -> str | None:
        """Why it has sliced energy distances only, or None where it has all sums."""
        return None

    def adopt(self, array: Array) -> Array:
        """The array as this backend computes with it, without a copy."""
        return array

    def restore(self, array: Array, like: Array) -> Array:
        """A result in the library and on the device of `like`."""
        return array

    # -- hooks for one library's better functions ------------------------------------------------

    def searchsorted(self, rows: Array, queries: Array, side: str) -> Array:
        """Where each query (R, K) would go in its sorted row (R, L)."""
        import array_api_extra as xpx

        return xpx.searchsorted(rows, queries, side=side)  # type: ignore[arg-type]

    def distances(self, tile: Array, z: Array) -> Array:
        """Euclidean distances (B, T, L) between (B, T, d) and (B, L, d)."""
        return euclidean_distances(tile, z)

    def project(self, projector: Projector, x: Array) -> Array:
        """Points (B, N, d) to rows (B, P, N)."""
        return projector.project(x)

    def project_back(self, projector: Projector, g: Array, scale: float = 1.0) -> Array:
        """Rows (B, P, N) to sums over the slices (B, N, d), times `scale`."""
        return projector.project_back(g) * scale

    def extremes(self, x: Array) -> tuple[Array, Array]:
        """Least and greatest number of each coordinate, (B, 1, d) both."""
        return extremes(x)

    # -- the one operation that must be fast -----------------------------------------------------

    def sliced_value_and_gradient(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        projector: Blocks,
        *,
        exponent: float,
        estimator: str,
        wrt: tuple[str, ...] = ("x",),
        chunk_size: int | None = None,
    ) -> Result:
        """Sliced energy distance (B,) and its gradients with respect to the sets in `wrt`.

        The value comes with every call: it costs little beside the sort, and it is not finite
        exactly where the data are not, which is how bad data are found.
        """
        xp = namespace(x)
        batch, n, m = x.shape[0], x.shape[1], y.shape[1]
        dtype, wide = x.dtype, widest_dtypes(x)[0]
        if exponent < 1:  # the gradient is singular at 0: projections need every bit
            x, y, a, b = (None if v is None else xp.astype(v, wide) for v in (x, y, a, b))
        x, y = centred(x, y, extremes=self.extremes)
        slices = chunk_size or self.slices_at_once(n, m, x.shape[2], exponent)
        slices = min(slices, projector.n_projections)
        sets = self.sets_at_once(slices, n, m)
        scale = projector.constant(exponent) / projector.n_projections
        parts = [slice(k, min(k + sets, batch)) for k in range(0, batch, sets)]
        sums: dict[int, Result] = {}
        # drawn once for all sets: a stream of random numbers does not give them again
        for block in projector.blocks(slices):
            for k, part in enumerate(parts):
                weights = tuple(None if w is None else w[part, :] for w in (a, b))
                new = self.block(
                    x[part, ...], y[part, ...], weights[0], weights[1], block,
                    exponent=exponent, estimator=estimator, wrt=wrt, scale=scale,
                )  # fmt: skip
                sums[k] = added(sums[k], new) if k in sums else new
        if not sums:  # a process that got none of the slices
            sums[0] = _nothing(x, y, wrt)

        def joined(parts: tuple[Array, ...]) -> Array | None:
            if parts[0] is None:
                return None
            whole = parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
            return xp.astype(whole, dtype, copy=False)

        value, gx, gy = (joined(parts) for parts in zip(*sums.values(), strict=True))
        return value, gx, gy

    def tile_numbers(self) -> int:
        """How many pairs a tile may hold within the memory budget."""
        return MEMORY_BUDGET // (8 * (Backend.scratch + 2 * COORDINATES))

    def slices_at_once(self, n: int, m: int, d: int, exponent: float) -> int:
        """How many slices of one pair of sets stay within the memory budget."""
        return max(1, MEMORY_BUDGET // (8 * self.scratch * (n + m)))

    def sets_at_once(self, slices: int, n: int, m: int) -> int:
        """How many pairs of sets stay within the memory budget, with so many slices each."""
        return max(1, MEMORY_BUDGET // (8 * self.scratch * slices * (n + m)))

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
        """Sums over the slices of one projector, times `scale`: values (B,) and gradients."""
        xp = namespace(x)
        xs, ys = self.project(projector, x), self.project(projector, y)  # (B, P, N), (B, P, M)
        shape = xs.shape[:2]

        def rows(array: Array) -> Array:
            return xp.reshape(array, (shape[0] * shape[1], array.shape[2]))

        def row_weights(weights: Array | None) -> Array | None:
            if weights is None:
                return None
            return rows(xp.broadcast_to(weights[:, None, :], (*shape, weights.shape[1])))

        value, gx, gy = self.rows(
            rows(xs), rows(ys), row_weights(a), row_weights(b),
            exponent=exponent, estimator=estimator, wrt=wrt,
        )  # fmt: skip

        def back(g: Array | None) -> Array | None:
            if g is None:
                return None
            g = xp.reshape(g, (*shape, g.shape[1]))
            return self.project_back(projector, g, scale)

        return xp.sum(xp.reshape(value, shape), axis=1) * scale, back(gx), back(gy)

    def rows(
        self,
        xs: Array,
        ys: Array,
        a: Array | None,
        b: Array | None,
        *,
        exponent: float,
        estimator: str,
        wrt: tuple[str, ...],
    ) -> Result:
        """The one-dimensional energy distance of each row, and its gradients.

        xs is (R, N), ys is (R, M), the weights are (R, N) and (R, M) or None; the value is (R,).
        """
        if exponent == 1:
            return self.sorted_rows(xs, ys, a, b, estimator=estimator, wrt=wrt)
        value, gx, gy = self.exact_value_and_gradient(
            xs[:, :, None], ys[:, :, None], a, b,
            exponent=exponent, estimator=estimator, wrt=wrt,
        )  # fmt: skip
        return value, *(None if g is None else g[:, :, 0] for g in (gx, gy))

    def sorted_rows(
        self,
        xs: Array,
        ys: Array,
        a: Array | None,
        b: Array | None,
        *,
        estimator: str,
        wrt: tuple[str, ...],
    ) -> Result:
        """`rows` for r = 1 by one sort of the pooled row, counts or weights summed along it.

        Left and right limits of the distribution functions are looked up at each point's own
        place, so no permutation is inverted, ties get mid-ranks, and nothing depends on the order
        of the points.
        """
        xp = namespace(xs)
        n, m = xs.shape[1], ys.shape[1]
        wide, _ = widest_dtypes(xs)
        order, pooled = self.pooled_order(xp.concat([xs, ys], axis=1))  # (R, L)
        above_a, above_b = self._cumulated(order, n, m, a, b)  # (R, L)
        pooled_wide = xp.astype(pooled, wide)
        gaps = pooled_wide[:, 1:] - pooled_wide[:, :-1]
        s_x, s_y = self_scales(a, b, n, m, estimator)
        difference = cdf_difference(above_a, above_b, n, m, a, b)
        value = 2 * xp.sum(gaps * difference[:, :-1] ** 2, axis=1)
        if estimator == "U":
            cdf_a, cdf_b = _cdf(above_a, n, a), _cdf(above_b, m, b)
            for cdf, s in ((cdf_a, s_x), (cdf_b, s_y)):
                spread = 2 * xp.sum(gaps * (cdf * (1 - cdf))[:, :-1], axis=1, keepdims=True)
                value = value - ((s - 1) * spread)[:, 0]

        def gradient(points: Array, weights: Array | None, side: str) -> Array:
            limits = self.limits(pooled, order, points, 0 if side == "x" else n)
            pull = -limits(difference) if side == "x" else limits(difference)
            if estimator == "U":
                own, s = (cdf_a, s_x) if side == "x" else (cdf_b, s_y)
                pull = pull - (s - 1) * (limits(own) - 1)
            share = 1 / points.shape[1] if weights is None else xp.astype(weights, wide)
            return xp.astype(2 * share * pull, points.dtype)

        gx = gradient(xs, a, "x") if "x" in wrt else None
        gy = gradient(ys, b, "y") if "y" in wrt else None
        return value, gx, gy

    def limits(
        self, pooled: Array, order: Array, points: Array, start: int
    ) -> Callable[[Array], Array]:
        """How to get, at each point, the sum of the left and right limits of a step function.

        The function is given by its values (R, L) from each place of the sorted row on; it is 0
        before the first. The points (R, K) stood at start, start + 1, ... before the row was
        sorted by `order`.
        """
        xp = namespace(pooled)
        places = [self.searchsorted(pooled, points, side) for side in ("left", "right")]

        def at_points(function: Array) -> Array:
            padded = xp.concat([xp.zeros_like(function[:, :1]), function], axis=1)
            left, right = (xp.take_along_axis(padded, place, axis=1) for place in places)
            return left + right

        return at_points

    def pooled_order(self, pooled: Array) -> tuple[Array, Array]:
        """Order (R, L) that sorts each row, and the sorted row."""
        xp = namespace(pooled)
        order = xp.argsort(pooled, axis=1)
        return order, xp.take_along_axis(pooled, order, axis=1)

    def _cumulated(
        self, order: Array, n: int, m: int, a: Array | None, b: Array | None
    ) -> tuple[Array, Array]:
        """Points of x and of y (or their weights) up to and with each place of the sorted row."""
        xp = namespace(order)
        wide, whole = widest_dtypes(order)
        is_x = order < n

        def cumulated(weights: Array, mine: Array, offset: int) -> Array:
            own = xp.clip(order - offset, 0, weights.shape[1] - 1)
            taken = xp.take_along_axis(xp.astype(weights, wide), own, axis=1)
            sums = xp.cumulative_sum(xp.where(mine, taken, xp.zeros_like(taken)), axis=1)
            # however they round, so that points that are all equal have no gradient
            return xp.concat([sums[:, :-1], xp.ones_like(sums[:, -1:])], axis=1)

        counts = xp.cumulative_sum(xp.astype(is_x, whole), axis=1)
        place = xp.arange(1, n + m + 1, dtype=whole, device=compat.device(order))
        return (
            counts if a is None else cumulated(a, is_x, 0),
            place - counts if b is None else cumulated(b, ~is_x, n),
        )

    # -- exact sums over pairs -------------------------------------------------------------------

    def exact_value_and_gradient(
        self,
        x: Array,
        y: Array,
        a: Array | None,
        b: Array | None,
        *,
        exponent: float,
        estimator: str,
        wrt: tuple[str, ...] = ("x",),
        chunk_size: int | None = None,
    ) -> Result:
        """Energy distances (B,) and gradients by direct sums over all pairs, tile by tile."""
        xp = namespace(x)
        dtype, wide = x.dtype, widest_dtypes(x)[0]
        x, y = centred(*(xp.astype(v, wide) for v in (x, y)))
        n, m = x.shape[1], y.shape[1]
        size = _largest(x, y)  # (B, 1, 1): tiny and huge scales neither vanish nor overflow
        x, y = x / size, y / size
        full = [
            xp.full((x.shape[0], k), 1 / k, dtype=wide, device=compat.device(x))
            if w is None
            else xp.astype(w, wide)
            for w, k in ((a, n), (b, m))
        ]
        value, gx, gy = pair_sums(
            x, y, *full,
            exponent=exponent,
            self_scales=self_scales(a, b, n, m, estimator),
            wrt=wrt,
            distances=self.distances,
            tile_numbers=chunk_size * (n + m) if chunk_size else self.tile_numbers(),
        )  # fmt: skip
        if estimator == "V":  # rounding alone could take it below zero
            value = xp.where(value < 0, xp.zeros_like(value), value)
        value = xp.astype(value * size[:, 0, 0] ** exponent, dtype)
        grown = size ** (exponent - 1)
        return value, *(None if g is None else xp.astype(g * grown, dtype) for g in (gx, gy))


def self_scales(
    a: Array | None, b: Array | None, n: int, m: int, estimator: str
) -> tuple[Array | float, Array | float]:
    """The factors s_x and s_y of the self-terms: 1 for V, 1 / (1 - sum a^2) for U."""

    def factor(weights: Array | None, count: int) -> Array | float:
        if estimator == "V":
            return 1.0
        if weights is None:
            return count / (count - 1)
        xp = namespace(weights)
        wide = widest_dtypes(weights)[0]
        squares = xp.sum(xp.astype(weights, wide) ** 2, axis=1, keepdims=True)
        return 1 / (1 - squares)  # (R, 1)

    return factor(a, n), factor(b, m)


def cdf_difference(
    above_a: Array, above_b: Array, n: int, m: int, a: Array | None, b: Array | None
) -> Array:
    """A - B along the sorted row, in whole numbers where both weights are uniform and it fits."""
    xp = namespace(above_a)
    wide = widest_dtypes(above_a)[0]
    if a is None and b is None and n * m <= xp.iinfo(above_a.dtype).max:
        return xp.astype(above_a * m - above_b * n, wide) / (n * m)
    return _cdf(above_a, n, a) - _cdf(above_b, m, b)


def _cdf(above: Array, count: int, weights: Array | None) -> Array:
    xp = namespace(above)
    return xp.astype(above, widest_dtypes(above)[0]) / (count if weights is None else 1)


def extremes(x: Array) -> tuple[Array, Array]:
    """Least and greatest number of each coordinate, (B, 1, d) both."""
    xp = namespace(x)
    return xp.min(x, axis=1, keepdims=True), xp.max(x, axis=1, keepdims=True)


def centred(
    x: Array,
    y: Array,
    *,
    extremes: Callable[[Array], tuple[Array, Array]] = extremes,
) -> tuple[Array, Array]:
    """Both sets (B, ., d) moved by the midrange of the pooled points.

    Far offsets then cost no precision. Where the data lie near the origin already, nothing is
    gained and nothing is moved: one outlier must not round all the others. The choice does not
    depend on the order of the points; traced sets are always moved.
    """
    xp = namespace(x)
    lows, highs = zip(extremes(x), extremes(y), strict=True)
    low, high = xp.minimum(*lows), xp.maximum(*highs)
    middle = low / 2 + high / 2  # (B, 1, d)
    if known_values(middle):
        worth = xp.any(xp.max(xp.abs(middle), axis=2) > 2 * xp.max(high - low, axis=2))
        if not bool(worth):
            return x, y
    return x - middle, y - middle


def _largest(x: Array, y: Array) -> Array:
    xp = namespace(x)
    both = [xp.max(xp.abs(v), axis=(1, 2), keepdims=True) for v in (x, y)]
    size = xp.maximum(*both)
    return xp.where(size > 0, size, xp.ones_like(size))


def _nothing(x: Array, y: Array, wrt: tuple[str, ...]) -> Result:
    """Sums over no slices."""
    xp = namespace(x)
    gx, gy = (xp.zeros_like(v) if name in wrt else None for name, v in (("x", x), ("y", y)))
    return xp.zeros_like(x[:, 0, 0]), gx, gy


def added(left: Result, right: Result) -> Result:
    """Sums of values and of gradients, where there are some; `left` may be overwritten."""
    value, gx, gy = (
        p if p is None else iadd(p, q)  # type: ignore[no-untyped-call]
        for p, q in zip(left, right, strict=True)
    )
    return value, gx, gy
