"""KALE, a lower bound of the Kullback-Leibler divergence, with functions linear in features."""

from __future__ import annotations

import torch
from torch import Tensor

_MOST_STEPS = 100
_ENOUGH = 1e-10  # of KALE that a Newton step can still gain


def kale_weights(p: Tensor, q: Tensor, regularization: float) -> Tensor:
    r"""The weights w (f,) of h(z) = w . phi(z) that attain KALE(P | Q), in float64.

    .. math:: \max_w\; \mathrm{mean}\, w \cdot p_i - \mathrm{mean}\, e^{w \cdot q_j}
        - \tfrac{\lambda}{2} \|w\|^2

    p (N, f) and q (M, f) are features. Newton's method with steps that are halved until they gain;
    the problem is strictly concave. Costs O(M f^2 + f^3) a step.
    """
    p, q = p.double(), q.double()
    mean = p.mean(0)
    w = torch.zeros_like(mean)
    identity = torch.eye(len(w), dtype=w.dtype, device=w.device)

    def gain(w: Tensor) -> float:
        return float(w @ mean - torch.expm1(q @ w).mean() - regularization / 2 * (w @ w))

    value = gain(w)
    for _ in range(_MOST_STEPS):
        tilted = torch.exp(q @ w)[:, None] * q / len(q)  # (M, f)
        slope = mean - tilted.sum(0) - regularization * w
        direction = torch.linalg.solve(tilted.T @ q + regularization * identity, slope)
        expected = float(slope @ direction)
        if (1 + regularization) * expected < _ENOUGH:
            break
        size = 1.0
        while size > _ENOUGH and not gain(w + size * direction) > value + 0.25 * size * expected:
            size /= 2
        w = w + size * direction
        value = gain(w)
    return w


def kale(p: Tensor, q: Tensor, w: Tensor, regularization: float) -> Tensor:
    """(1 + lambda) (1 + mean h(p) - mean exp h(q) - lambda / 2 |w|^2)."""
    inner = (p @ w).mean() - torch.expm1(q @ w).mean() - regularization / 2 * (w @ w)
    return (1 + regularization) * inner
