"""Numba: the fused CPU path, for whatever lies in ordinary memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from energyflow_kernels.cache import is_filled

from .._arrays import seems_finite
from .._errors import NonFiniteValue
from .._point_sets import PointSets, Request, Result
from .._projector import HadamardProducts, Projector
from .._typing import Array, Doubles, HostArray, Integers, Native
from ..dependence.permutations import Permutations
from ..dependence.weights import Weights
from ..sums.permutations import Labels
from ..sums.radial_profile import RadialProfile
from ..sums.sorted_rows import self_scales
from .fused import FusedBackend, Kernel
from .numpy import NumpyBackend

_TOLERANCE = 1e-12  # relative, of a row's gradient for r != 1; 1e-8 takes a tenth less time
_LEAST_TOLERANCE = 1e-14  # of sums of powers
_SMALL = 1 << 14  # numbers below which NumPy has seen them all before a kernel is called


class NumbaBackend(FusedBackend, NumpyBackend):
    """Compiled passes that sort each slice once, spread over threads."""

    name: ClassVar[str] = "numba"
    requires: ClassVar[tuple[str, ...]] = ("numba",)
    scratch: ClassVar[int] = 4  # rows and gradients; the kernels bound their own memory

    def kernels(self) -> str:
        """Whether `compile_kernels` has filled Numba's cache."""
        return "compiled" if is_filled() else "at first calls"

    @cached_property
    def _sliced(self) -> ModuleType:
        from energyflow_kernels.numba import sliced

        return sliced

    @property
    def sliced_energy(self) -> Kernel:
        """Projection, sort, gradient and back-projection in one call."""
        kernel: Kernel = self._sliced.sliced_energy
        return kernel

    @property
    def energy_rows(self) -> Kernel:
        """One radix sort a row."""
        from energyflow_kernels.numba.rows import energy_rows

        return energy_rows

    def hadamard_slices(self, products: HadamardProducts) -> Any:
        """Signs and rows as the kernels take them."""
        from energyflow_kernels.numba.slices import HadamardSlices

        signs: Native = products.signs
        picked: Native = products.picked
        return HadamardSlices(signs, picked, products.d)

    def project(self, projector: Projector, x: HostArray) -> Array:
        """In one order of terms, whatever other points there are: equal points stay equal."""
        slices = self.slices(projector, x)
        if slices is None:
            return super().project(projector, x)
        from energyflow_kernels.numba.slices import project_points

        sets, n, d = x.shape
        rows = project_points(x.reshape(-1, d), slices)  # (P, B N)
        return rows.reshape(len(rows), sets, n).swapaxes(0, 1)

    def project_back(self, projector: Projector, g: HostArray, scale: float = 1.0) -> Array:
        """Likewise."""
        slices = self.slices(projector, g)
        if slices is None:
            return super().project_back(projector, g, scale)
        from energyflow_kernels.numba.slices import project_rows_back

        sets, p, n = g.shape
        rows = g.swapaxes(0, 1).reshape(p, sets * n)
        back = project_rows_back(rows, slices, scale)  # (B N, d)
        return back.reshape(sets, n, back.shape[1])

    def extremes(self, x: HostArray) -> tuple[Array, Array]:
        """One pass over the points, shared among threads."""
        if x.shape[0] > 1 or x.size < _SMALL:
            return super().extremes(x)
        from energyflow_kernels.numba.sliced import extent

        low, high = extent(x[0, :, :])
        return low[None, None, :], high[None, None, :]

    def rows(self, sets: PointSets, request: Request) -> Result:
        """By sorting for r = 1, by a tree on the sorted points otherwise."""
        if request.exponent == 1:
            return self.sorted_rows(sets, request)
        from energyflow_kernels.numba.riesz_rows import riesz_rows

        rows: Sequence[Native] = sets
        how: dict[str, Any] = {"unbiased": request.unbiased, "wrt": request.wrt}
        return riesz_rows(*rows, exponent=request.exponent, tolerance=_TOLERANCE, **how)

    def exact_value_and_gradient(self, sets: PointSets, request: Request) -> Result:
        """One pass over tiles of pairs, each pair once, and no matrix of them."""
        from energyflow_kernels.numba.pairs.energies import pair_energies

        points: Sequence[Native] = sets
        x, y, a, b = points
        a, b = (None if w is None else w.astype(np.float64, copy=False) for w in (a, b))
        value, *gradients = pair_energies(
            x, y, a, b,
            exponent=request.exponent,
            self_scales=self_scales(a, b, *sets.counts, request.unbiased),
            wrt=request.wrt,
        )  # fmt: skip
        if not request.unbiased:  # rounding alone could take it below zero
            value = np.maximum(value, 0)
        gx, gy = (None if g is None else g.astype(x.dtype, copy=False) for g in gradients)
        return value.astype(x.dtype, copy=False), gx, gy

    def pair_kernel_sums(
        self,
        x: Native,
        y: Native,
        w: Native,
        profile: RadialProfile,
        *,
        gradient: bool,
        chunk_size: int | None,
    ) -> Native:
        """Likewise, for kernels whose formula is known."""
        if profile.formula is None:
            return super().pair_kernel_sums(
                x, y, w, profile, gradient=gradient, chunk_size=chunk_size
            )
        from energyflow_kernels.numba.pairs.kernel_sums import pair_sums

        kind, first, second, factor = profile.formula
        return factor * pair_sums(x, y, w, (kind, first, second), gradient=gradient)

    def power_sums(
        self, xs: HostArray, ys: HostArray, w: HostArray, exponent: float, *, derivative: bool,
        tolerance: float,
    ) -> Array:  # fmt: skip
        """By sorting for r = 1, by a tree on the sorted points otherwise."""
        how: dict[str, Any] = {"derivative": derivative, "tolerance": tolerance}
        if exponent == 1:
            return super().power_sums(xs, ys, w, exponent, **how)
        from energyflow_kernels.numba.riesz_sums import riesz_sums

        how["tolerance"] = max(tolerance, _LEAST_TOLERANCE)
        return riesz_sums(xs, ys, w, exponent=exponent, **how)

    def transport_rows(self, sets: PointSets, p: float, wrt: tuple[str, ...]) -> Result:
        """One sort a row; both quantile functions are run through in step."""
        from energyflow_kernels.numba.transport.rows import wasserstein_rows

        rows: Sequence[Native] = sets
        return wasserstein_rows(*rows, p=p, wrt=wrt)

    def permutation_energies(
        self, rows: Doubles, labels: Sequence[Labels], sizes: Integers
    ) -> Doubles:
        """Rows are shared among threads; all relabellings run along a row at once."""
        from energyflow_kernels.numba.permutations import permutation_energies

        return permutation_energies(rows, labels, sizes)

    def covariance_rows(
        self, xs: HostArray, ys: HostArray, weights: Weights, wrt: tuple[str, ...]
    ) -> Result:
        """One merge sort a pair of rows."""
        from energyflow_kernels.numba.dependence.rows import covariance_rows

        if not (seems_finite(xs) and seems_finite(ys)):
            raise NonFiniteValue
        return covariance_rows(xs, ys, weights, wrt=wrt)

    def permuted_line_covariances(
        self, xs: Doubles, ys: Doubles, permutations: Permutations, weights: Weights
    ) -> Doubles:
        """Permutations are shared among threads."""
        from energyflow_kernels.numba.dependence.rows import permuted_moments

        covariances: Doubles = permuted_moments(xs, ys, permutations) @ np.array(weights)
        return covariances

    def pair_products(
        self, near: Doubles, first: int, far: Doubles, first_far: int, permutations: Permutations
    ) -> Doubles:
        """Permutations are shared among threads."""
        from energyflow_kernels.numba.dependence.pairs import pair_products

        return pair_products(near, first, far, first_far, permutations)
