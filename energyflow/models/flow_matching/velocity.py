"""The velocity field that a network is, its flow from noise to samples, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from .batches import Batch

PART = 4096  # points that are moved at once


class Velocity:
    """v(x, c, t) of a network that is called as ``network(x, *conditions, time)``.

    hides : whether the network was trained with some conditions hidden: it is then told besides
    which are shown, and can be guided.
    """

    def __init__(self, network: nn.Module, *, hides: bool) -> None:
        self.network = network
        self.hides = hides

    def __call__(
        self, x: Tensor, condition: Tensor | None, time: Tensor, shown: Tensor | None = None
    ) -> Tensor:
        """At points (n, *) and times (n,); shown (n,) is 0 where the condition is hidden."""
        seen = []
        if condition is not None:
            if self.hides:
                shown = torch.ones_like(time) if shown is None else shown
                seen = [_times(condition, shown), shown[:, None]]
            else:
                seen = [condition]
        moved: Tensor = self.network(x, *seen, time[:, None])
        return moved

    def guided(self, x: Tensor, condition: Tensor | None, time: Tensor, guidance: float) -> Tensor:
        """Away from where points without a condition go, for a guidance above 1."""
        here = self(x, condition, time)
        if guidance == 1:
            return here
        anywhere = self(x, condition, time, torch.zeros_like(time))
        return anywhere + guidance * (here - anywhere)


def error(velocity: Velocity, batch: Batch) -> Tensor:
    """Mean square of what the velocity misses on the straight paths of a batch."""
    time = batch.time.reshape(-1, *(1,) * (batch.data.ndim - 1))
    wanted = batch.data - batch.noise
    found = velocity(batch.noise + time * wanted, batch.condition, batch.time, batch.shown)
    return (found - wanted).square().mean()


def flowed(
    velocity: Velocity,
    noise: Tensor,
    condition: Tensor | None,
    *,
    solver: str,
    n_steps: int,
    guidance: float = 1.0,
) -> Tensor:
    """Noise (n, *) carried to samples, some thousand points at a time."""

    def field(c: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda t, x: velocity.guided(x, c, t.expand(len(x)), guidance)

    velocity.network.eval()
    parts = []
    with torch.no_grad():
        for x, c in _parts(noise, condition):
            parts.append(_solved(field(c), x, 0.0, 1.0, solver, n_steps))
    return torch.cat(parts)


def log_density(
    velocity: Velocity, x: Tensor, condition: Tensor | None, *, solver: str, n_steps: int
) -> Tensor:
    r"""Log-density (n,) of points (n, d) under the flow of standard normal noise.

    .. math:: \log p(x_1) = \log N(x_0; 0, I) - \int_0^1 \mathrm{div}\, v(x_t, t) \, dt ,

    the divergence by d derivatives of the network, some thousand points at a time.
    """

    def field(c: Tensor | None) -> Callable[..., tuple[Tensor, Tensor]]:
        def slopes(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                here = state[0].detach().requires_grad_()
                moved = velocity(here, c, t.expand(len(here)))
                divergence = torch.zeros_like(state[1])
                for k in range(here.shape[1]):
                    (slope,) = torch.autograd.grad(moved[:, k].sum(), here, retain_graph=True)
                    divergence = divergence + slope[:, k]
            return moved.detach(), divergence

        return slopes

    velocity.network.eval()
    parts = []
    for part, c in _parts(x, condition):
        start = part, torch.zeros(len(part), device=x.device)
        # the divergence is gathered on the way back, so with the opposite sign
        origin, gathered = _solved(field(c), start, 1.0, 0.0, solver, n_steps)
        normal = -0.5 * origin.square().sum(1) - 0.5 * x.shape[1] * math.log(2 * math.pi)
        parts.append(normal + gathered)
    return torch.cat(parts)


def _parts(x: Tensor, condition: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    for first in range(0, len(x), PART):
        part = slice(first, first + PART)
        yield x[part], None if condition is None else condition[part]


def _solved(
    field: Callable[..., Any], start: Any, first: float, last: float, solver: str, n_steps: int
) -> Any:
    """The end of dx/dt = field(t, x)."""
    if find_spec("torchdiffeq") is None:
        raise ModuleNotFoundError("sampling needs torchdiffeq: pip install -e '.[models]'")
    from torchdiffeq import odeint

    device = (start[0] if isinstance(start, tuple) else start).device
    points = 2 if solver == "dopri5" else n_steps + 1
    times = torch.linspace(first, last, points, device=device)
    way = odeint(field, start, times, method=solver, rtol=1e-5, atol=1e-5)
    return tuple(v[-1] for v in way) if isinstance(way, tuple) else way[-1]


def _times(condition: Tensor, shown: Tensor) -> Tensor:
    kept: Tensor = condition * shown.reshape(-1, *(1,) * (condition.ndim - 1))
    return kept
