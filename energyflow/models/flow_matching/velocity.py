"""The velocity field that a network is, its flow from noise to samples, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .._embedding import Embedded
from .._networks import in_parts
from ..data.training_set import Pair
from .batches import Batch, Batches
from .solver import OdeSolver

_REPEATS, _LEAST, _MOST_BATCHES = 4, 2048, 32  # of each held-out point; pairs; batches
_MOST_HELD = 2**24  # numbers of all these batches


@dataclass(frozen=True)
class Velocity:
    """v(x, c, t) of a network that is called as ``network(x, *conditions, time)``.

    masks : whether conditions were masked in training (condition dropout): the network then sees
    the mask too, and samples can be guided.
    """

    network: nn.Module
    masks: bool

    def __call__(
        self, x: Tensor, condition: Tensor | None, time: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """At points (n, *) and times (n,); mask (n,) is 0 where the condition is masked."""
        inputs = [] if condition is None else [condition]
        if condition is not None and self.masks:
            mask = torch.ones_like(time) if mask is None else mask
            inputs = [condition * _like(mask, condition), mask[:, None]]
        velocity: Tensor = self.network(x, *inputs, time[:, None])
        return velocity

    def embedded(self, condition: Tensor | None) -> tuple[Velocity, Tensor | None]:
        """The same velocity of features of the condition, which are computed once for all times."""
        if condition is None or self.masks or not isinstance(self.network, Embedded):
            return self, condition
        return replace(self, network=self.network.network), self.network.embedding(condition)

    def at_start(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """At points (n, *) and time 0."""
        return self(x, condition, torch.zeros(len(x), device=x.device))

    def guided(self, x: Tensor, condition: Tensor | None, time: Tensor, guidance: float) -> Tensor:
        """Classifier-free guidance: away from the velocity without a condition, for a guidance
        above 1.
        """
        conditional = self(x, condition, time)
        if guidance == 1:
            return conditional
        unconditional = self(x, condition, time, torch.zeros_like(time))
        return unconditional + guidance * (conditional - unconditional)


def error(velocity: Velocity, batch: Batch) -> Tensor:
    """Mean square of what the velocity misses on the straight paths of a batch."""
    path = batch.data - batch.noise
    points = batch.noise + _like(batch.time, batch.data) * path
    return (velocity(points, batch.condition, batch.time, batch.mask) - path).square().mean()


class HeldOutError:
    """The error on batches of held-out points, the same ones with the same noise at each call."""

    def __init__(self, batches: Batches, held_out: Pair, masks: bool) -> None:
        self._batches, self._masks = batches, masks
        size, n = batches.size, len(held_out[0])
        most = max(1, _MOST_HELD // (size * held_out[0][0].numel()))
        self.count = min(max(-(-_REPEATS * n // size), -(-_LEAST // size)), _MOST_BATCHES, most)
        self.cost = self.count / 3  # in steps of training: there is no way back
        self._kept: list[Batch] = []

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> float:
        """The mean over all of them."""
        if not self._kept:
            self._kept = [self._batches(number) for number in range(self.count)]
        velocity = Velocity(network, self._masks)
        return sum(float(error(velocity, batch)) for batch in self._kept) / self.count


@torch.no_grad()
def flowed(
    velocity: Velocity,
    noise: Tensor,
    condition: Tensor | None,
    solver: OdeSolver,
    guidance: float = 1.0,
) -> Tensor:
    """Noise (n, *) carried to samples, some thousand points at a time."""

    def solve(x: Tensor, c: Tensor | None) -> Tensor:
        inner, features = velocity.embedded(c)

        def field(t: Tensor, x: Tensor) -> Tensor:
            return inner.guided(x, features, t.expand(len(x)), guidance)

        return solver.solve(field, x, 0.0, 1.0)

    velocity.network.eval()
    return in_parts(solve, noise, condition, once=velocity.at_start)


def log_density(
    velocity: Velocity,
    x: Tensor,
    condition: Tensor | None,
    solver: OdeSolver,
    probes: Tensor | None = None,
) -> Tensor:
    r"""Log-density (n,) of points (n, *) under the flow of standard normal noise.

    .. math:: \log p(x_1) = \log N(x_0; 0, I) - \int_0^1 \mathrm{div}\, v(x_t, t) \, dt ,

    some thousand points at a time, with the divergence of `_divergence`. It can be differentiated
    with respect to points that require it.
    """
    differentiable = x.requires_grad

    def density(x: Tensor, c: Tensor | None, probes: Tensor | None) -> Tensor:
        with torch.no_grad():
            inner, features = velocity.embedded(c)

        def slopes(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                here = state[0] if differentiable else state[0].detach().requires_grad_()
                moved = inner(here, features, t.expand(len(here)))
                divergence = _divergence(moved, here, probes, differentiable)
            return moved if differentiable else moved.detach(), divergence

        # the divergence is gathered on the way back, so with the opposite sign
        start = x, torch.zeros(len(x), device=x.device)
        origin, gathered = solver.solve(slopes, start, 1.0, 0.0)
        squares, d = origin.flatten(1).square().sum(1), x[0].numel()
        return gathered - 0.5 * squares - 0.5 * d * math.log(2 * math.pi)

    velocity.network.eval()
    return in_parts(
        density, x, condition, probes, once=lambda x, c, probes: velocity.at_start(x, c)
    )


def _divergence(moved: Tensor, x: Tensor, probes: Tensor | None, differentiable: bool) -> Tensor:
    r"""Divergence (n,) of what a network gives at x, both (n, *): its trace, by d derivatives.

    With probes :math:`e_k` (n, K, d) of independent signs, Hutchinson's estimate of it,
    :math:`\operatorname{mean}_k e_k^T J e_k`.
    """
    flat, total = moved.flatten(1), torch.zeros(len(x), device=x.device)

    def product(vector: Tensor) -> Tensor:
        """J^T times a vector of each point (n, d)."""
        (slope,) = torch.autograd.grad(
            (flat * vector).sum(), x, retain_graph=True, create_graph=differentiable
        )
        return slope.flatten(1)

    if probes is None:
        for k in range(flat.shape[1]):
            unit = torch.zeros(flat.shape[1], device=x.device)
            unit[k] = 1
            total = total + product(unit)[:, k]
        return total
    for vector in probes.to(flat.dtype).unbind(1):
        total = total + (product(vector) * vector).sum(1)
    return total / probes.shape[1]


def _like(numbers: Tensor, points: Tensor) -> Tensor:
    """Numbers (n,) in a shape that broadcasts with points (n, *)."""
    return numbers.reshape(-1, *(1,) * (points.ndim - 1))
