"""Kernels on the line, and their sums over the weighted points of a row."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays import Array, namespace
from .._base import Backend
from .._numba import NumbaBackend
from .fourier import Waves, wave_sums
from .kernel_pairs import pair_kernel_sums


@dataclass(frozen=True, eq=False)
class LineKernel:
    """The function f(u) = constant + coefficient |u|^exponent + sum_k weight_k cos(2 pi k u)."""

    constant: float = 0.0
    coefficient: float = 0.0
    exponent: float = 1.0
    waves: Waves | None = None

    def sums(
        self,
        backend: Backend,
        xs: Array,
        ys: Array,
        w: Array,
        *,
        derivative: bool,
        tolerance: float,
    ) -> Array:
        """Sums over j of w_j f(x_i - y_j), or of w_j f'(x_i - y_j): (R, N).

        xs is (R, N); ys and w are (R, M).
        """
        xp = namespace(xs)
        total = xp.zeros_like(xs)
        if self.constant and not derivative:
            total = total + self.constant * xp.sum(w, axis=1, keepdims=True)
        if self.coefficient and self.exponent == 1:
            total = total + self.coefficient * sorted_sums(backend, xs, ys, w, derivative)
        elif self.coefficient:
            powers = power_sums(backend, xs, ys, w, self.exponent, derivative, tolerance)
            total = total + self.coefficient * powers
        if self.waves is not None:
            total = total + wave_sums(backend, self.waves, xs, ys, w, derivative)
        return total


def sorted_sums(backend: Backend, xs: Array, ys: Array, w: Array, derivative: bool) -> Array:
    """Sums of w_j |x_i - y_j|, or of w_j sign(x_i - y_j) with sign(0) = 0, by sorting y."""
    xp = namespace(xs)
    order, ys = backend.pooled_order(ys)
    w = xp.take_along_axis(w, order, axis=1)

    def up_to(terms: Array) -> Array:
        sums = xp.cumulative_sum(terms, axis=1)
        return xp.concat([xp.zeros_like(sums[:, :1]), sums], axis=1)  # (R, M + 1)

    def twice_less_total(sums: Array, *places: Array) -> Array:
        left, right = (xp.take_along_axis(sums, place, axis=1) for place in places)
        return left + right - sums[:, -1:]

    right = backend.searchsorted(ys, xs, "right")
    if derivative:
        return twice_less_total(up_to(w), backend.searchsorted(ys, xs, "left"), right)
    mass, moment = (twice_less_total(up_to(v), right, right) for v in (w, w * ys))
    return xs * mass - moment


def power_sums(
    backend: Backend,
    xs: Array,
    ys: Array,
    w: Array,
    exponent: float,
    derivative: bool,
    tolerance: float,
) -> Array:
    """Sums of w_j |x_i - y_j|^r, or their derivatives: a tree with Numba, else over all pairs."""
    if isinstance(backend, NumbaBackend):
        from energyflow_kernels.numba.riesz_sums import riesz_sums

        return riesz_sums(
            xs, ys, w, exponent=exponent, derivative=derivative, tolerance=max(tolerance, 1e-14)
        )

    def value(s: Array) -> Array:
        return s**exponent

    def slope(s: Array) -> Array:
        return exponent * s ** (exponent - 1)

    sums = pair_kernel_sums(
        xs[:, :, None], ys[:, :, None], w, slope if derivative else value,
        gradient=derivative, distances=backend.distances, tile_numbers=backend.tile_numbers(),
    )  # fmt: skip
    return sums[:, :, 0] if derivative else sums
