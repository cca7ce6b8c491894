"""Weights by name, and networks that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .._core.random import keyed_generator

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class NetworkFactory:
    """Makes the networks of a model.

    build : gives a network, or a copy of the user's own, which is `given`.
    seed : initialises the layers; global random state is kept.
    """

    build: Callable[[], nn.Module]
    given: bool
    seed: int
    device: torch.device

    def new(self) -> nn.Module:
        """A network on the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(keyed_generator(self.seed, "network").integers(2**62)))
            return self.build().to(self.device)

    def load(self, weights: Tensors, origin: str) -> nn.Module:
        """A network of these weights; it takes no memory before they fit."""
        if self.given:
            network = self.build()
            load_weights(network, weights, origin)
        else:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                network = self.build()
            load_weights(network, weights, origin, assign=True)
        return network.to(self.device).eval()


def load_weights(
    network: nn.Module, weights: Tensors, origin: str, *, assign: bool = False
) -> None:
    """Give a network its weights; where they do not fit, the error names their origin.

    assign: the network, which may be on torch's device "meta", takes copies of the tensors.
    """
    if assign:
        own = network.state_dict()
        weights = {
            name: tensor.to(own[name].dtype, copy=True) if name in own else tensor
            for name, tensor in weights.items()
        }
    try:
        network.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{origin}: the weights do not fit the network: {reason}") from None


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors with a prefix to their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Those tensors whose names have the prefix, without it."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
