"""A velocity in two parts: that of Gaussian data, in closed form, and what a network adds."""

from __future__ import annotations

from torch import Tensor, nn


class GaussianBase(nn.Module):
    r"""The velocity of whitened data as that of the law N(0, I) and a network's correction.

    With s(t)^2 = t^2 + (1 - t)^2, the variance of (1 - t) z + t x for independent z, x ~ N(0, I),

    .. math:: v(x, c, t) = \frac{2 t - 1}{s(t)^2} x + \frac{1}{s(t)} f(x / s(t), c, 2 t - 1) .

    Inputs of the network f, and what it must give, have about unit variance at all times; its last
    layer starts from zero, so that untrained it is the flow from noise to N(0, I).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, *inputs: Tensor) -> Tensor:
        """At points (n, d); inputs are conditions and, last, times (n, 1)."""
        *conditions, time = inputs
        variance = time.square() + (1 - time).square()
        spread = variance.sqrt()
        correction: Tensor = self.network(x / spread, *conditions, 2 * time - 1) / spread
        return (2 * time - 1) / variance * x + correction
