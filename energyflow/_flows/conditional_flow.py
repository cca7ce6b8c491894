"""Conditional flows: particles descend a joint energy distance while their conditions stay."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from energyflow_backends import Array, ArrayLike, Doubles, detached, namespace

from .._core.blocks import rms_radius
from .._core.checks import check_positive, check_together
from .._core.flow_result import FlowResult
from .._core.random import Rng
from .._slices.slicing import Slicing, SlicingName
from .automatic.plan import SHARE
from .automatic.sample import sample
from .descent import Callback, RunOptions, as_cloud, check_cloud
from .particle_flow import ParticleFlow, default_step_size
from .schedules import Schedule, constant

_HALVING = 300  # steps after which the default step size is halved
_MOMENTUM = 0.97


class ConditionalFlow:
    r"""Particles with fixed conditions that follow the flow of a joint energy distance.

    Pairs (p_i, q_i) of the target are points of R^(d + n), and so are the moving (x_i, y_i). With
    the joint F = E((x, beta y), (p, beta q)) / 2, momentum m and step size tau, a step is

    .. math:: v \leftarrow N \nabla_x F + m v, \qquad x \leftarrow x - \tau v ,

    and y stays. When the y_i are distributed as the q_i, the x_i that share a condition end near
    the distribution of p given that condition.

    Parameters
    ----------
    target : array (M, d)
        The points p.
    target_condition : array (M, n)
        The condition q of each.
    condition_weight : float or "auto"
        The factor beta > 0 of the conditions, in units of x over units of q. ``"auto"`` gives the
        conditions the RMS radius of the target: beta is the ratio of the root mean squared
        distances to the mean (1 where one of them is zero).
    step_size : float, callable or "auto"
        tau, or a function of the step. ``"auto"`` is that of `ParticleFlow`, divided by
        1 + k / 300 at step k: it has the units of the data, and falls so that what fresh
        directions stir up comes to rest.
    momentum : float, callable or "auto"
        m. ``"auto"`` is 0.97: a particle that few others are near has a gradient of the size of
        1 / N and far to go, and 1 / (1 - m) steps add up.
    target_weights, exponent, n_projections, slicing, batch_size, rng
        As in `ParticleFlow`; directions are drawn in R^(d + n), and a batch is one of pairs.

    Attributes
    ----------
    condition_weight : float
        The factor in use.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Give conditions that are distributed as the target's. Otherwise no x makes the joint distance
    zero, and at its minimum the x_i are not samples of a conditional distribution: particles whose
    condition is rare in the target, or absent from it, repel each other and are attracted by pairs
    with other conditions. No error is raised, but a `FlowWarning` tells where the joint distance
    stays far above its floor.

    A larger beta separates nearby conditions more sharply, but compares fewer particles with each
    other: a condition shares less with its neighbours, more particles are needed, and the flow
    takes more steps. A small joint distance alone does not mean that conditional distributions are
    close; measure those.

    References
    ----------
    Hagemann, Hertrich, Altekrüger, Beinert, Chemseddine, Steidl, "Posterior Sampling Based on
    Gradient Flows of the MMD with Negative Distance Kernel", ICLR 2024, Section 3.
    """

    def __init__(
        self,
        target: ArrayLike,
        target_condition: ArrayLike,
        *,
        condition_weight: float | str = "auto",
        target_weights: ArrayLike | None = None,
        exponent: float = 1.0,
        n_projections: int | str = "auto",
        slicing: SlicingName | Slicing = "auto",
        step_size: Schedule | str = "auto",
        momentum: Schedule | str = "auto",
        batch_size: int | None = None,
        rng: Rng = None,
    ) -> None:
        target = as_cloud("target", target, "M", target_condition)
        target_condition = as_cloud("target_condition", target_condition, "M", target)
        check_together("target", target, "target_condition", target_condition)
        if target.shape[0] != target_condition.shape[0]:
            raise ValueError(
                "target and target_condition must have one row for each pair, "
                f"got {target.shape[0]} and {target_condition.shape[0]}"
            )
        self.target = target
        self.target_condition = target_condition
        self.condition_weight = _weight(condition_weight, target, target_condition)
        self._flow = _JointFlow(
            self.condition_weight,
            target,
            target_condition,
            target_weights=target_weights,
            exponent=exponent,
            n_projections=n_projections,
            slicing=slicing,
            step_size=step_size,
            momentum=momentum,
            batch_size=batch_size,
            rng=rng,
        )

    def __repr__(self) -> str:
        (m, d), n = self.target.shape, self.target_condition.shape[1]
        return f"ConditionalFlow(to {m} points in {d} dimensions, given {n})"

    def automatic_step_size(self, n_particles: int) -> Callable[[int], float]:
        """As `ParticleFlow.automatic_step_size`."""
        return self._flow.automatic_step_size(n_particles)

    def run(
        self,
        particles: ArrayLike | FlowResult,
        condition: ArrayLike,
        n_steps: int,
        *,
        record_every: int = 10,
        callback: Callback | None = None,
        progress: bool = True,
        out: str | os.PathLike[str] | None = None,
        save_every: float = 300.0,
        velocity: Array | None = None,
        first_step: int = 0,
        until: str | None = None,
    ) -> FlowResult:
        """Take steps from given particles, or resume from an earlier result.

        Parameters
        ----------
        particles : array (N, d) or FlowResult
            Where to start, in the library and on the device of the target; or the result to resume
            from.
        condition : array (N, n)
            The condition of each particle, not yet multiplied by beta; the same when the flow
            resumes.
        n_steps, record_every, callback, progress, out, save_every, velocity, first_step, until
            As in `ParticleFlow.run`.

        Returns
        -------
        FlowResult
            Its distances are those of the joint distributions.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape or range, or a result comes from a flow with
            other settings.
        FlowDiverged
            If particles become NaN or infinite.
        OSError
            As in `ParticleFlow.run`.
        """
        condition = as_cloud("condition", condition, "N", self.target)
        check_together("condition", condition, "target", self.target)
        if condition.shape[1] != self.target_condition.shape[1]:
            raise ValueError(
                "condition must have the dimension of target_condition, "
                f"{self.target_condition.shape[1]}, got {condition.shape[1]}"
            )
        options = RunOptions(
            n_steps, record_every, callback, progress, out, save_every, velocity, first_step, until
        )
        fixed = _scaled(condition, self.condition_weight, self.target.dtype)
        return self._flow.run_beside(fixed, particles, options)


class _JointFlow(ParticleFlow):
    """A flow in the joint space, whose results remember the weight of the conditions."""

    _share = SHARE / 2  # a large momentum swings far
    _halving = float(_HALVING)
    _hint = "are the particles' conditions distributed as the target's?"

    def __init__(
        self, condition_weight: float, target: Array, condition: Array, **settings: Any
    ) -> None:
        self._condition_weight = condition_weight
        self._condition = detached(condition)
        super().__init__(target, **settings)
        self._whole: Array | None = None
        if self._minibatch is None:
            self._whole = _joined(self.target, self._condition, condition_weight)
            check_cloud("target", self._whole, "M")

    def run_beside(self, fixed: Array, particles: Any, options: RunOptions) -> FlowResult:
        """Move particles (N, d) whose last coordinates in the joint space, (N, n), stay."""
        return self._descend(particles, options, fixed)

    def _sample(self) -> Doubles:
        moving, fixed = (sample(v, self.target_weights) for v in (self.target, self._condition))
        with np.errstate(over="ignore", invalid="ignore"):  # the joint points are checked
            return np.concatenate([moving, fixed * self._condition_weight], axis=1)

    def _default_momentum(self) -> float:
        return _MOMENTUM

    def _former(self) -> tuple[Callable[[int], float], Callable[[int], float]]:
        first = default_step_size(self.target, self.exponent)
        step_size = self.step_size or (lambda step: first / (1 + step / _HALVING))
        return step_size, self.momentum or constant(_MOMENTUM)

    def _points(self, places: Array | None) -> Array:
        if self._whole is not None:
            return self._whole
        take = namespace(self.target).take
        target, condition = (take(v, places, axis=0) for v in (self.target, self._condition))
        return _joined(target, condition, self._condition_weight)

    def _dimension(self) -> int:
        return super()._dimension() + int(self._condition.shape[1])

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "condition_weight": self._condition_weight}


def _joined(target: Array, condition: Array, weight: float) -> Array:
    """Pairs as points of the joint space, (M, d + n)."""
    columns = [detached(target), _scaled(condition, weight, target.dtype)]
    return namespace(target).concat(columns, axis=1)


def _scaled(condition: Array, weight: float, dtype: Any) -> Array:
    return namespace(condition).astype(detached(condition), dtype, copy=False) * weight


def _weight(weight: Any, target: Array, condition: Array) -> float:
    if isinstance(weight, str) and weight == "auto":
        ratio = rms_radius(target) / (rms_radius(condition) or math.inf)
        return ratio if 0 < ratio < math.inf else 1.0
    return check_positive("condition_weight", weight)
