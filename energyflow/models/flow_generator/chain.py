"""The chain of networks that carries noise to samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .._networks import apply_in_parts
from ..data.scaling import Noise
from .settings import Block, Level


class Chain:
    """Networks Phi_k, one a block (or one for all): x <- x - Phi_k(x, condition).

    blocks, found: what the settings ask for; samples start from `noise`, and normal noise of
    standard deviation `enlarging` is added between resolutions.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        found: Sequence[Level],
        noise: Noise,
        enlarging: float,
        new_network: Callable[[], nn.Module],
        *,
        shared: bool,
        device: torch.device,
    ) -> None:
        self.blocks = list(blocks)
        self.levels = list(found)
        self.noise = noise
        self.enlarging = enlarging
        self.new_network = new_network
        self.shared = shared
        self.device = device
        self.networks: list[nn.Module] = []

    def __len__(self) -> int:
        return len(self.networks)

    @property
    def start_shape(self) -> tuple[int, ...]:
        """Of one point of the noise."""
        return self.levels[0].shape

    def start(self, n: int, rng: np.random.Generator) -> Tensor:
        """Noise for n samples."""
        return self.noise.draw(n, self.start_shape, rng).to(self.device)

    def inputs(self, condition: Tensor | None, block: Tensor | None) -> list[Tensor]:
        """What a network sees besides the points: their conditions, and their blocks if it is the
        one for all.
        """
        found = [] if condition is None else [condition]
        if self.shared and block is not None:
            code = functional.one_hot(block, len(self.blocks)).float()
            found.append(code.to(self.device))
        return found

    def move(self, x: Tensor, condition: Tensor | None, block: int) -> Tensor:
        """Through the network of one block."""
        number = torch.full((len(x),), block)
        return x - apply_in_parts(self.networks[block], x, self.inputs(condition, number))

    def enlarge(self, x: Tensor, level: int, rng: np.random.Generator) -> Tensor:
        """To a finer resolution, by repeating pixels and adding noise."""
        x = functional.interpolate(x, self.levels[level].shape[1:], mode="nearest")
        return x + self.enlarging * torch.from_numpy(rng.standard_normal(x.shape, np.float32)).to(x)

    def push(
        self, x: Tensor, condition: Tensor | None, rng: np.random.Generator, n_blocks: int
    ) -> Tensor:
        """Noise through the first blocks, enlarged as the next one needs it."""
        for k, block in enumerate(self.blocks[: n_blocks + 1]):
            if block.first and block.level > 0:
                x = self.enlarge(x, block.level, rng)
            if k < n_blocks:
                x = self.move(x, condition, k)
        return x

    def add(self, network: nn.Module) -> None:
        """Take in the network of the next block."""
        network.eval()
        if self.shared:
            self.networks = [network] * (len(self.networks) + 1)
        else:
            self.networks.append(network)
