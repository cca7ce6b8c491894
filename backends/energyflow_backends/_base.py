"""The base backend: everything in array-API code, for its subclasses to do better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from ._arrays import Array, ArrayInfo, detached, namespace, widest_dtypes
from ._chunks import summed_over_blocks
from ._memory import MEMORY_BUDGET
from ._point_sets import PointSets, Request, Result, mapped
from ._projector import Blocks, Projector
from ._typing import Doubles, Integers, Native
from .dependence import permutations as by_numpy
from .dependence.lines import line_covariance
from .dependence.permutations import Permutations
from .dependence.weights import Weights
from .sums.centring import centred, extremes, largest_size, seen_around_origin
from .sums.kernel_pairs import pair_kernel_sums, power_sums
from .sums.line_kernel import LineKernel, sorted_sums
from .sums.pairs import COORDINATES, euclidean_distances, pair_energies
from .sums.permutations import Labels, permutation_energies
from .sums.quantiles import transport_rows
from .sums.radial_profile import RadialProfile
from .sums.sorted_rows import self_scales, sorted_rows
from .sums.waves import Waves, product_sums


class Backend:
    """One implementation of the sliced and exact sums, for the arrays that it accepts.

    A subclass says what it takes (`name`, `requires`, `libraries`, `dtypes`) and overrides what
    its library does better, from one sort up to the whole operation. Arrays that reach the methods
    belong to one library, device and floating dtype, and are what `adopt` made of them: `Native`
    in the signatures, for which a subclass names the type of its library.
    """

    # -- what it takes ---------------------------------------------------------------------------

    name: ClassVar[str] = "array-api"
    requires: ClassVar[tuple[str, ...]] = ()  # modules that must be installed
    libraries: ClassVar[tuple[str, ...]] = ()  # whose arrays it takes; of any but Dask where empty
    arrays: ClassVar[str] = "arrays"  # what these are called in messages
    dtypes: ClassVar[tuple[str, ...]] = ()  # names of those that it takes; any where empty
    scratch: ClassVar[int] = 12  # working numbers per projected number, at most

    def missing(self) -> str | None:
        """Which of the modules that it needs are not installed, found without importing them."""
        absent = [name for name in self.requires if find_spec(name) is None]
        return f"{' and '.join(absent)} not installed" if absent else None

    def unusable(self) -> str | None:
        """Why it cannot be used on this machine, or None where it can."""
        return self.missing()

    def refuses(self, info: ArrayInfo) -> str | None:
        """Why arrays like this cannot be taken, or None where they can.

        Decides by `info` alone, so that the answer can be cached.
        """
        if self.libraries and info.library not in self.libraries:
            return f"{info.library} arrays are not {self.arrays}"
        if not self.libraries and info.library == "dask":
            return "Dask has no take_along_axis; compute() the arrays first"
        if self.dtypes and info.dtype not in self.dtypes:
            return f"it takes {' and '.join(self.dtypes)}, not {info.dtype}"
        return None

    def kernels(self) -> str:
        """Whether its kernels are compiled and kept; "" where it keeps none. Imports nothing."""
        return ""

    def lacks_pairs(self) -> str | None:
        """Why it has sliced energy distances only, or None where it has all sums."""
        return None

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        """An array that it takes, of the same numbers: what tests of all backends are given."""
        return array

    def adopt(self, array: Native) -> Array:
        """The array as this backend computes with it, without a copy and outside of any graph."""
        return detached(array)

    def restore(self, array: Native, like: Native) -> Array:
        """A result in the library and on the device of `like`."""
        restored: Array = array
        return restored

    # -- hooks for one library's better functions ------------------------------------------------

    def searchsorted(self, rows: Native, queries: Native, side: str) -> Array:
        """Where each query (R, K) would go in its sorted row (R, L)."""
        import array_api_extra as xpx

        search: Any = xpx.searchsorted  # whose type of arrays is narrower than ours
        places: Array = search(rows, queries, side=side)
        return places

    def distances(self, tile: Native, z: Native) -> Array:
        """Euclidean distances (B, T, L) between (B, T, d) and (B, L, d)."""
        return euclidean_distances(tile, z)

    def project(self, projector: Projector, x: Native) -> Array:
        """Points (B, N, d) to rows (B, P, N)."""
        return projector.project(x)

    def project_back(self, projector: Projector, g: Native, scale: float = 1.0) -> Array:
        """Rows (B, P, N) to sums over the slices (B, N, d), times `scale`."""
        return projector.project_back(g) * scale

    def extremes(self, x: Native) -> tuple[Array, Array]:
        """Least and greatest number of each coordinate, (B, 1, d) both."""
        return extremes(x)

    def around_origin(self, x: Native) -> bool:
        """Whether a glance shows that points need not be moved; True only where it is certain."""
        return seen_around_origin(x)

    def pooled_order(self, pooled: Native) -> tuple[Array, Array]:
        """Order (R, L) that sorts each row, and the sorted row."""
        xp = namespace(pooled)
        order = xp.argsort(pooled, axis=1)
        return order, xp.take_along_axis(pooled, order, axis=1)

    def limits(
        self, pooled: Native, order: Native, points: Native, start: int
    ) -> Callable[[Native], Array]:
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

    # -- the one operation that must be fast -----------------------------------------------------

    def sliced_value_and_gradient(
        self, sets: PointSets, projector: Blocks, request: Request
    ) -> Result:
        """Sliced energy distances (B,) and gradients (B, N, d), (B, M, d) or None.

        Slices go through in chunks that stay within the memory budget: projected, computed as
        rows, and their gradients projected back.
        """
        (n, m), d, dtype = sets.counts, sets.x.shape[2], sets.x.dtype
        xp, sets = namespace(sets.x), self.prepared(sets, request)
        slices = request.chunk_size or self.slices_at_once(n, m, d, request.exponent)
        slices = min(slices, projector.n_projections)
        scale = projector.constant(request.exponent) / projector.n_projections
        sums = summed_over_blocks(
            sets,
            projector.blocks(slices),
            self.sets_at_once(slices, n, m),
            request.wrt,
            lambda part, block: self.block(part, block, request, scale),
        )
        return mapped(lambda v: xp.astype(v, dtype, copy=False), sums)

    def prepared(self, sets: PointSets, request: Request) -> PointSets:
        """The sets in the dtype in which they are projected, and moved near the origin."""
        x, y, a, b = sets
        if request.exponent < 1:  # the gradient is singular at 0: projections need every bit
            xp, wide = namespace(x), widest_dtypes(x)[0]
            x, y = xp.astype(x, wide), xp.astype(y, wide)
            a, b = (None if w is None else xp.astype(w, wide) for w in (a, b))
        if not self.around_origin(x):
            x, y = centred(x, y, self.extremes)
        return sets if x is sets.x and y is sets.y else PointSets(x, y, a, b)

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
        self, sets: PointSets, projector: Projector, request: Request, scale: float
    ) -> Result:
        """Sums over the slices of one projector, times `scale`: values (B,) and gradients."""
        xp = namespace(sets.x)
        xs, ys = self.project(projector, sets.x), self.project(projector, sets.y)  # (B, P, .)
        shape = xs.shape[:2]

        def rows(array: Array) -> Array:
            return xp.reshape(array, (shape[0] * shape[1], array.shape[2]))

        def row_weights(weights: Array | None) -> Array | None:
            if weights is None:
                return None
            return rows(xp.broadcast_to(weights[:, None, :], (*shape, weights.shape[1])))

        projected = PointSets(rows(xs), rows(ys), row_weights(sets.a), row_weights(sets.b))
        value, gx, gy = self.rows(projected, request)

        def back(g: Array | None) -> Array | None:
            if g is None:
                return None
            return self.project_back(projector, xp.reshape(g, (*shape, g.shape[1])), scale)

        return xp.sum(xp.reshape(value, shape), axis=1) * scale, back(gx), back(gy)

    def rows(self, sets: PointSets, request: Request) -> Result:
        """The one-dimensional energy distance of each row, and its gradients.

        Parameters
        ----------
        sets : PointSets
            Rows x (R, N) and y (R, M), with weights (R, N) and (R, M) or None for uniform ones.
        request : Request
            `exponent`, `estimator` and `wrt`; `chunk_size` does not apply.

        Returns
        -------
        value : array (R,)
            In the dtype of the rows or a wider one; the caller rounds.
        gx : array (R, N) or None
            The gradient of each value with respect to its row of x, in the dtype of x; None
            where "x" is not in `wrt`.
        gy : array (R, M) or None
            Likewise for y.

        Notes
        -----
        - A row with NaN or infinity has a value that is not finite, and any gradient: no error is
          raised, and no other row changes.
        - For r = 1 and uniform weights no bit depends on the order of the points of a row: ties and
          coincident points have mid-ranks, the subgradient with sign(0) = 0, and -0.0 equals 0.0.
          Weights are summed along the sorted row.
        - Where all points of a row are equal, the value and the gradients are zero, however the
          weights round.
        - The V estimator is never negative, not even by rounding. The U estimator may be.
        - The rows are not modified.
        """
        if request.exponent == 1:
            return self.sorted_rows(sets, request)
        x, y, a, b = sets
        in_line = PointSets(x[:, :, None], y[:, :, None], a, b)
        value, *slopes = self.exact_value_and_gradient(in_line, request._replace(chunk_size=None))
        gx, gy = (None if g is None else g[:, :, 0] for g in slopes)
        return value, gx, gy

    def sorted_rows(self, sets: PointSets, request: Request) -> Result:
        """`rows` for r = 1."""
        return sorted_rows(sets, request, pooled_order=self.pooled_order, limits=self.limits)

    # -- exact sums over pairs -------------------------------------------------------------------

    def exact_value_and_gradient(self, sets: PointSets, request: Request) -> Result:
        """Energy distances (B,) and gradients by direct sums over all pairs, tile by tile."""
        xp, (n, m) = namespace(sets.x), sets.counts
        dtype, wide = sets.x.dtype, widest_dtypes(sets.x)[0]
        x, y = centred(xp.astype(sets.x, wide), xp.astype(sets.y, wide))
        size = largest_size(x, y)  # (B, 1, 1): tiny and huge scales neither vanish nor overflow
        x, y = x / size, y / size
        value, gx, gy = pair_energies(
            PointSets(x, y, sets.a, sets.b),
            request,
            self_scales=self_scales(sets.a, sets.b, n, m, request.unbiased),
            distances=self.distances,
            tile_numbers=(request.chunk_size or 0) * (n + m) or self.tile_numbers(),
        )
        if not request.unbiased:  # rounding alone could take it below zero
            value = xp.where(value < 0, xp.zeros_like(value), value)
        value = xp.astype(value * size[:, 0, 0] ** request.exponent, dtype)
        grown = size ** (request.exponent - 1)
        gx, gy = (None if g is None else xp.astype(g * grown, dtype) for g in (gx, gy))
        return value, gx, gy

    # -- sums of other kernels -------------------------------------------------------------------

    def pair_kernel_sums(
        self,
        x: Array,
        y: Array,
        w: Array,
        profile: RadialProfile,
        *,
        gradient: bool,
        chunk_size: int | None,
    ) -> Array:
        """Sums over j of w_j F(|x_i - y_j|), (B, N), or their gradients (B, N, d), tile by tile.

        x is (B, N, d), y (B, M, d) and w (B, M), of any sign; `chunk_size` counts points of x. A
        pair of coincident points adds nothing to a gradient. The result is in the dtype of the
        points or a wider one; it is not finite where F overflows.
        """
        wide = widest_dtypes(x)[0]
        x, y, w = (namespace(v).astype(v, wide, copy=False) for v in (x, y, w))
        x, y = centred(x, y)
        size = largest_size(x, y)  # (B, 1, 1): squares neither vanish nor overflow
        chunk = chunk_size and chunk_size * x.shape[0] * y.shape[1]
        function = profile.slope if gradient else profile.value
        return pair_kernel_sums(
            x / size, y / size, w, lambda s: function(s * size),
            gradient=gradient,
            distances=self.distances,
            tile_numbers=chunk or self.tile_numbers(),
        )  # fmt: skip

    def line_sums(
        self,
        line: LineKernel,
        xs: Array,
        ys: Array,
        w: Array,
        *,
        derivative: bool,
        tolerance: float,
    ) -> Array:
        """Sums over j of w_j f(x_i - y_j), or of w_j f'(x_i - y_j): (R, N).

        xs is (R, N); ys and w are (R, M). The weights have any sign.
        """
        xp = namespace(xs)
        total: Array = xp.zeros_like(xs)
        if line.constant and not derivative:
            total = total + line.constant * xp.sum(w, axis=1, keepdims=True)
        if line.coefficient:
            powers = self.power_sums(
                xs, ys, w, line.exponent, derivative=derivative, tolerance=tolerance
            )
            total = total + line.coefficient * powers
        if line.waves is not None:
            total = total + self.wave_sums(line.waves, xs, ys, w, derivative=derivative)
        return total

    def power_sums(
        self, xs: Native, ys: Native, w: Native, exponent: float, *, derivative: bool,
        tolerance: float,
    ) -> Array:  # fmt: skip
        """`line_sums` of |u|^r: by sorting for r = 1, over all pairs otherwise.

        `tolerance` is the error that is allowed, relative to the greatest sum of |w_j| |u|^r.
        """
        if exponent == 1:
            return sorted_sums(
                xs, ys, w, derivative,
                pooled_order=self.pooled_order, searchsorted=self.searchsorted,
            )  # fmt: skip
        return power_sums(
            xs, ys, w, exponent, derivative,
            distances=self.distances, tile_numbers=self.tile_numbers(),
        )  # fmt: skip

    def wave_sums(
        self, waves: Waves, xs: Native, ys: Native, w: Native, *, derivative: bool
    ) -> Array:
        """`line_sums` of weighted cosines."""
        return product_sums(waves, xs, ys, w, derivative)

    # -- Wasserstein distances -------------------------------------------------------------------

    def transport_rows(self, sets: PointSets, p: float, wrt: tuple[str, ...]) -> Result:
        """W_p^p (R,) of rows (R, N) and (R, M), and gradients of those in `wrt`."""
        return transport_rows(
            sets, p, wrt, pooled_order=self.pooled_order, searchsorted=self.searchsorted
        )

    # -- permutation tests -----------------------------------------------------------------------

    def permutation_energies(
        self, rows: Doubles, labels: Sequence[Labels], sizes: Integers
    ) -> Doubles:
        """Energy distances of relabelled rows, summed over the rows, for backends of NumPy arrays.

        rows (R, T) are pooled points; labels are blocks (T, W) of relabellings, each the group 0
        to k - 1 of every point; sizes (k,) are the points in each group. The result is
        (k (k - 1) / 2, sum of the W), for the pairs (0, 1), (0, 2), ..., (1, 2), ... Relabellings
        that are worth the same get the same number.
        """
        return permutation_energies(rows, labels, sizes)

    # -- distance covariances --------------------------------------------------------------------

    def covariance_rows(
        self, xs: Native, ys: Native, weights: Weights, wrt: tuple[str, ...]
    ) -> Result:
        """Squared distance covariances (R,) of pairs of rows (R, N) for r = 1, and gradients."""
        return line_covariance(xs, ys, weights, wrt=wrt)

    def permuted_line_covariances(
        self, xs: Doubles, ys: Doubles, permutations: Permutations, weights: Weights
    ) -> Doubles:
        """Sums over pairs of rows (R, N) of the covariances of x_i and y_p(i), (W,).

        permutations is (W, N).
        """
        return by_numpy.permuted_line_covariances(xs, ys, permutations, weights)

    def pair_products(
        self, near: Doubles, first: int, far: Doubles, first_far: int, permutations: Permutations
    ) -> Doubles:
        """Sums over j < i of near_ij far_p(i)p(j), (W,), for rows i and p(i) that are given.

        near (K, N) holds rows of distances from `first` on, far (L, N) those from `first_far` on.
        """
        return by_numpy.pair_products(near, first, far, first_far, permutations)
