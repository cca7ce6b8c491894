"""Training plans: what a model asks of the trainer, stage by stage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol

from torch import Tensor, nn

from .._fitted import Fitted, N
from .._weights import NetworkFactory, Tensors
from ..data.training_set import TrainingSet
from .allowance import Allowance, Decisions
from .validation import Draw, Validator

Report = Callable[..., None]
STEPS_A_VALIDATION = 20  # of training, that a budget has room for, or the loss is not validated


@dataclass(frozen=True)
class Validation:
    """What tells whether a network in training also serves data that it has not seen.

    Attributes
    ----------
    loss : callable
        Of a network, on held-out data, the same ones and with the same noise at each call.
    every : int
        Steps of training between two calls; it is called after the last step too.
    patience : int or None
        The stage ends after so many steps without a smaller loss; never when None.
    reductions : int
        So many times the learning rate is divided by 5 instead, and training goes on.
    cost : float
        Of a call, in steps of training.
    ends : bool
        Whether the stage may end so; else only the learning rate is divided.
    least_gain : float, optional
        Given, the network already serves before its first step, and is validated then too. What is
        trained replaces it where the loss has fallen by at least this share.
    """

    loss: Callable[[nn.Module], float]
    every: int
    patience: int | None
    cost: float
    reductions: int = 0
    ends: bool = True
    least_gain: float | None = None


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
        ``loss(network, step)``, a function of these two alone, so that a run can be resumed.
    learning_rate : callable
        Of the step.
    numbers : dict
        For the log.
    n_terms : int
        The loss is a mean of so many terms, which processes share: ``loss(network, step, part)`` is
        the mean of those in a slice.
    during : context manager
        Entered while the stage is trained, and left however training ends.
    validation : Validation, optional
        The weights that it finds the best are those that the stage gives.
    """

    network: nn.Module
    n_steps: int
    loss: Callable[..., Tensor]
    learning_rate: Callable[[int], float]
    numbers: dict[str, float] = field(default_factory=dict)
    n_terms: int = 1
    during: AbstractContextManager[object] = field(default_factory=nullcontext)
    validation: Validation | None = None


class TrainingPlan(Protocol):
    """What a model asks of the trainer: stages, one after the other.

    Each method must be a function of the stages before and of the model's settings alone.

    Attributes
    ----------
    n_stages : int
        Number of stages.
    warm_start : bool
        Whether each stage starts with the network, the optimiser and the average of the last. The
        networks that stages keep then are those of one network on its way.
    columns : tuple of str
        Names of the numbers for the log.
    settings : dict
        What settings.json holds; a run is resumed only with the same. `seed` (0 if there is none)
        also seeds what networks draw from torch's global generators, as dropout does.
    """

    n_stages: int
    warm_start: bool
    columns: tuple[str, ...]
    settings: Mapping[str, Any]

    def decide(self, allowance: Allowance) -> Decisions:
        """What fits a budget, which is asked once, before the first stage: see `adopt`."""

    def adopt(self, decisions: Decisions) -> None:
        """Plan for what was decided, in this call or in an earlier one of the same run."""

    def estimate(self, seconds_a_step: Callable[[Stage], float]) -> Decisions:
        """The whole plan in words of `Decisions`, `seconds` among them, without validation.

        Asked where `Trainer.estimates`; seconds_a_step : trains a stage for a few steps.
        """

    def shorten(self, stage: int, n_steps: int) -> bool | None:
        """Plan for at most so many steps from a stage on; whether they are fewer than before.

        Asked of warm starts, between stages of a run with a budget of seconds, and again when such
        a run is resumed. Where a plan lacks it, or answers None, the last stages are left out.
        """
        return None

    def begin(self, stage: int, report: Report) -> Stage:
        """Prepare a stage; `report(doing=text, **numbers)` shows how far that is."""

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        """Take in the trained network; numbers for the log, `distance` among them if known."""

    def take(self, stage: int, network: nn.Module) -> bool:
        """Take in the network of a stage that is cut; whether it makes the model better.

        It is called at the end of a training, after which no stage starts.
        """

    def state(self) -> Tensors:
        """All that the next stage needs besides the networks."""

    def restore(self, networks: list[Tensors], state: Tensors) -> None:
        """Return to the state after these stages."""

    def weights(self, n_stages: int) -> Tensors:
        """The weights of the model after so many stages."""

    def draw(self, path: Path) -> None:
        """Write a picture of samples; `path` has the suffix .png."""


@dataclass(frozen=True)
class Task:
    """What a model is trained on and with; `settings` is what settings.json holds."""

    data: TrainingSet
    validator: Validator
    factory: NetworkFactory
    settings: Mapping[str, Any]


class ModelPlan(TrainingPlan, Generic[N]):
    """What the training plans of all models share."""

    def __init__(self, task: Task) -> None:
        self.data = task.data
        self.validator = task.validator
        self.factory = task.factory
        self.settings = task.settings
        self._draws = True

    @abstractmethod
    def networks(self, n_stages: int) -> N:
        """Those after so many stages."""

    @abstractmethod
    def preview(self) -> Draw:
        """What draws samples with the networks that are trained so far."""

    def fitted(self, n_stages: int) -> Fitted[N]:
        """The model after so many stages."""
        return Fitted(self.data.description, self.data.scaling, self.networks(n_stages))

    def weights(self, n_stages: int) -> Tensors:
        """The weights of the model after so many stages."""
        return self.fitted(n_stages).weights()

    def validate(self) -> dict[str, float]:
        """How far samples are from held-out data; nothing where the budget allows no samples."""
        if not self.validator.n_samples:
            return {}
        return {"distance": self.validator.distance(self.preview())}

    def adopt(self, decisions: Decisions) -> None:
        """Validate with as many samples as was decided, and draw them if it was."""
        self._draws = bool(decisions.get("pictures", 1))
        n_samples = decisions.get("n_validation", self.validator.n_samples)
        self.validator = replace(self.validator, n_samples=n_samples)

    def draw(self, path: Path) -> None:
        """Draw samples from the same noise after each stage, where the budget allows it."""
        if self._draws:
            self.validator.draw(path, self.preview())
