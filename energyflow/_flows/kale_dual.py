r"""The dual problem of KALE, by Newton's method in the values of the best function.

With P = sum a_i at x_i, Q = sum b_j at y_j and u = b exp(v), KALE / (1 + lambda) is the least of

    G(v) = sum_j b_j (v_j exp(v_j) - exp(v_j) + 1) + |K_P - sum_j u_j K(y_j, .)|^2 / (2 lambda)

over v, where K_P = sum_i a_i K(x_i, .). At the minimum v_j = h(y_j) for the best function
h = (K_P - sum_j u_j K(y_j, .)) / lambda of the primal problem.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, namespace

_MOST_STEPS = 200
_TOLERANCE = 1e-6  # of h in units of sqrt(G): the relative error of G is its square
_ROUNDING = 64  # units in the last place that sums may be off


@dataclass(frozen=True, eq=False)
class _Point:
    """Where Newton's method stands."""

    v: Array  # (M,)
    u: Array  # (M,)
    residual: Array  # of v = h(y), (M,)
    value: float  # G
    error: float  # bounds the decrement, and so the error of h
    size: float  # of the terms of G and of its gradient, whose digits may cancel


class KaleDual:
    """The problem of one Q, to be solved for one P after the other."""

    def __init__(self, values: Array, b: Array, regularization: float) -> None:
        """`values` is K between the points of Q, (M, M); `b` their weights (M,)."""
        xp = namespace(values)
        self.b = b
        self.regularization = regularization
        self._eps = float(xp.finfo(values.dtype).eps)
        spectrum, vectors = xp.linalg.eigh(values)
        if not regularization > _ROUNDING * self._eps * float(spectrum[-1]) / b.shape[0]:
            raise self._too_small("rounding of the kernel is larger")
        rank = int(xp.sum(xp.astype(spectrum > self._eps * b.shape[0] * spectrum[-1], xp.int32)))
        first = b.shape[0] - rank
        # K = factor factor^T with as few columns as its digits need, (M, R)
        self._factor = vectors[:, first:] * xp.sqrt(spectrum[first:])
        self._identity = xp.eye(rank, dtype=values.dtype, device=compat.device(values))

    @np.errstate(over="ignore", invalid="ignore")  # the loop reports it
    def solve(self, drive: Array, norm: float, start: Array | None = None) -> tuple[Array, float]:
        """The best v (M,), and G there, from a start near it where one is known.

        drive: sums over i of a_i K(y_j, x_i), (M,); norm: the sum of a_i a_k K(x_i, x_k).
        """
        xp = namespace(drive)
        at = self._evaluate(xp.zeros_like(drive) if start is None else start, drive, norm)
        for _ in range(_MOST_STEPS):
            floor = _ROUNDING * self._eps * at.size
            if not math.isfinite(at.size + at.value + at.error):
                raise self._too_small("sums are not finite")
            if at.error <= max(_TOLERANCE * math.sqrt(max(at.value, 0.0)), floor):
                return at.v, max(at.value, 0.0)
            at = self._step(at, drive, norm)
        raise self._too_small(f"Newton's method is not done after {_MOST_STEPS} steps")

    def _too_small(self, why: str) -> ValueError:
        return ValueError(
            f"regularization must be larger for this kernel and these points, got "
            f"{self.regularization:g}: {why}"
        )

    def _evaluate(self, v: Array, drive: Array, norm: float) -> _Point:
        xp, scale = namespace(v), self.regularization
        ratio = xp.exp(v)
        u = self.b * ratio
        image = u @ self._factor  # (R,)
        residual = v - (drive - self._factor @ image) / scale
        relative_entropy = float(xp.sum(self.b * (v * ratio - xp.expm1(v))))
        squares, cross = float(image @ image), float(u @ drive)
        return _Point(
            v, u, residual,
            relative_entropy + (squares - 2 * cross + norm) / (2 * scale),
            math.sqrt(float(xp.sum(u * residual * residual))),
            1 + (squares + 2 * abs(cross) + abs(norm)) / scale,
        )  # fmt: skip

    def _step(self, at: _Point, drive: Array, norm: float) -> _Point:
        """Newton's step for u, no longer than G allows, which keeps u positive."""
        xp, factor = namespace(at.v), self._factor
        weighted = xp.matrix_transpose(factor) * (at.u / self.regularization)  # (R, M)
        inner = xp.linalg.solve(
            self._identity + weighted @ factor, (weighted @ at.residual)[:, None]
        )
        change = factor @ inner[:, 0] - at.residual  # of u, relative to u
        decrement = -float(xp.sum(at.u * at.residual * change))
        if not math.isfinite(decrement):
            raise self._too_small("Newton's step is not finite")
        slack = _ROUNDING * self._eps * at.size
        fraction = 1.0
        while True:
            move = fraction * change
            # u (1 + move) where it grows and u exp(move) where it shrinks
            new = at.v + xp.where(move > 0, xp.log1p(xp.abs(move)), move)
            then = self._evaluate(new, drive, norm)
            if then.value <= at.value - 1e-4 * fraction * decrement + slack:
                return then
            fraction /= 2
