"""A user's module that makes features of conditions, trained together with the network."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._core.random import torch_seeded

_AXES = (2, 4)  # of features: vectors (n, k) or maps (n, C, H, W)


class Embedded(nn.Module):
    """A network that sees features of its condition: ``network(x, embedding(c), *others)``."""

    def __init__(self, network: nn.Module, embedding: nn.Module) -> None:
        super().__init__()
        self.network, self.embedding = network, embedding

    def forward(self, x: Tensor, condition: Tensor, *others: Tensor) -> Tensor:
        moved: Tensor = self.network(x, self.embedding(condition), *others)
        return moved


def embedded_shape(embedding: nn.Module, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of the features of one condition of that shape.

    Raises
    ------
    TypeError, ValueError
        If the module cannot take a batch of such conditions, or gives no features for each.
    """
    probe = copy.deepcopy(embedding).cpu().eval()
    try:
        with torch.no_grad(), torch.device("cpu"), torch_seeded(0):
            features = probe(torch.zeros(2, *shape))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(
            f"embedding must take conditions of shape (n, {', '.join(map(str, shape))}): {error}"
        ) from error
    if not isinstance(features, Tensor):
        raise TypeError(f"embedding must give a tensor, got {type(features).__name__}")
    if features.ndim not in _AXES or len(features) != 2:
        raise ValueError(
            "embedding must give features (n, k) or maps (n, C, H, W) for n conditions, "
            f"got shape {tuple(features.shape)} for 2"
        )
    return tuple(features.shape[1:])
