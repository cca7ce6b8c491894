"""What backends with fused kernels share: how slices, or rows, reach the kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from .._arrays import namespace
from .._base import Backend
from .._memory import MEMORY_BUDGET
from .._point_sets import PointSets, Request, Result, added, zeros
from .._projector import Blocks, HadamardProducts, Matrix, Projector, structure_of
from .._typing import Native

Kernel = Callable[..., Result]


class FusedBackend(Backend):
    """One call into a kernel for r = 1; what the kernels do not cover goes the general way."""

    @property
    def sliced_energy(self) -> Kernel:
        """The kernel ``(x, y, slices, a, b, *, unbiased, wrt, scale)`` of one pair of sets.

        It gives the values (P,) of the slices, and the sums of their gradients, projected back
        and scaled.
        """
        raise NotImplementedError

    @property
    def energy_rows(self) -> Kernel:
        """The kernel ``(xs, ys, a, b, *, unbiased, wrt)`` of rows: values (R,) and gradients."""
        raise NotImplementedError

    def hadamard_slices(self, products: HadamardProducts) -> Any:
        """What the kernel takes of products of signs and transforms, or None for nothing."""
        raise NotImplementedError

    def slices(self, projector: Projector, like: Native) -> Any:
        """What the kernel takes of a projector, or None where it must project by itself."""
        structure = structure_of(projector, like)
        if isinstance(structure, Matrix):
            return structure.directions
        return None if structure is None else self.hadamard_slices(structure)

    def slices_at_once(self, n: int, m: int, d: int, exponent: float) -> int:
        """The fused call cuts slices into chunks itself: the directions' memory decides."""
        if exponent != 1:
            return super().slices_at_once(n, m, d, exponent)
        return max(1, MEMORY_BUDGET // (16 * d))

    def sliced_value_and_gradient(
        self, sets: PointSets, projector: Blocks, request: Request
    ) -> Result:
        """One pair of sets goes into the kernel with all slices that memory allows."""
        if request.exponent != 1 or sets.x.shape[0] != 1:
            return super().sliced_value_and_gradient(sets, projector, request)
        dtype, count = sets.x.dtype, projector.n_projections
        sets = self.prepared(sets, request)
        x, y, a, b = sets.part(0)
        n, m = x.shape[0], y.shape[0]
        scale = projector.constant(1.0) / count
        total: Result | None = None
        at_once = request.chunk_size or self.slices_at_once(n, m, x.shape[1], 1.0)
        for block in projector.blocks(min(at_once, count)):
            slices = self.slices(block, x)
            if slices is None:
                new = self.block(sets, block, request, scale)
            else:  # as `block` does it: this is the short way, without a call between
                result = self.sliced_energy(
                    x, y, slices, a, b,
                    unbiased=request.estimator == "U", wrt=request.wrt, scale=scale,
                )  # fmt: skip
                new = _of_one_pair(result, scale)
            total = new if total is None else added(total, new)
        value, gx, gy = zeros(sets, request.wrt) if total is None else total
        if value.dtype != dtype:
            value = namespace(value).astype(value, dtype)
        return value, gx, gy

    def block(
        self, sets: PointSets, projector: Projector, request: Request, scale: float
    ) -> Result:
        """The whole operation at once for one pair of sets and slices that the kernel can make."""
        single = request.exponent == 1 and sets.x.shape[0] == 1
        slices = self.slices(projector, sets.x) if single else None
        if slices is None:
            size = super().slices_at_once(*sets.counts, sets.x.shape[2], request.exponent)
            parts = (
                super(FusedBackend, self).block(sets, part, request, scale)
                for part in projector.blocks(size)
            )
            return reduce(added, parts)
        x, y, a, b = sets.part(0)
        result = self.sliced_energy(
            x, y, slices, a, b, unbiased=request.unbiased, wrt=request.wrt, scale=scale
        )
        return _of_one_pair(result, scale)

    def sorted_rows(self, sets: PointSets, request: Request) -> Result:
        """`rows` for r = 1."""
        return self.energy_rows(*sets, unbiased=request.unbiased, wrt=request.wrt)


def _of_one_pair(result: tuple[Native, Native, Native], scale: float) -> Result:
    """The sum over slices, and a first axis for the pairs of sets."""
    value, gx, gy = result
    return (
        value.sum(axis=0, keepdims=True) * scale,
        None if gx is None else gx[None, :, :],
        None if gy is None else gy[None, :, :],
    )
