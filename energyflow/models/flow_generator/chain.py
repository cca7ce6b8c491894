"""The chain of networks that carries noise to samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .._networks import in_parts
from .._weights import NetworkFactory, Tensors, prefixed
from ..data.noise import Noise
from .settings import Block


@dataclass(frozen=True)
class Chain:
    """Networks Phi_k, one a block (or one for all, `shared`): x <- x - Phi_k(x, condition).

    blocks: of the settings. Samples start from `noise`, and normal noise of standard deviation
    `upsampling_noise` is added between resolutions.
    """

    blocks: tuple[Block, ...]
    noise: Noise
    upsampling_noise: float
    shared: bool
    device: torch.device
    networks: tuple[nn.Module, ...] = ()

    @property
    def n_trained(self) -> int:
        """Blocks whose networks are there."""
        return len(self.networks)

    @property
    def module(self) -> nn.ModuleList:
        """The networks by their blocks; one alone where all blocks share it."""
        return nn.ModuleList(self.networks[:1] if self.shared else self.networks)

    def start(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        """Noise for n samples, at the first resolution."""
        shape = self.blocks[0].shape
        numbers = self.noise.numbers(n, shape, rng)
        return self.noise.points(numbers, shape, condition).to(self.device)

    def inputs(self, condition: Tensor | None, block: Tensor | None) -> list[Tensor]:
        """What a network sees besides the points: their conditions, and the numbers of their
        blocks if it is shared.
        """
        inputs = [] if condition is None else [condition]
        if self.shared and block is not None:
            code = functional.one_hot(block, len(self.blocks)).float()
            inputs.append(code.to(self.device))
        return inputs

    @torch.no_grad()
    def move(self, x: Tensor, condition: Tensor | None, block: int) -> Tensor:
        """Through the network of one block."""
        inputs = self.inputs(condition, torch.full((len(x),), block))
        return x - in_parts(self.networks[block].eval(), x, *inputs)

    def upsample(self, x: Tensor, block: Block, rng: np.random.Generator) -> Tensor:
        """To the resolution of a block, by repeating pixels and adding noise."""
        x = functional.interpolate(x, block.shape[1:], mode="nearest")
        noise = torch.from_numpy(rng.standard_normal(x.shape, np.float32))
        return x + self.upsampling_noise * noise.to(x)

    def push(self, x: Tensor, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        """Noise through all networks, upsampled as the next block needs it."""
        for k, block in enumerate(self.blocks[: self.n_trained + 1]):
            if block.first and block.level > 0:
                x = self.upsample(x, block, rng)
            if k < self.n_trained:
                x = self.move(x, condition, k)
        return x

    def draw(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        """Samples, in the units of the networks."""
        return self.push(self.start(n, condition, rng), condition, rng)

    preview = draw

    def with_network(self, network: nn.Module) -> Chain:
        """The chain with the network of the next block; a shared one replaces the others."""
        earlier = (network,) * self.n_trained if self.shared else self.networks
        return replace(self, networks=(*earlier, network.eval()))

    def load(self, factory: NetworkFactory, weights: Mapping[int, Tensors], origin: str) -> Chain:
        """The chain with the networks of these weights, by their blocks."""
        last = max(weights)
        if not self.shared and len(weights) != last + 1:
            raise ValueError(f"{origin}: networks are missing from the weights")
        if last >= len(self.blocks):
            raise ValueError(f"{origin}: the weights are not those of the settings")
        blocks = [last] if self.shared else range(last + 1)
        networks = [factory.load(weights[k], origin) for k in blocks]
        return replace(self, networks=tuple(networks * (last + 1 if self.shared else 1)))

    def first(self, n_blocks: int) -> Chain:
        """The first blocks; all that are trained where the network is shared."""
        return self if self.shared else replace(self, networks=self.networks[:n_blocks])

    def tensors(self) -> Tensors:
        """For a file of weights; a shared network is that of the last block."""
        tensors = self.noise.tensors()
        for k in range(self.n_trained - 1 if self.shared else 0, self.n_trained):
            tensors |= prefixed(f"networks.{k}", self.networks[k].state_dict())
        return tensors
