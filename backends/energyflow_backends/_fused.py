"""What backends with fused kernels share: how a block of slices, or rows, reach the kernels."""

from __future__ import annotations

from typing import Any

from ._arrays import Array, namespace
from ._base import MEMORY_BUDGET, Backend, Result
from ._projector import DenseProjector, Projector


class FusedBackend(Backend):
    """One call into a kernel for r = 1; what the kernels do not cover goes the general way."""

    def sliced_energy(
        self, x: Array, y: Array, directions: Array, *rest: Any, **how: Any
    ) -> Result:
        """Values (P,) of the slices, and their gradients projected back and summed."""
        raise NotImplementedError

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
    ) -> Result:
        """The whole operation at once for a single pair of sets and a matrix of directions."""
        if exponent != 1 or x.shape[0] != 1 or not isinstance(projector, DenseProjector):
            return super().block(
                x, y, a, b, projector, exponent=exponent, estimator=estimator, wrt=wrt
            )
        weights = (None if w is None else w[0, :] for w in (a, b))
        value, gx, gy = self.sliced_energy(
            x[0, :, :], y[0, :, :], projector.matrix(x), *weights,
            unbiased=estimator == "U", wrt=wrt,
        )  # fmt: skip
        total = namespace(value).sum(value)[None]
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
