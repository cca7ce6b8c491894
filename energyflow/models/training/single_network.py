"""The plan of a single network, trained in rounds and validated after each."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from .._fitted import N
from .._settings import RoundsSettings
from .._weights import Tensors
from .allowance import Allowance, Decisions
from .plan import STEPS_A_VALIDATION, ModelPlan, Report, Stage, Task, Validation
from .validation import ENOUGH, Draw


class HeldOutLoss(Protocol):
    """The loss of a network on held-out data, with the same noise at each call.

    cost : of a call, in steps of training.
    """

    cost: float

    def __call__(self, network: nn.Module) -> float:
        """A mean."""


@dataclass(frozen=True)
class Learning:
    """What a network learns by settings of the plan, of which a budget may change the batch size.

    loss : `loss(network, step, part)` of a part of `n_terms` terms, the step counted from the first
    round on, and a function of these alone. validation : where there are held-out data. during :
    `during(last)` is entered while a round is trained up to the step before `last`. least_gain :
    of the first round's `Validation`.
    """

    loss: Callable[[nn.Module, int, slice], Tensor]
    n_terms: int
    validation: HeldOutLoss | None = None
    least_gain: float | None = None
    during: Callable[[int], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class Schedule:
    """Equal rounds of so many steps, of which those from a round on may have been shortened.

    first, step, done : the round that the equal ones start with, its first step, and the share of
    the whole training that is done by then. before : the schedule of the rounds before that.
    """

    n_rounds: int
    n_steps: int  # from that round on
    first: int = 0
    step: int = 0
    done: float = 0.0
    before: Schedule | None = None

    def steps(self, number: int) -> tuple[int, int]:
        """The first step of a round, and the one after its last, counted from the first round."""
        if self.before is not None and number < self.first:
            return self.before.steps(number)
        begin, end = (
            self.n_steps * (k - self.first) // (self.n_rounds - self.first)
            for k in (number, number + 1)
        )
        return self.step + begin, self.step + end

    def share(self, number: int, step: int) -> float:
        """The share of the training that is done, by which the learning rate falls."""
        if self.before is not None and number < self.first:
            return self.before.share(number, step)
        return self.done + (1 - self.done) * (step - self.step) / self.n_steps

    def shortened(self, number: int, n_steps: int) -> Schedule:
        """With so many steps from a round on, at least one a round; as it is, if they are fewer."""
        if not self.first <= number < self.n_rounds:
            return self
        step, left = self.steps(number)[0], self.steps(self.n_rounds - 1)[1]
        n_steps = max(n_steps, self.n_rounds - number)
        if n_steps >= left - step:
            return self
        done = self.share(number, step)
        return Schedule(self.n_rounds, n_steps, number, step, done, before=self)


@dataclass
class SingleNetworkPlan(ModelPlan[N]):
    """The training plan of a model of one network.

    learning : what it learns, with a batch size. sampler : `sampler(network, n)` makes the model of
    a network that is trained for n rounds.
    """

    task: Task
    options: RoundsSettings
    learning: Callable[[int], Learning]
    sampler: Callable[[nn.Module, int], N]

    columns = ("validation", "distance")
    warm_start = True

    def __post_init__(self) -> None:
        super().__init__(self.task)
        self._n_steps = self.options.n_steps
        self._learning = self.learning(self.options.batch_size)
        self._validates = True
        self.n_stages = min(self.options.n_rounds, self._n_steps)
        self._schedule = Schedule(self.n_stages, self._n_steps)
        self._network = self.factory.new()
        self._rounds: list[Tensors] = []  # the network after each round
        self._last = self.sampler(self._network, 0)

    def decide(self, allowance: Allowance) -> Decisions:
        """Steps, their batch size, rounds and samples for validation that fit a budget."""
        n_steps = int(min(self._n_steps, allowance.steps))
        if not allowance.timed:
            return {"n_steps": n_steps, "n_rounds": min(self.n_stages, n_steps)}
        network, last = copy.deepcopy(self._network), self._last
        self._last = self.sampler(network.eval(), 0)
        sampling, n_rounds = allowance.sampling(
            network, self._validate_with, self.draw, self.validator.n_samples, self.n_stages,
            enough=ENOUGH,
        )  # fmt: skip
        self._last, reserved = last, n_rounds * sampling.seconds
        batch_size, seconds = allowance.batch(
            lambda size: self._stage(network, self.learning(size), 0),
            self.options.batch_size,
            reserved,
        )
        fitting = (allowance.to_spend() - reserved) / seconds
        validation = self.learning(batch_size).validation
        cost = 0.0 if validation is None else validation.cost
        validates = fitting >= STEPS_A_VALIDATION * cost
        if validates:  # after each round, and within it
            every = self.options.validated(n_steps, cost)["every"]
            fitting = (fitting - n_rounds * cost) / (1 + cost / every)
        fitting = max(fitting, 1.0)
        share = min(1.0, n_steps / fitting)
        n_steps = min(n_steps, int(fitting))
        return {
            "n_steps": n_steps, "n_rounds": min(n_rounds, n_steps), "batch_size": batch_size,
            "seconds": math.ceil(reserved + share * max(allowance.to_spend() - reserved, 0.0)),
            "validates": int(validates), **sampling.as_decisions(),
        }  # fmt: skip

    def _validate_with(self, n_samples: int) -> None:
        self.validator.distance(self.preview(), n_samples)

    def adopt(self, decisions: Decisions) -> None:
        """Plan for the steps, their batch size and the rounds that were decided."""
        super().adopt(decisions)
        self._n_steps, self.n_stages = decisions["n_steps"], decisions["n_rounds"]
        self._schedule = Schedule(self.n_stages, self._n_steps)
        self._validates = bool(decisions.get("validates", 1))
        if "batch_size" in decisions:
            self._learning = self.learning(decisions["batch_size"])

    def estimate(self, seconds_a_step: Callable[[Stage], float]) -> Decisions:
        """Rounds, steps and their seconds."""
        learning = self.learning(self.options.batch_size)
        seconds = seconds_a_step(self._stage(copy.deepcopy(self._network), learning, 0))
        return {
            "n_rounds": self.n_stages, "n_steps": self._n_steps,
            "seconds": math.ceil(self._n_steps * seconds),
        }  # fmt: skip

    def begin(self, stage: int, report: Report) -> Stage:
        """The steps of a round."""
        return self._stage(self._network, self._learning, stage)

    def shorten(self, stage: int, n_steps: int) -> bool:
        """Take fewer steps from a round on, over which the learning rate falls as was planned."""
        planned = self._schedule
        self._schedule = planned.shortened(stage, n_steps)
        return self._schedule is not planned

    def _stage(self, network: nn.Module, learning: Learning, stage: int) -> Stage:
        schedule = self._schedule
        first, last = schedule.steps(stage)
        return Stage(
            network,
            last - first,
            loss=lambda network, step, part=slice(None): learning.loss(network, first + step, part),
            learning_rate=lambda step: self.options.learning_rate_at(
                schedule.share(stage, first + step)
            ),
            n_terms=learning.n_terms,
            during=learning.during(last),
            validation=self._validation(learning, stage),
        )

    def _validation(self, learning: Learning, stage: int) -> Validation | None:
        if learning.validation is None or not self._validates:
            return None
        cost = learning.validation.cost
        how: dict[str, Any] = self.options.validated(self._n_steps, cost)
        least_gain = None if stage else learning.least_gain
        return Validation(learning.validation, cost=cost, least_gain=least_gain, **how)

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
