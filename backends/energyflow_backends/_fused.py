"""What backends with fused kernels share: how a block of slices, or rows, reach the kernels."""

from __future__ import annotations

from functools import reduce
from typing import Any

from ._arrays import Array, namespace
from ._base import MEMORY_BUDGET, Backend, Result, added
from ._projector import Projector


class FusedBackend(Backend):
    """One call into a kernel for r = 1; what the kernels do not cover goes the general way."""

    def sliced_energy(self, x: Array, y: Array, slices: Any, *rest: Any, **how: Any) -> Result:
        """Values (P,) of the slices, and the sums of their gradients, projected back and scaled."""
        raise NotImplementedError

    def slices(self, projector: Projector, like: Array) -> Any:
        """What the fused kernel takes of a projector: its matrix (P, d), or None for nothing."""
        matrix = getattr(projector, "matrix", None)
        return None if matrix is None else matrix(like)

    def energy_rows(self, xs: Array, ys: Array, *rest: Any, **how: Any) -> Result:
        """Values (R,) of the rows, and their gradients."""
        raise NotImplementedError

    def slices_at_once(self, n: int, m: int, d: int, exponent: float) -> int:
        """The fused call cuts slices into chunks itself: the directions' memory decides."""
        if exponent != 1:
            return super().slices_at_once(n, m, d, exponent)
        return max(1, MEMORY_BUDGET // (16 * d))

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
        """The whole operation at once for one pair of sets and slices that the kernel knows."""
        single = exponent == 1 and x.shape[0] == 1
        slices = self.slices(projector, x) if single else None
        if slices is None:
            size = super().slices_at_once(x.shape[1], y.shape[1], x.shape[2], exponent)
            parts = (
                super(FusedBackend, self).block(
                    x, y, a, b, part,
                    exponent=exponent, estimator=estimator, wrt=wrt, scale=scale,
                )
                for part in projector.blocks(size)
            )  # fmt: skip
            return reduce(added, parts)
        weights = (None if w is None else w[0, :] for w in (a, b))
        value, gx, gy = self.sliced_energy(
            x[0, :, :], y[0, :, :], slices, *weights,
            unbiased=estimator == "U", wrt=wrt, scale=scale,
        )  # fmt: skip
        total = namespace(value).sum(value)[None] * scale
        return total, *(None if g is None else g[None, :, :] for g in (gx, gy))

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
        """Rows for r = 1."""
        return self.energy_rows(xs, ys, a, b, unbiased=estimator == "U", wrt=wrt)
