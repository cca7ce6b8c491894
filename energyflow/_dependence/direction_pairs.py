"""Pairs of directions, one for each of two samples, drawn independently of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, ProjectorPair, namespace

from .._core.checks import check_choice, check_count
from .._core.random import Source
from .._slices.directions import METHODS, unit_slicing
from .._slices.families import SampledProjector
from .._slices.projectors import DenseProjector


@dataclass(frozen=True, eq=False)
class DirectionPairs:
    """How pairs of directions are drawn: how many, in which way, and where from."""

    source: Source
    n_projections: int
    slicing: str

    @classmethod
    def checked(cls, source: Source, n_projections: Any, slicing: Any) -> DirectionPairs:
        """After checking the arguments."""
        return cls(
            source,
            check_count("n_projections", n_projections),
            check_choice("slicing", slicing, METHODS),
        )

    def projectors(self, d: int, e: int, step: int = 0) -> ProjectorPair:
        """P directions in R^d and in R^e, one where both are lines; `step` tells which."""
        if d == e == 1:
            one = DenseProjector(np.ones((1, 1)))
            return ProjectorPair(one, one)
        paired = self.slicing in ("auto", "orthogonal") and min(d, e) > 1
        parts = self._axes(d, e, step) if paired else self._sets(d, e, step)
        return ProjectorPair(*map(DenseProjector, parts))

    def _axes(self, d: int, e: int, step: int) -> list[Array]:
        """Each axis of a random orthonormal frame with each axis of another one, then new frames.

        The squared products of such axes with the d e directions of a linear relation add up to the
        same number for any frames. Each first part of the pairs takes axes evenly.
        """
        frame, place = np.divmod(np.arange(self.n_projections), d * e)
        axes = place % d, (place + place // math.lcm(d, e)) % e
        parts = []
        for side, (size, axis) in enumerate(zip((d, e), axes, strict=True)):
            rows = frame * size + axis
            drawn = self._drawn("orthogonal", int(rows.max()) + 1, size, 3 * step + side)
            parts.append(_rows(drawn, rows))
        return parts

    def _sets(self, d: int, e: int, step: int) -> list[Array]:
        """Directions of both sides, shuffled: well-spread sets come in a fixed order."""
        parts = []
        for side, size in enumerate((d, e)):
            drawn = self._drawn(self.slicing, self.n_projections, size, 3 * step + side)
            keys = self.source.normal(3 * step + side, 2**31, (self.n_projections,))
            parts.append(_rows(drawn, namespace(keys).argsort(keys)))
        return parts

    def _drawn(self, slicing: str, n: int, d: int, step: int) -> Array:
        family = unit_slicing(slicing, n, d, self.source)
        return SampledProjector(family, n, d, self.source, step).directions()


def _rows(directions: Array, places: Any) -> Array:
    xp = namespace(directions)
    places = xp.asarray(places, device=compat.device(directions))
    return xp.take(directions, places, axis=0)
