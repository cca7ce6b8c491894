"""Blocks of a chain, and steps of their networks, that fit a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..training.allowance import Decisions
from ..training.plan import STEPS_A_VALIDATION

_BLOCKS = 4  # of which each has fewer steps, where a budget has no room for all


@dataclass(frozen=True)
class Costs:
    """Seconds of what blocks are made of.

    Attributes
    ----------
    flow : callable
        Of so many steps of the flow.
    step : float
        Of training.
    through : float
        Of all particles through a network.
    sampling : float
        Of the samples after the first block, from which each network takes as long.
    validation : float
        Of the validation loss, in steps of training.
    every : callable
        Steps between two of them, in a training of so many.
    """

    flow: Callable[[int], float]
    step: float
    through: float
    sampling: float
    validation: float
    every: Callable[[int], int]

    def blocks(self, left: float, flow_steps: Sequence[int], n_steps: int) -> tuple[int, float]:
        """How many of the blocks fit into the seconds that are left, and those that they take.

        flow_steps : of each block. n_steps : of each network.
        """
        validations = n_steps / self.every(n_steps) + 1
        learning, spent = self.step * (n_steps + validations * self.validation), 0.0
        for k, length in enumerate(flow_steps):
            more = self.flow(length) + learning + (k + 1) * self.sampling + k * self.through
            if spent + more > left:
                return k, spent
            spent += more
        return len(flow_steps), spent

    def first(self, left: float, flow_steps: int, most: int) -> tuple[int, bool]:
        """The steps of a first network that fit, and whether they are validated."""
        steps = (left - self.flow(flow_steps) - self.sampling) / self.step
        if validates := steps >= STEPS_A_VALIDATION * self.validation:
            steps = (steps - self.validation) / (1 + self.validation / self.every(most))
        return max(1, min(most, int(steps))), validates


def fitting(costs: Costs, left: float, flow_steps: Sequence[int], n_steps: int) -> Decisions:
    """Blocks and steps of a network for the seconds that are left.

    Four blocks, or as many as fit then, come before the steps of each, down to a quarter of these.
    """
    parts = [max(n_steps * eighths // 8, 1) for eighths in range(8, 1, -1)]
    found = [(*costs.blocks(left, flow_steps, fewer), fewer) for fewer in parts]
    wanted = min(_BLOCKS, max(k for k, _, _ in found))
    k, seconds, fewer = next(each for each in found if each[0] >= wanted)
    if k > 1:
        return {"n_blocks": k, "n_steps": fewer, "seconds": math.ceil(seconds)}
    steps, validates = costs.first(left, flow_steps[0], n_steps)
    if k and steps == n_steps:
        left = seconds
    return {
        "n_blocks": 1, "n_steps": steps, "seconds": math.ceil(left), "validates": int(validates),
    }  # fmt: skip
