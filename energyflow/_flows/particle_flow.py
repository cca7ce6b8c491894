"""Particle flows: points that descend the energy distance to a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, ArrayLike, Doubles, PointSets, Request, namespace

from .._core.blocks import rms_radius
from .._core.checks import check_count, check_exponent
from .._core.random import Rng, Source
from .._slices.projectors import moved_index
from .._slices.slicing import Slicing, SlicingName
from .._sums.problem import working_dtype
from .automatic.curvature import few_directions, of_slices
from .automatic.directions import Directions, choose_directions
from .automatic.plan import MOMENTUM, SHARE, Pace, Plan, choose_pace, kick_noise, saved_pace
from .automatic.sample import effective_size, sample
from .descent import Descent, as_cloud
from .flow_state import FlowState
from .minibatch import Minibatch
from .schedules import Schedule, check_step_size, constant


class ParticleFlow(Descent):
    r"""Particles that follow the Wasserstein gradient flow of the energy distance to a target.

    With F = E / 2 (the MMD^2 of the kernel -|.|^r), momentum m and step size tau, a step is

    .. math:: v \leftarrow N \nabla F(x) + m v, \qquad x \leftarrow x - \tau v

    with fresh directions at each step. N grad F has norm at most 2 when it is exact and r = 1, so
    a natural step size is the size of the data.

    Parameters
    ----------
    target : array (M, d)
        Points to flow to.
    target_weights : array (M,), optional
        Their weights, non-negative and with sum one; uniform when not given.
    exponent : float
        The power r, 0 < r < 2.
    n_projections : int or "auto"
        Directions at each step. ``"auto"`` takes 128 up to 128 dimensions and an orthonormal
        frame beyond, or two frames where the target is made of clusters or atoms: frames have no
        noise where slopes are linear.
    slicing : str or Slicing
        How directions are drawn: a name, see `sample_projections`, ``"hadamard"``, or an object
        such as `HadamardSlicing` or `PatchSlicing`. ``"auto"`` is that of `sample_projections` up
        to 256 dimensions, and ``"hadamard"`` beyond.
    step_size : float, callable or "auto"
        tau > 0, or a function of the step (0, 1, ...). ``"auto"`` takes the curvature of the
        distance at the target, the noise of the slices and the momentum into account. It has the
        units of the data. It falls over the first 200 steps, or some more, where the target has
        structure that is fine for the number of particles, such as clusters or atoms; and for all
        targets from then on as 1 / step.
    momentum : float, callable or "auto"
        0 <= m < 1, or a function of the step. ``"auto"`` is 0.7, and 0 with a given step size.
    batch_size : int, optional
        Points of the target that a step uses (a minibatch), drawn again for each step: without
        replacement, or in proportion to `target_weights` with replacement. All when not given.
    rng : int, generator or None
        Where directions and batches come from, see `sample_projections`. With an int, a
        `numpy.random.Generator` or None they are a pure function of the seed and the step, so a
        flow that is saved and resumes equals one that was never interrupted.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    A step costs one `sliced_energy_gradient`. Particles that coincide stay together: they are
    moved by the same subgradient. Start from distinct points.

    The gradient along a batch is unbiased. The distance that is recorded is too large, in the mean
    over batches of size B by W (M - B) / (M B - B) without weights and by W / B with them, where
    W = sum_jl b_j b_l |y_j - y_l|^r.

    References
    ----------
    Hertrich, Wald, Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels",
    ICLR 2024, Section 4.
    """

    _directions: Directions
    _share = SHARE
    _halving = 0.0

    def __init__(
        self,
        target: ArrayLike,
        *,
        target_weights: ArrayLike | None = None,
        exponent: float = 1.0,
        n_projections: int | str = "auto",
        slicing: SlicingName | Slicing = "auto",
        step_size: Schedule | str = "auto",
        momentum: Schedule | str = "auto",
        batch_size: int | None = None,
        rng: Rng = None,
    ) -> None:
        target = as_cloud("target", target, "M")
        self.exponent = check_exponent(exponent)
        super().__init__(target, target_weights, step_size, momentum, rng)
        self._minibatch = None
        if batch_size is not None:
            self._minibatch = Minibatch(batch_size, int(target.shape[0]), self.target_weights)
        self._size = effective_size(backends.count_of_all(target.shape[0]), self.target_weights)
        self._curvature = of_slices(
            self._sample(), self._size, few_directions(self._dimension(), slicing), self.exponent,
            int(target.shape[1]),
        )  # fmt: skip
        if self.step_size is None and self._curvature is not None:
            with np.errstate(divide="ignore"):
                check_step_size(float(1 / np.float64(self._curvature.coarse)))
        texture = 1.0 if self._curvature is None else self._curvature.texture
        self._directions = choose_directions(n_projections, self._dimension(), slicing, texture)

    @property
    def n_projections(self) -> int:
        """Directions at each step."""
        return self._directions.n

    @property
    def slicing(self) -> Slicing:
        """How directions are drawn."""
        return self._directions.slicing

    def automatic_step_size(self, n_particles: int) -> Callable[[int], float]:
        """The step sizes that a flow of so many particles chooses, for a schedule made of them.

        Parameters
        ----------
        n_particles : int
            N.

        Returns
        -------
        callable
            tau as a function of the step, for the momentum of this flow.

        Raises
        ------
        TypeError, ValueError
            If `n_particles` is no positive integer.
        """
        check_count("n_particles", n_particles)
        pace = self._pace(self._directions, n_particles)
        momentum = self.momentum or constant(self._default_momentum())
        return lambda step: pace.step_size(step, momentum(step))

    def _evaluate(
        self, state: FlowState, *, need_value: bool, need_gradient: bool
    ) -> tuple[Array, Array | None]:
        """The distance to the target, which comes with the sort, and N grad F where needed."""
        xp = namespace(state.x)
        d = state.x.shape[1]
        target, weights = self._batch(state.source, state.step)
        dtype = working_dtype(state.x, target)

        def batch_of_one(array: Array) -> Array:
            return xp.astype(array[None, ...], dtype, copy=False)

        x = state.x if state.fixed is None else xp.concat([state.x, state.fixed], axis=1)
        directions = state.directions or self._directions
        projector = directions.projector(state.source, state.step)
        b = None if weights is None else batch_of_one(weights)
        try:
            value, gradient, _ = backends.sliced_value_and_gradient(
                PointSets(batch_of_one(x), batch_of_one(target), None, b),
                projector,
                Request(self.exponent, wrt=("x",) if need_gradient else ()),
            )
        except backends.NonFiniteValue:
            raise state.not_finite() from None
        if gradient is not None:  # scaled before it is rounded: F = E / 2, times N
            gradient = xp.astype(gradient[0, :, :d] * (state.n / 2), state.x.dtype, copy=False)
        return value[0, ...], gradient

    def _batch(self, source: Source, step: int) -> tuple[Array, Array | None]:
        """The points of the target that a step uses, and their weights."""
        if self._minibatch is None:
            return self._points(None), self.target_weights
        places = self._minibatch.places(source, step)
        return self._points(moved_index(places, self.target)), None

    def _points(self, places: Array | None) -> Array:
        """All points of the target in the space of the directions, or those at some places."""
        target = self.target
        return target if places is None else namespace(target).take(target, places, axis=0)

    def _dimension(self) -> int:
        """Of the space of the directions."""
        return int(self.target.shape[1])

    def _sample(self) -> Doubles:
        """Some points of the target in that space, on the host."""
        return sample(self.target, self.target_weights)

    def _plan(self, state: FlowState, saved: Mapping[str, Any] | None) -> Plan:
        """Given settings are kept; the rest follows from them, or from the flow that resumes."""
        directions = state.directions or self._directions
        record = {"noise": directions.noise(int(self.target.shape[1]))}
        if self._curvature is not None:
            chance = self._curvature.mean * (1 / state.n + 1 / self._seen())
            record["floor" if self._minibatch is None else "batch_floor"] = chance
        if saved is not None and not saved:
            return Plan(*self._former(), None, record)  # saved before there were plans
        momentum = self.momentum or constant(self._default_momentum())
        if self.step_size is not None:
            return Plan(self.step_size, momentum, None, record)
        pace = saved_pace(saved or {}) or self._pace(directions, state.n)
        return Plan(lambda step: pace.step_size(step, momentum(step)), momentum, pace, record)

    def _pace(self, directions: Directions, n_particles: int) -> Pace:
        """The automatic step sizes of so many particles."""
        moving, size = int(self.target.shape[1]), self._seen()
        n_lines = 1 if directions.d == 1 else directions.n
        noise = directions.noise(moving) + kick_noise(self.exponent, n_lines)
        return choose_pace(
            self._curvature, noise, moving / directions.n, n_particles, size,
            share=self._share, halving=self._halving,
        )  # fmt: skip

    def _seen(self) -> float:
        """How many points of equal weight vary as much as what a step sees of the target."""
        return self._size if self._minibatch is None else min(self._size, self._minibatch.size)

    def _default_momentum(self) -> float:
        """A step size that is given is that of plain gradient descent."""
        return MOMENTUM if self.step_size is None else 0.0

    def _former(self) -> tuple[Callable[[int], float], Callable[[int], float]]:
        """The step size and the momentum of flows that were saved without a plan."""
        step_size = self.step_size or constant(default_step_size(self.target, self.exponent))
        return step_size, self.momentum or constant(0.0)

    def _settings(self) -> dict[str, Any]:
        return {
            "exponent": self.exponent,
            "batch_size": None if self._minibatch is None else self._minibatch.size,
        }


def default_step_size(target: Array, exponent: float) -> float:
    """A step size with the units of the data, 1 where all points of the target are the same."""
    with np.errstate(over="ignore", under="ignore"):  # step sizes of 0 or infinity are refused
        return float(np.power(rms_radius(target) or 1.0, 2 - exponent))
