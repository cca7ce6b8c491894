"""The settings that all models share, and settings as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import numpy as np

from .._core.checks import check_choice, check_count, check_number, check_positive
from ._networks import MLP, Architecture, UNet

_ARCHITECTURES = {"MLP": MLP, "UNet": UNet}


@dataclass(frozen=True)
class ModelSettings:
    """How networks are built and trained; each model has its own defaults.

    Attributes
    ----------
    batch_size : int
        Points in a training step.
    learning_rate : float
        Learning rate of the optimiser, Adam, at the first step.
    learning_rate_decay : {"cosine", "constant"}
        How the learning rate falls to the last step.
    ema : float
        Decay of the exponential moving average of the weights, which is what is kept; 0 for none.
        See `Trainer`.
    clip : float, optional
        Largest norm of the gradient of all weights; no limit when not given.
    architecture : MLP or UNet, optional
        The network; chosen by the shape of the data when not given.
    seed : int
        Seed of everything that is random.

    Raises
    ------
    TypeError, ValueError
        Of the wrong type, or out of range.
    """

    batch_size: int = 200
    learning_rate: float = 1e-3
    learning_rate_decay: Literal["cosine", "constant"] = "cosine"
    ema: float = 0.0
    clip: float | None = None
    architecture: Architecture | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):  # NumPy's numbers are no JSON
            value = getattr(self, field.name)
            if isinstance(value, np.generic):
                object.__setattr__(self, field.name, value.item())
        check_count("batch_size", self.batch_size)
        check_count("seed", self.seed, minimum=0, maximum=math.inf)
        if self.architecture is not None and not isinstance(self.architecture, Architecture):
            raise TypeError(
                f"architecture must be an MLP or a UNet, got {type(self.architecture).__name__}"
            )
        check_choice("learning_rate_decay", self.learning_rate_decay, ("cosine", "constant"))
        check_positive("learning_rate", self.learning_rate)
        if not 0 <= check_number("ema", self.ema) < 1:
            raise ValueError(f"ema must lie between 0 and 1, got {self.ema}")
        if self.clip is not None:
            check_positive("clip", self.clip)

    def learning_rate_at(self, fraction: float) -> float:
        """After a fraction of the steps."""
        if self.learning_rate_decay == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * fraction)) / 2

    def as_json(self) -> dict[str, Any]:
        """For settings.json."""
        found = asdict(self)
        if self.architecture is not None:
            found["architecture"]["kind"] = type(self.architecture).__name__
        return {name: _listed(value) for name, value in found.items()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave; other entries are left alone.

        Raises
        ------
        TypeError, ValueError
            Entries are missing or wrong.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"settings lack {', '.join(missing)}")
        return cls(**cls._revived({name: _tupled(found[name]) for name in names}))

    @classmethod
    def _revived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The values with their types; a subclass with nested settings adds its own."""
        if values["architecture"] is not None:
            inner = dict(values["architecture"])
            kind = check_choice("kind", inner.pop("kind"), tuple(_ARCHITECTURES))
            values["architecture"] = _ARCHITECTURES[kind](**inner)
        return values


def _listed(value: Any) -> Any:
    """Tuples as lists, as JSON gives them back."""
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, tuple | list) else value


def _tupled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tupled(inner) for key, inner in value.items()}
    return tuple(_tupled(inner) for inner in value) if isinstance(value, list) else value
