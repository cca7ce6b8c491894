"""The settings that all models share, and settings as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Annotated, Any, Literal, Self, TypeVar, get_type_hints

from .._core.checks import check_count
from ._fields import NonNegative, PositiveShare, Share, as_json, check_fields, from_json
from ._networks import Architecture, UNet

T = TypeVar("T")
S = TypeVar("S", bound="ModelSettings")
BEFORE = {
    "validation": 0.0, "early_stopping": False, "weight_decay": 0.0,
    "base": "none", "times": "uniform", "components": 1.0,
}  # fmt: skip
"""The settings of runs whose folders lack these entries."""
_RENAMED = {"network_steps": "n_steps"}


def renamed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of a run's folder, which may be older, by the names of today."""
    found = {_RENAMED.get(name, name): value for name, value in entries.items()}
    form = found.get("architecture")
    if isinstance(form, dict) and form.get("kind") == "UNet":
        found["architecture"] = {"patch": 1, "attention": True} | form
    return found


_VALIDATIONS = 100  # in a training, at most
_OFTEN = 20  # steps between validations, at least, and times the steps that one costs
_REDUCTIONS = 2  # of the learning rate at plateaus
_LAST = 0.2  # of the steps, in which the learning rate falls to zero after plateaus


@dataclass(frozen=True)
class ModelSettings:
    """How networks are built and trained; each model has its own defaults.

    Attributes
    ----------
    batch_size : int
        Points in a training step.
    learning_rate : float
        Learning rate of the optimiser, Adam, at the first step.
    learning_rate_decay : {"cosine", "constant", "plateau"}
        How the learning rate falls to the last step. With "plateau" it is divided by 5, twice at
        most, where the validation loss has not fallen for a 25th of the steps (200 at least), and
        falls to zero in the last fifth of the steps.
    weight_decay : float
        Decoupled weight decay of the optimiser, then AdamW.
    ema : float
        Decay of the exponential moving average of the weights, which is what is kept; 0 for none.
        See `Trainer`.
    clip : float, optional
        Largest norm of the gradient of all weights; no limit when not given.
    validation : float
        Share of the data that is held out, if no held-out data are given: networks never learn
        from it, and the weights that serve it best are kept. 0 for none; fewer than 20 points are
        not shared.
    early_stopping : bool
        Whether training ends, before its last step, when the validation loss has not fallen for a
        tenth of the steps (500 at least), or after the last plateau.
    components : float, optional
        Share of the variance that principal components of the points keep: the model then learns
        vectors, the coordinates along these, and samples are made of them. Distances in the log
        are those of coordinates: what is left out does not count there. 1 for points as they are.
        Each model has its own, when not given.
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
    learning_rate_decay: Literal["cosine", "constant", "plateau"] = "cosine"
    weight_decay: NonNegative = 0.0
    ema: Share = 0.0
    clip: float | None = None
    validation: Share = 0.1
    early_stopping: bool = True
    components: PositiveShare | None = None
    architecture: Architecture | None = None
    seed: Annotated[int, partial(check_count, minimum=0, maximum=math.inf)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.of_components and isinstance(self.architecture, UNet):
            raise ValueError(
                f"architecture must be an MLP with components={self.components:g}, which are "
                "vectors, got a UNet: leave one of them out"
            )

    @property
    def of_components(self) -> bool:
        """Whether vectors of principal components are learned, not the points as they are."""
        return self.components is not None and self.components < 1

    def learning_rate_at(self, fraction: float) -> float:
        """After a fraction of the steps."""
        if self.learning_rate_decay == "constant":
            return self.learning_rate
        if self.learning_rate_decay == "plateau":
            return self.learning_rate * min(1.0, (1 - fraction) / _LAST)
        return self.learning_rate * (1 + math.cos(math.pi * fraction)) / 2

    def validated(self, n_steps: int, cost: float) -> dict[str, int]:
        """When a training of so many steps is validated, and its patience: see `Validation`."""
        plateau = self.learning_rate_decay == "plateau"
        patience = max(n_steps // 25, 200) if plateau else max(n_steps // 10, 500)
        return {
            "every": max(-(-n_steps // _VALIDATIONS), _OFTEN, math.ceil(_OFTEN * cost)),
            "patience": patience,
            "reductions": _REDUCTIONS if plateau else 0,
            "ends": self.early_stopping,
        }

    def as_json(self) -> dict[str, Any]:
        """For settings.json."""
        entries = asdict(self)
        if self.architecture is not None:
            entries["architecture"]["kind"] = type(self.architecture).__name__
        return {name: as_json(value) for name, value in entries.items()}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Self:
        """Read the result of `as_json`; other entries are ignored.

        Raises
        ------
        TypeError, ValueError
            Entries are missing or wrong.
        """
        entries = BEFORE | renamed(entries)
        kinds = get_type_hints(cls)
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in entries]
        if missing:
            raise ValueError(f"settings lack {', '.join(missing)}")
        return cls(**{name: from_json(kinds[name], entries[name]) for name in names})


@dataclass(frozen=True)
class RoundsSettings(ModelSettings):
    """The settings of a model of one network, which is trained in rounds.

    Attributes
    ----------
    n_steps : int
        Training steps.
    n_rounds : int
        After each of so many equal rounds of steps, samples are compared with the data.
    """

    n_steps: int = 1000
    n_rounds: int = 2


@dataclass(frozen=True)
class Preset:
    """Settings for a data set.

    Attributes
    ----------
    settings : ModelSettings
        What to build and how to train it.
    tested : bool
        Whether they have been run on it here.
    note : str
        What they are for, and where they come from.
    """

    settings: ModelSettings
    tested: bool
    note: str
