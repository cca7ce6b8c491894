"""How many directions a flow draws, and how, where the user leaves it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from energyflow_backends import Projector

from ..._core.checks import check_count
from ..._core.random import Source
from ..._slices.directions import SLICINGS, resolve_slicing, sampled_projector
from ..._slices.hadamard import padded_length
from ..._slices.slicing import Slicing
from .noise import slice_noise

_FEW = 128  # directions, enough up to as many dimensions
_HAAR = 256  # dimensions up to which frames are drawn by a QR decomposition
_MOST = 2**14  # directions of one step; of a user's own way of slicing, a quarter
_ROUGH = 1.3  # texture from which slopes vary so much that two frames go better than one
_SMALL_NOISE = 0.5


@dataclass(frozen=True)
class Directions:
    """n directions in R^d, and which of the two settings the user left open."""

    n: int
    d: int
    slicing: Slicing
    open: frozenset[str] = frozenset()

    @property
    def settings(self) -> dict[str, Any]:
        """What a saved flow remembers."""
        return {"n_projections": self.n, "slicing": self.slicing.name}

    def adopted(self, saved: Mapping[str, Any]) -> Directions:
        """The same with the settings of a saved flow where they are open."""
        n, name = saved.get("n_projections"), saved.get("slicing")
        directions = self
        if "n_projections" in self.open and type(n) is int and n > 0:
            directions = replace(directions, n=n)
        if "slicing" in self.open and isinstance(name, str) and name in SLICINGS:
            directions = replace(directions, slicing=resolve_slicing(name, directions.n, self.d))
        return directions

    def projector(self, source: Source, step: int) -> Projector:
        """Those of one step."""
        return sampled_projector(self.n, self.d, self.slicing, source, step)

    def noise(self, moving: int) -> float:
        """The relative variance of a gradient in the first coordinates, see `slice_noise`."""
        return slice_noise(self.n, self.d, self.slicing, moving)


def choose_directions(n: int | str, d: int, slicing: str | Slicing, texture: float) -> Directions:
    """The directions that are meant; `texture` is that of the target's curvature.

    Whole frames have no noise where slopes are linear, and with momentum the progress per
    direction grows up to them: few steps with whole frames beat many with parts of one.
    """
    is_open = isinstance(n, str)
    if isinstance(n, str):
        if n != "auto":
            raise ValueError(f'n_projections must be a positive integer or "auto", got {n!r}')
    else:
        check_count("n_projections", n)
    open_names = {"n_projections"} if is_open else set()
    family = slicing
    if isinstance(slicing, str) and slicing == "auto":
        open_names.add("slicing")
        family = "hadamard" if d > _HAAR else "auto"
    count = _count(d, family, 1 if texture < _ROUGH else 2) if isinstance(n, str) else n
    return Directions(count, d, resolve_slicing(family, count, d), frozenset(open_names))


def _count(d: int, slicing: str | Slicing, frames: int) -> int:
    name = slicing if isinstance(slicing, str) else slicing.name
    known = name in SLICINGS or name.startswith("hadamard")
    if not known:
        return _own_count(d, slicing)
    if d <= _FEW:
        return _FEW
    frame = padded_length(d) if name.startswith("hadamard") else d
    return min(frames * frame, _MOST)


def _own_count(d: int, slicing: str | Slicing) -> int:
    """Of a user's own way of slicing: doubled until its noise is small."""
    resolve_slicing(slicing, _FEW, d)
    n = _FEW
    while n < _MOST // 4 and slice_noise(n, d, slicing) > _SMALL_NOISE:
        n *= 2
    return n
