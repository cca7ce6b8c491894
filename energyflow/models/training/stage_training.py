"""The training of one stage: steps of the optimiser, and a moving average of the weights (EMA)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from energyflow_backends import any_process
from torch import Tensor, nn

from ..._core.random import torch_seeded
from .._weights import Tensors, load_weights, prefixed, without_prefix
from .distributed_loss import SharedLoss
from .early_stopping import BestSoFar
from .plan import Stage, Validation

_TRIED_STEPS, _TRIED = 8, 0.02  # at most, and the share of the seconds


def adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Adam, each step in one kernel; with decoupled weight decay it is AdamW."""
    if not weight_decay:
        return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    return torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay, fused=True)


@dataclass(kw_only=True, eq=False)
class Optimisation:
    """How networks are trained; `Trainer` says what each is."""

    ema: float = 0.0
    clip: float | None = None
    mixed_precision: bool = True
    optimizer: Callable[..., torch.optim.Optimizer] = adam


class StageTraining:
    """A stage with its optimiser and the moving average of its weights.

    What a network draws from torch's global generators, as dropout does, is a function of the seed
    and the step; the generators are as before after each.
    """

    def __init__(self, stage: Stage, how: Optimisation, seed: int = 0) -> None:
        self.stage = stage
        self.step = 0
        self.clip = how.clip
        self.network = stage.network
        self.network.train()
        self.loss = SharedLoss(stage)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = how.optimizer(self.parameters, stage.learning_rate(0))
        self.average = MovingAverage(self.network, how.ema) if how.ema else None
        self.device = self.parameters[0].device
        self.mixed = how.mixed_precision and self.device.type == "cuda"
        self._losses: list[Tensor] = []
        self._best = BestSoFar()
        self._seed = seed

    def advance(self) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.learning_rate(self.step) / self._best.divisor
        self.optimizer.zero_grad(set_to_none=True)
        with torch_seeded(self._seed + self.step):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
                loss = self.loss(self.step)
            loss.backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        self._losses.append(self.loss.over_processes(loss.detach()))
        self.step += 1

    def mean_loss(self) -> float:
        """Over the steps since the last call; before the first one, the loss that it has."""
        if not self.step:
            with torch.no_grad(), torch_seeded(self._seed):
                return float(self.loss.over_processes(self.loss(0)))
        mean = float(torch.stack(self._losses).float().mean())
        self._losses.clear()
        return mean

    def result(self) -> nn.Module:
        """The network that the stage gives: the best one by validation, else the last one."""
        if not self._best.weights:
            return self._current
        network = copy.deepcopy(self._current)
        load_weights(network, self._best.weights, "checkpoint")
        return network

    @property
    def _current(self) -> nn.Module:
        return self.network if self.average is None else self.average.module

    @property
    def starts(self) -> bool:
        """Whether validation is due before the first step."""
        validation = self.stage.validation
        return validation is not None and validation.least_gain is not None and self.step == 0

    @property
    def validates(self) -> bool:
        """Whether validation is due after this step."""
        validation = self.stage.validation
        last = self.step == self.stage.n_steps
        return validation is not None and (last or self.step % validation.every == 0)

    def validate(self, validation: Validation) -> float:
        """The loss on held-out data, before the first step less what is to be gained; the best
        weights are kept.
        """
        network = self._current
        network.eval()
        with torch_seeded(self._seed):
            loss = validation.loss(network)
        self.network.train()
        if not self.step:
            loss *= 1 - (validation.least_gain or 0.0)
        self._best = self._best.after(loss, self.step, network, validation)
        return loss

    @property
    def is_over(self) -> bool:
        """Whether all steps are taken, or the validation loss has long ceased to fall."""
        return self.step >= self.stage.n_steps or self.has_settled

    @property
    def has_settled(self) -> bool:
        """Whether the validation loss has not fallen for as long as it is waited for."""
        return self._best.settled

    def tensors(self) -> Tensors:
        """All that changes from step to step."""
        state = self.optimizer.state_dict()["state"]
        flat = {
            f"optimizer.{index}.{name}": value
            for index, numbers in state.items()
            for name, value in numbers.items()
        }
        average = {} if self.average is None else prefixed("average", self.average.state_dict())
        network = prefixed("network", self.network.state_dict())
        return {**network, **flat, **average, **self._best.tensors(self.step)}

    def unlogged(self) -> Tensors:
        """The losses since the last mean."""
        return {"losses": torch.stack(self._losses)} if self._losses else {}

    def is_finite(self) -> bool:
        """Whether all losses and weights are, of the average as well."""
        networks = [self.network] if self.average is None else [self.network, self.average]
        held = [value for network in networks for value in network.state_dict().values()]
        return all(bool(torch.isfinite(value).all()) for value in (*held, *self._losses))

    def restore(self, tensors: Tensors, step: int) -> None:
        """Return to the state after `step` steps, given the results of `tensors` and `unlogged`."""
        self.step = step
        self._losses = list(tensors["losses"].to(self.device)) if "losses" in tensors else []
        load_weights(self.network, without_prefix("network", tensors), "checkpoint")
        if self.average is not None:
            load_weights(self.average, without_prefix("average", tensors), "checkpoint")
        self._best = BestSoFar.of(tensors, step)
        state: dict[int, dict[str, Any]] = {}
        for name, value in without_prefix("optimizer", tensors).items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def seconds_a_step(stage: Stage, how: Optimisation, allowed: float) -> float:
    """What a step takes, by training a stage that is thrown away, for a share of `allowed` seconds.

    The first step prepares what the others use: it does not count.
    """
    training, taken = StageTraining(stage, how), list[float]()

    def step() -> float:
        start = perf_counter()
        training.advance()
        if training.device.type == "cuda":  # which takes it while the host goes on
            torch.cuda.synchronize(training.device)
        return perf_counter() - start

    with stage.during:
        step()
        while True:
            taken.append(step())
            if len(taken) == _TRIED_STEPS or any_process(sum(taken) > _TRIED * allowed)[0]:
                return median(taken)


class MovingAverage(nn.Module):
    """An exponential moving average (EMA) of a network's weights; of buffers, the last ones."""

    n_averaged: Tensor

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(network)
        self.register_buffer("n_averaged", torch.tensor(0))
        self._decay = decay
        weights = [[p.detach() for p in held.parameters()] for held in (self.module, network)]
        self._weights, self._theirs = weights  # looked up once: that takes longer than an update
        self._copies = list(zip(self.module.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the network; the first one is taken as it is."""
        count = int(self.n_averaged)
        decay = min(self._decay, (1 + count) / (10 + count)) if count else 0.0
        torch._foreach_lerp_(self._weights, self._theirs, 1 - decay)
        for mine, other in self._copies:
            mine.copy_(other)
        self.n_averaged += 1
