"""Radial kernels, as sums over pairs of points take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .._arrays import Array


class Formula(NamedTuple):
    """What compiled sums know of a function of the distance s: `factor` times one of these.

    "power": s^first. "gauss": exp(-s^2 / (2 first^2)). "matern": exp(-t) times the reverse Bessel
    polynomial of order `second` in t = first s, scaled to 1 at t = 0.
    """

    kind: str
    first: float
    second: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True)
class RadialProfile:
    """A function F of distances, element by element in any array library, and its derivative."""

    value: Callable[[Array], Array]  # F(s) for s >= 0
    slope: Callable[[Array], Array]  # F'(s) for s > 0
    formula: Formula | None = None  # None where only the functions know
