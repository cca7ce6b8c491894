"""How strongly a target pulls points back, by the length over which they are displaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from energyflow_backends import Doubles, Projector

from ..._slices.directions import sampled_projector
from ..._slices.families import UnitSlicing
from ..._slices.hadamard import HadamardSlicing
from ..._slices.projectors import DenseProjector
from ..._slices.slicing import Slicing
from ...kernels import Kernel, Linear, RadialKernel, Riesz
from .sample import SOURCE, VECTORS

_SLICES = 16
_NOTHING = 1e-6
_LENGTHS = 49  # two a factor of two


@dataclass(frozen=True)
class Curvature:
    r"""Of F = E / 2 (or MMD^2 / 2) when all points of the target are displaced by a length s.

    The displaced target has the distance E(s) = k(s) s^2 to the target. k is constant where the
    target is smooth over s, and grows as 1 / s (for the exponent 1) where it has atoms.

    Attributes
    ----------
    lengths, values : arrays (L,)
        s, rising, and k(s).
    mean : float
        E(X, Y) of two single points X, Y of the target, halved: the mean of |y - y'|^r.
    variation : float
        Squared coefficient of variation of k over the slices.
    """

    lengths: Doubles
    values: Doubles
    mean: float
    variation: float = 0.0

    @property
    def coarse(self) -> float:
        """At the largest length, about half the distance between two points."""
        return float(self.values[-1])

    @property
    def texture(self) -> float:
        """How much stronger it is at an eighth of the largest length: 1 for smooth targets."""
        return float(self.values[-7] / self.values[-1])

    def at(self, energy: float) -> float:
        """At the length at which E(s) reaches this energy, and no less than at the largest."""
        reached = self.values * self.lengths**2 >= energy
        return (
            max(self.coarse, float(self.values[np.argmax(reached)]))
            if reached.any()
            else self.coarse
        )


def few_directions(d: int, slicing: str | Slicing) -> Projector:
    """In which a target is measured: uniform ones but for a user's own way of slicing."""
    if isinstance(slicing, Slicing) and not isinstance(slicing, UnitSlicing | HadamardSlicing):
        return sampled_projector(_SLICES, d, slicing, SOURCE)
    return DenseProjector(_directions(1 if d == 1 else _SLICES, d))


def of_slices(
    points: Doubles, size: float, projector: Projector, exponent: float, moving: int | None = None
) -> Curvature | None:
    """In the slices of a projector, for a target of `size` points; None where it has no extent.

    Where only the first `moving` coordinates move, lengths are those of displacements in them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.asarray(projector.project(points))  # (P, n)
        extent = float(np.max(np.ptp(rows, axis=1)))
    pull = projector.constant(exponent) * _scale(projector, points.shape[1])
    if not 0 < extent < np.inf:
        return None
    i, j = np.triu_indices(rows.shape[1], 1)

    def gaps(rows: Doubles) -> Doubles:
        return np.asarray(np.abs(rows[:, i] - rows[:, j]) / extent)  # (P, pairs)

    z = gaps(rows)

    def energy(s: float) -> Doubles:
        if exponent == 1:
            return np.asarray(2 * np.mean(np.maximum(s - z, 0), axis=1))
        both = (z + s) ** exponent + np.abs(z - s) ** exponent - 2 * z**exponent
        return np.asarray(np.mean(both, axis=1))

    lengths = _lengths(z)
    if moving is not None:
        part = np.where(np.arange(points.shape[1]) < moving, points, 0.0)
        moved = _lengths(gaps(np.asarray(projector.project(part))))
        lengths = moved if moved[-1] > 0 else lengths
    own = 2 * lengths**exponent  # of pairs that are a point and itself
    shifted = np.array([float(np.mean(energy(s))) for s in lengths])
    last = energy(lengths[-1])
    values = pull * ((1 - 1 / size) * shifted + own / size) / lengths**2
    mean = projector.constant(exponent) * float(np.mean(z**exponent))
    return Curvature(
        lengths * extent,
        values * _power(extent, exponent - 2),
        mean * _power(extent, exponent),
        float(np.var(last) / np.mean(last) ** 2) if np.mean(last) > 0 else 0.0,
    )


def of_kernel(points: Doubles, size: float, kernel: Kernel) -> Curvature | None:
    """In all directions, for sums over all pairs with a kernel."""
    d = points.shape[1]
    i, j = np.triu_indices(len(points), 1)
    z = points[i] - points[j]
    squares = np.sum(z**2, axis=1)
    if isinstance(kernel, Linear):
        ones = np.ones(_LENGTHS)
        return Curvature(ones, ones, float(np.mean(squares) / 2))
    if not isinstance(kernel, RadialKernel) or not 0 < np.max(squares, initial=0) < np.inf:
        return None
    along = np.sum(z * _directions(len(z), d), axis=1)
    distances = np.sqrt(squares)
    values_at = np.asarray(kernel.value(distances))

    def energy(s: float) -> float:
        there, back = (
            np.asarray(kernel.value(np.sqrt(np.maximum(squares + sign * 2 * s * along + s * s, 0))))
            for sign in (1, -1)
        )
        own = 2 * float(kernel.value(np.zeros(1))[0] - kernel.value(np.full(1, s))[0])
        return float(np.mean(2 * values_at - there - back)) * (1 - 1 / size) + own / size

    lengths = _lengths(distances)
    values = np.array([energy(s) for s in lengths]) / lengths**2
    if not isinstance(kernel, Riesz):  # bounded: no length asks for shorter steps than another
        values = np.full_like(values, np.max(values))
    mean = float(kernel.value(np.zeros(1))[0] - np.mean(values_at))
    return Curvature(lengths, values, mean) if np.all(np.isfinite(values)) else None


def _lengths(z: Doubles) -> Doubles:
    """Up to about half the mean of these distances (of those that are not zero, if few are not).

    It is 0.4 times the root mean square, as far as that is not due to a few large distances.
    """
    mean, many = float(np.mean(z)), float(np.quantile(z, 0.75))
    top = 0.4 * float(np.sqrt(np.mean(z**2)))
    if many > _NOTHING * top:
        top = min(top, max(0.7 * many, mean / 2))
    lengths: Doubles = top * 2.0 ** (-np.arange(_LENGTHS)[::-1] / 2)
    return lengths


def _scale(projector: Projector, d: int) -> float:
    """By what projecting a displacement and projecting it back multiplies it, per slice."""
    u = _directions(64, d, 1)
    back = np.asarray(projector.project_back(projector.project(u)))
    return float(np.sum(back * u) / np.sum(u * u)) / projector.n_projections


def _directions(n: int, d: int, draw: int = 0) -> Doubles:
    """Unit vectors (n, d), uniform; those of different draws are independent."""
    rows = np.asarray(VECTORS.normal(1, draw, (n, d)))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _power(base: float, exponent: float) -> float:
    with np.errstate(over="ignore", under="ignore"):  # step sizes of 0 or infinity are refused
        return float(np.power(base, exponent))
