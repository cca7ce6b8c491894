"""Numba: the fused CPU path, for whatever lies in ordinary memory."""

from __future__ import annotations

from typing import Any, ClassVar

from ._arrays import Array
from ._base import Result
from ._fused import FusedBackend
from ._numpy import NumpyBackend
from ._projector import HadamardProjector, Projector

_TOLERANCE = 1e-12  # relative, of a row's gradient for r != 1; 1e-8 takes a tenth less time
_SMALL = 1 << 14  # numbers below which NumPy has seen them all before a kernel is called


class NumbaBackend(FusedBackend, NumpyBackend):
    """Compiled passes that sort each slice once, spread over threads."""

    name: ClassVar[str] = "numba"
    requires: ClassVar[tuple[str, ...]] = ("numba",)
    scratch: ClassVar[int] = 4  # rows and gradients; the kernels bound their own memory

    def sliced_energy(self, x: Array, y: Array, slices: Any, *rest: Any, **how: Any) -> Result:
        """Projection, sort, gradient and back-projection in one call."""
        from energyflow_kernels.numba.sliced import sliced_energy

        return sliced_energy(x, y, slices, *rest, **how)

    def slices(self, projector: Projector, like: Array) -> Any:
        """A matrix, or a Hadamard projector's signs."""
        if not isinstance(projector, HadamardProjector):
            return super().slices(projector, like)
        from energyflow_kernels.numba.slices import HadamardSlices

        return HadamardSlices(projector.signs(like), projector.picked, projector.d)

    def project(self, projector: Projector, x: Array) -> Array:
        """In one order of terms, whatever other points there are: equal points stay equal."""
        slices = self.slices(projector, x)
        if slices is None:
            return super().project(projector, x)
        from energyflow_kernels.numba.slices import project_points

        sets, n, d = x.shape
        rows = project_points(x.reshape(-1, d), slices)  # (P, B N)
        return rows.reshape(len(rows), sets, n).swapaxes(0, 1)

    def project_back(self, projector: Projector, g: Array, scale: float = 1.0) -> Array:
        """Likewise."""
        slices = self.slices(projector, g)
        if slices is None:
            return super().project_back(projector, g, scale)
        from energyflow_kernels.numba.slices import project_rows_back

        sets, p, n = g.shape
        rows = g.swapaxes(0, 1).reshape(p, sets * n)
        back = project_rows_back(rows, slices, scale)  # (B N, d)
        return back.reshape(sets, n, back.shape[1])

    def extremes(self, x: Array) -> tuple[Array, Array]:
        """One pass over the points, shared among threads."""
        from energyflow_kernels.numba.sliced import extent

        if x.shape[0] > 1 or x.size < _SMALL:
            return super().extremes(x)
        low, high = extent(x[0, :, :])
        return low[None, None, :], high[None, None, :]

    def energy_rows(self, xs: Array, ys: Array, *rest: Any, **how: Any) -> Result:
        """One radix sort a row."""
        from energyflow_kernels.numba.rows import energy_rows

        return energy_rows(xs, ys, *rest, **how)

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
        """By sorting for r = 1, by a tree on the sorted points otherwise."""
        if exponent == 1:
            return self.sorted_rows(xs, ys, a, b, estimator=estimator, wrt=wrt)
        from energyflow_kernels.numba.riesz_rows import riesz_rows

        return riesz_rows(
            xs, ys, a, b,
            exponent=exponent, unbiased=estimator == "U", wrt=wrt, tolerance=_TOLERANCE,
        )  # fmt: skip
