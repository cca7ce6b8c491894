"""What a way of slicing is: how the directions of one call, or of one step of a flow, are drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from energyflow_backends import Projector

from .._core.random import Source

SlicingName = Literal["auto", "iid", "orthogonal", "sobol", "equispaced", "distance", "hadamard"]


class Slicing(ABC):
    """Draws projectors. Subclass it to slice in a way of your own.

    Attributes
    ----------
    name : str
        Its name in messages and in saved flows, with its settings.
    unbiased : bool
        Whether the mean over many draws is the energy distance of the points themselves.
    """

    name: str
    unbiased: ClassVar[bool]

    def check(self, d: int) -> None:  # noqa: B027
        """Raise a ValueError where points in d dimensions cannot be sliced in this way."""

    @abstractmethod
    def projector(self, n: int, d: int, source: Source, step: int = 0) -> Projector:
        """The n directions in R^d of one step: a function of (source, step) alone."""
