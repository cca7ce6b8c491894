"""The plan of a single network, trained in rounds and validated after each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor, nn

from .._fitted import N
from .._settings import RoundsSettings
from .._weights import Tensors
from .budget import Allowance, Decisions
from .plan import ModelPlan, Report, Stage, Task, Validation
from .validation import Draw

_ENOUGH = 250  # samples, for a distance that says something
_STEPS_A_VALIDATION = 10  # of training, that a budget has room for, or the loss is not validated


class HeldOutLoss(Protocol):
    """The loss of a network on held-out data, with the same noise at each call.

    cost : of a call, in steps of training.
    """

    cost: float

    def __call__(self, network: nn.Module) -> float:
        """A mean."""


@dataclass
class SingleNetworkPlan(ModelPlan[N]):
    """The training plan of a model of one network.

    loss : `loss(network, step, part)` of a part of `n_terms` terms, the step counted from the first
    round on, and a function of these alone. sampler : `sampler(network, n)` makes the model of a
    network that is trained for n rounds. validation : where there are held-out data. during :
    `during(last)` is entered while a round is trained up to the step before `last`. least_gain :
    of the first round's `Validation`.
    """

    task: Task
    options: RoundsSettings
    loss: Callable[[nn.Module, int, slice], Tensor]
    n_terms: int
    sampler: Callable[[nn.Module, int], N]
    validation: HeldOutLoss | None = None
    during: Callable[[int], AbstractContextManager[object]] = nullcontext
    least_gain: float | None = None

    columns = ("validation", "distance")
    warm_start = True

    def __post_init__(self) -> None:
        super().__init__(self.task)
        self._n_steps = self.options.n_steps
        self._validates = True
        self.n_stages = min(self.options.n_rounds, self._n_steps)
        self._network = self.factory.new()
        self._rounds: list[Tensors] = []  # the network after each round
        self._last = self.sampler(self._network, 0)

    def decide(self, allowance: Allowance) -> Decisions:
        """Steps, rounds and samples for validation that fit a budget."""
        n_steps = int(min(self._n_steps, allowance.steps))
        if not allowance.timed:
            return {"n_steps": n_steps, "n_rounds": min(self.n_stages, n_steps)}
        network, last = copy.deepcopy(self._network), self._last
        tried = replace(self.begin(0, lambda **numbers: None), network=network)
        seconds = allowance.seconds_a_step(tried)
        self._last = self.sampler(network.eval(), 0)
        n_samples, n_rounds, each = self._validations(allowance)
        self._last = last
        left = allowance.to_spend() - n_rounds * each
        n_steps = max(1, min(n_steps, int(left / seconds)))
        cost = 0.0 if self.validation is None else self.validation.cost
        return {
            "n_steps": n_steps, "n_rounds": min(n_rounds, n_steps), "n_validation": n_samples,
            "validates": int(n_steps >= _STEPS_A_VALIDATION * cost),
        }  # fmt: skip

    def _validations(self, allowance: Allowance) -> tuple[int, int, float]:
        """Samples, rounds and seconds of each: fewer rounds where samples would be too few."""
        most = self.validator.n_samples
        n_samples, each = allowance.validation(self._validate_with, most, self.n_stages)
        if n_samples < min(most, _ENOUGH) and self.n_stages > 1:
            n_samples, each = allowance.validation(self._validate_with, most, 1)
            return n_samples, 1, each
        return n_samples, self.n_stages, each

    def _validate_with(self, n_samples: int) -> None:
        self.validator.distance(self.preview(), n_samples)

    def adopt(self, decisions: Decisions) -> None:
        """Plan for the steps and rounds that were decided."""
        super().adopt(decisions)
        self._n_steps, self.n_stages = decisions["n_steps"], decisions["n_rounds"]
        self._validates = bool(decisions.get("validates", 1))

    def begin(self, stage: int, report: Report) -> Stage:
        """The steps of a round."""
        first, last = (self._n_steps * k // self.n_stages for k in (stage, stage + 1))
        return Stage(
            self._network,
            last - first,
            loss=lambda network, step, part=slice(None): self.loss(network, first + step, part),
            learning_rate=lambda step: self.options.learning_rate_at(
                (first + step) / self._n_steps
            ),
            n_terms=self.n_terms,
            during=self.during(last),
            validation=self._validation(self.least_gain if stage == 0 else None),
        )

    def _validation(self, least_gain: float | None) -> Validation | None:
        if self.validation is None or not self._validates:
            return None
        cost = self.validation.cost
        how: dict[str, Any] = self.options.validated(self._n_steps, cost)
        return Validation(self.validation, cost=cost, least_gain=least_gain, **how)

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        """Keep the network, and measure how far its samples are from the data."""
        self.take(stage, network)
        return self.validate()

    def take(self, stage: int, network: nn.Module) -> bool:
        """Keep the network; it serves after any step."""
        self._rounds.append({k: v.detach().cpu().clone() for k, v in network.state_dict().items()})
        self._last = self.sampler(network.eval(), stage + 1)
        return True

    def preview(self) -> Draw:
        """Samples of the network after the last round."""
        return self._last.preview

    def state(self) -> Tensors:
        """What samples need besides the network."""
        tensors = self._last.tensors() | self.data.scaling.tensors()
        return {name: t for name, t in tensors.items() if name.startswith("data.")}

    def restore(self, networks: list[Tensors], state: Tensors) -> None:
        """Return to the state after these rounds."""
        self._rounds = list(networks)

    def networks(self, n_stages: int) -> N:
        """The network after so many rounds."""
        return self.sampler(self.factory.load(self._rounds[n_stages - 1], "weights"), n_stages)
