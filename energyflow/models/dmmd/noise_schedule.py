"""Variance-preserving noise: data under growing noise have the same variance at every level."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_FIRST, _LAST = 0.1, 20.0  # rates of the linear schedule


def cosine(t: Tensor) -> Tensor:
    """Angle pi t / 2: the standard deviation of the noise is its sine."""
    return math.pi / 2 * t


def linear(t: Tensor) -> Tensor:
    """A diffusion whose rate grows linearly from 0.1 to 20."""
    decay = _FIRST * t + (_LAST - _FIRST) * t.square() / 2  # of the variance, as a logarithm
    return torch.acos(torch.exp(-decay / 2))


SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {"cosine": cosine, "linear": linear}


def weights_at(schedule: str, t: Tensor) -> tuple[Tensor, Tensor]:
    """The pair alpha and beta at times t from 0 (data) to 1 (noise); alpha^2 + beta^2 = 1."""
    angle = SCHEDULES[schedule](t)
    return torch.cos(angle), torch.sin(angle)


def noised(schedule: str, t: Tensor, points: Tensor, noise: Tensor) -> Tensor:
    """x_t = alpha_t x_0 + beta_t e; t broadcasts with the points."""
    alpha, beta = weights_at(schedule, t)
    return alpha * points + beta * noise
