"""What a model asks of the trainer: stages, each with one network to train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from .._tensors import Tensors

Report = Callable[..., None]


@dataclass
class Stage:
    """One network to train.

    Attributes
    ----------
    network : Module
        Where training starts; it is changed in place.
    n_steps : int
        Steps of the optimiser.
    loss : callable
        ``loss(network, step)``, a function of these two alone, so that a run can go on.
    learning_rate : callable
        Of the step.
    numbers : dict
        For the log.
    divisible : bool
        Whether a budget may end the stage before its last step.
    n_terms : int
        The loss is a mean of so many terms, which processes share: ``loss(network, step, part)`` is
        the mean of those in a slice.
    during : context manager
        Entered while the stage is trained, and left whatever ends that.
    """

    network: nn.Module
    n_steps: int
    loss: Callable[..., Tensor]
    learning_rate: Callable[[int], float]
    numbers: dict[str, float] = field(default_factory=dict)
    divisible: bool = False
    n_terms: int = 1
    during: AbstractContextManager[object] = field(default_factory=nullcontext)


class Course(Protocol):
    """What a model asks of the trainer: stages, one after the other.

    Each method must be a function of the stages before and of the model's settings alone.
    """

    @property
    def n_stages(self) -> int:
        """How many there are."""

    @property
    def carries_on(self) -> bool:
        """Whether each stage goes on with the network, the optimiser and the average of the last.

        The networks that stages keep then are those of one network on its way.
        """

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers for the log."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What settings.json holds; a run goes on only with the same."""

    def begin(self, stage: int, report: Report) -> Stage:
        """Prepare a stage; `report(**numbers)` shows how far that is."""

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        """Take in the trained network; numbers for the log, `distance` among them if known."""

    def state(self) -> Tensors:
        """All that the next stage needs besides the networks."""

    def restore(self, networks: list[Tensors], state: Tensors) -> None:
        """Be as after these stages."""

    def weights(self, n_stages: int) -> Tensors:
        """The weights of the model after so many stages."""

    def draw(self, path: Path) -> None:
        """Write a picture of samples; `path` has the suffix .png."""
