"""One network trained in rounds, with samples compared with the data after each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._settings import ModelSettings
from .._tensors import Tensors, prefixed
from ..data.scaling import Scaling
from .plan import Report, Stage
from .validation import Draw, Judge


class Rounds:
    """What a model of one network asks of the trainer.

    loss : `loss(network, step, part)` of a part of `n_terms` terms, the step counted from the first
    round on, and a function of these alone. drawing : `drawing(network)` gives a function that
    draws samples. picture : draws samples, in the units of the networks, into a file. kept :
    tensors that samples need besides the network, with names that begin with "data.". during :
    `during(last)` is entered while a round is trained up to the step before `last`.
    """

    columns = ("distance",)
    carries_on = True

    def __init__(
        self,
        network: nn.Module,
        options: ModelSettings,
        n_steps: int,
        n_rounds: int,
        loss: Callable[[nn.Module, int, slice], Tensor],
        n_terms: int,
        drawing: Callable[[nn.Module], Draw],
        judge: Judge,
        *,
        description: Mapping[str, Any],
        scaling: Scaling,
        picture: Callable[[Path, Tensor], object],
        kept: Mapping[str, Tensor] | None = None,
        during: Callable[[int], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.options = options
        self.settings = description
        self.n_stages = min(n_rounds, n_steps)
        self._network = network
        self._n_steps = n_steps
        self._loss = loss
        self._n_terms = n_terms
        self._drawing = drawing
        self._judge = judge
        self._kept = scaling.tensors() | dict(kept or {})
        self._picture = picture
        self._during = during
        self._found: list[Tensors] = []  # the network after each round
        self._draw: Draw | None = None

    def begin(self, stage: int, report: Report) -> Stage:
        """The steps of a round."""
        first, last = self._first(stage), self._first(stage + 1)
        return Stage(
            self._network,
            last - first,
            loss=lambda network, step, part=slice(None): self._loss(network, first + step, part),
            learning_rate=lambda step: self.options.learning_rate_at(
                (first + step) / self._n_steps
            ),
            divisible=True,
            n_terms=self._n_terms,
            during=self._during(last),
        )

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        """Keep the network, and measure how far its samples are from the data."""
        self._found.append({k: v.detach().cpu().clone() for k, v in network.state_dict().items()})
        network.eval()
        self._draw = self._drawing(network)
        return {"distance": self._judge.distance(self._draw)}

    def state(self) -> Tensors:
        """What samples need besides the network."""
        return self._kept

    def restore(self, networks: list[Tensors], state: Tensors) -> None:
        """Be as after these rounds."""
        self._found = list(networks)

    def weights(self, n_stages: int) -> Tensors:
        """The network after so many rounds, and the scale."""
        last = n_stages - 1
        return prefixed(f"networks.{last}", self._found[last]) | self._kept

    def draw(self, path: Path) -> None:
        """Draw samples from the same noise after each round."""
        assert self._draw is not None
        with torch.no_grad():
            self._picture(path, self._judge.samples(self._draw)[0])

    def _first(self, stage: int) -> int:
        """The step that a round begins with."""
        return self._n_steps * stage // self.n_stages
