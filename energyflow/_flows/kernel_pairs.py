"""A positive definite kernel between all pairs of two sets, held whole for solvers."""

from __future__ import annotations

from dataclasses import dataclass

import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, namespace

from ..kernels import Kernel, Linear, SmoothKernel


@dataclass(frozen=True, eq=False)
class KernelPairs:
    """K between x (N, d) and y (M, d), and how it changes with x."""

    x: Array
    y: Array
    values: Array  # (N, M)
    pulls: Array | None  # F'(s) / s of radial kernels, (N, M)

    def gradients(self, w: Array) -> Array:
        """Gradients of the sums over j of w_j K(x_i, y_j), each in its own x_i: (N, d)."""
        xp = namespace(self.x)
        if self.pulls is None:
            return xp.zeros_like(self.x) + w @ self.y
        forces = self.pulls * w
        return self.x * xp.sum(forces, axis=1)[:, None] - forces @ self.y


def kernel_pairs(kernel: Kernel, x: Array, y: Array) -> KernelPairs:
    """All pairs; the points lie near the origin, so that products keep their digits.

    Raises
    ------
    NonFiniteValue
        Distances or products are not finite.
    """
    xp = namespace(x)
    if isinstance(kernel, Linear):
        with np.errstate(over="ignore", invalid="ignore"):
            products = x @ xp.matrix_transpose(y)
        if not bool(xp.all(xp.isfinite(products))):
            raise backends.NonFiniteValue
        return KernelPairs(x, y, products, None)
    if not isinstance(kernel, SmoothKernel):
        raise ValueError(f"kernel must be positive definite, got {kernel}")
    return KernelPairs(x, y, *kernel.value_and_pull(backends.pair_distances(x, y)))
