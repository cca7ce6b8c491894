"""The plan of a single network, trained in rounds and validated after each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from torch import Tensor, nn

from .._fitted import N
from .._settings import RoundsSettings
from .._weights import Tensors
from .plan import ModelPlan, Report, Stage, Task
from .validation import Draw


@dataclass
class SingleNetworkPlan(ModelPlan[N]):
    """The training plan of a model of one network.

    loss : `loss(network, step, part)` of a part of `n_terms` terms, the step counted from the first
    round on, and a function of these alone. sampler : `sampler(network, n)` makes the model of a
    network that is trained for n rounds. during : `during(last)` is entered while a round is
    trained up to the step before `last`.
    """

    task: Task
    options: RoundsSettings
    loss: Callable[[nn.Module, int, slice], Tensor]
    n_terms: int
    sampler: Callable[[nn.Module, int], N]
    during: Callable[[int], AbstractContextManager[object]] = nullcontext

    columns = ("distance",)
    warm_start = True

    def __post_init__(self) -> None:
        super().__init__(self.task)
        self.n_stages = min(self.options.n_rounds, self.options.n_steps)
        self._network = self.factory.new()
        self._rounds: list[Tensors] = []  # the network after each round
        self._last = self.sampler(self._network, 0)

    def begin(self, stage: int, report: Report) -> Stage:
        """The steps of a round."""
        first, last = (self.options.n_steps * k // self.n_stages for k in (stage, stage + 1))
        return Stage(
            self._network,
            last - first,
            loss=lambda network, step, part=slice(None): self.loss(network, first + step, part),
            learning_rate=lambda step: self.options.learning_rate_at(
                (first + step) / self.options.n_steps
            ),
            divisible=True,
            n_terms=self.n_terms,
            during=self.during(last),
        )

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        """Keep the network, and measure how far its samples are from the data."""
        self._rounds.append({k: v.detach().cpu().clone() for k, v in network.state_dict().items()})
        self._last = self.sampler(network.eval(), stage + 1)
        return self.validate()

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
