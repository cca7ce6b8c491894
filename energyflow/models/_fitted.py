"""What training makes of a model: everything that samples need, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from energyflow_backends import EnergyflowError
from torch import Tensor, nn

from ._weights import Tensors
from .data.scaling import Scaling
from .data.training_set import Description


class SamplingDiverged(EnergyflowError):
    """Samples were not finite, or the solver of their path gave up: the network is too steep."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"sampling diverged: {reason}. The network does not describe these data: train it for "
            "longer, or with a smaller learning rate"
        )
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.reason,)


class Networks(Protocol):
    """Trained networks that draw samples, in the units of the networks."""

    @property
    def n_trained(self) -> int:
        """Stages that are trained."""

    @property
    def module(self) -> nn.Module:
        """All networks as one module, whose weights samples use."""

    def draw(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        """Samples (n, *shape), given encoded conditions (n, *)."""

    def preview(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        """Samples for validation, which may be rougher."""

    def tensors(self) -> Tensors:
        """For a file of weights: `networks.<stage>.*`, and what else samples need as `data.*`."""


N = TypeVar("N", bound=Networks, covariant=True)


@dataclass(frozen=True)
class Fitted(Generic[N]):
    """A fitted model; `Model.fit` and `Model.load` both make one."""

    description: Description
    scaling: Scaling
    networks: N

    def weights(self) -> Tensors:
        """For a file of weights."""
        return self.networks.tensors() | self.scaling.tensors()
