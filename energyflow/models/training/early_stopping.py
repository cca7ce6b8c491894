"""Early stopping: training ends when it gets no better, by the distances of stages or in a stage.

After each stage the validation distance counts, inside a stage the validation loss; the best
weights are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from .._weights import Tensors, prefixed, without_prefix
from .plan import Validation
from .run_folder import Record

_DIVISOR = 5  # of the learning rate, where the validation loss falls no more
_VALIDATION = "validation"


def best(records: Sequence[Record], patience: int | None) -> int:
    """How many stages to keep: up to the least distance, where that ends the training.

    Distances are unbiased and may be negative.
    """
    distances = [record.numbers.get("distance", math.inf) for record in records]
    if patience is None or not any(map(math.isfinite, distances)):
        return len(records)
    return min(range(len(distances)), key=distances.__getitem__) + 1


def stops_early(records: Sequence[Record], patience: int | None) -> bool:
    """Whether the distance has not fallen for `patience` stages."""
    return patience is not None and len(records) - best(records, patience) >= patience


@dataclass(frozen=True)
class BestSoFar:
    """Early stopping inside a stage: the least validation loss so far, and the weights that had it.

    Attributes
    ----------
    loss : float
        The least.
    weights : dict of tensors
        Of the network then.
    since : int
        The step of this stage, or below 0 of one before, from which on patience counts.
    reductions : int
        Of the learning rate, so far.
    settled : bool
        Whether training is over.
    """

    loss: float = math.inf
    weights: Tensors = field(default_factory=dict)
    since: int = 0
    reductions: int = 0
    settled: bool = False

    @property
    def divisor(self) -> int:
        """Of the learning rate, by the reductions so far."""
        return int(_DIVISOR**self.reductions)

    def after(self, loss: float, step: int, network: nn.Module, how: Validation) -> BestSoFar:
        """With one more validation."""
        if loss < self.loss:
            weights = {name: v.detach().clone() for name, v in network.state_dict().items()}
            return replace(self, loss=loss, weights=weights, since=step)
        if how.patience is None or step - self.since < how.patience:
            return self
        if self.reductions < how.reductions:
            return replace(self, since=step, reductions=self.reductions + 1)
        return replace(self, settled=how.ends)

    def tensors(self, step: int) -> Tensors:
        """For a checkpoint after `step` steps of the stage."""
        if not self.weights:
            return {}
        numbers = self.loss, step - self.since, self.reductions, self.settled
        return {
            _VALIDATION: torch.tensor(numbers, dtype=torch.float64),
            **prefixed("best", self.weights),
        }

    @classmethod
    def of(cls, tensors: Tensors, step: int) -> BestSoFar:
        """Read the result of `tensors`, of which `step` steps belong to this stage."""
        if _VALIDATION not in tensors:
            return cls()
        loss, waited, reductions, settled = tensors[_VALIDATION].tolist()
        weights = without_prefix("best", tensors)
        return cls(loss, weights, step - int(waited), int(reductions), bool(settled))


def have_settled(tensors: Tensors) -> bool:
    """Whether training was over at the checkpoint that holds these tensors."""
    return BestSoFar.of(tensors, 0).settled
