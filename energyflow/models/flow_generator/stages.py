"""The stages of a flow generator: flow, learn what the flow did, move on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from energyflow_backends import Array
from torch import Tensor, nn

from ..._core.flow_result import FlowResult
from ..._flows.conditional_flow import ConditionalFlow
from ..._flows.particle_flow import ParticleFlow
from .._random import generator, seeded_layers, source
from .._tensors import Tensors, load_weights, prefixed, without_prefix
from ..data.conditions import AnyConditions
from ..data.scaling import Scaling
from ..training.plan import Report, Stage
from ..training.validation import Judge, even, flat_array, resized
from .chain import Chain
from .settings import Block, FlowSettings


class FlowCourse:
    """What `FlowGenerator` asks of the trainer: a stage for each block of the flow.

    data (n, *shape) and condition (n, *) are in the units of the networks, and so are the samples
    that `picture` draws.
    """

    columns = ("flow_steps", "flow_distance", "distance")
    carries_on = False

    def __init__(
        self,
        chain: Chain,
        settings: FlowSettings,
        data: tuple[Tensor, Tensor | None],
        judge: Judge,
        *,
        description: Mapping[str, Any],
        scaling: Scaling,
        conditions: AnyConditions | None,
        picture: Callable[[Path, Tensor], object],
    ) -> None:
        self.chain = chain
        self.options = settings
        self.settings = description
        self.scaling = scaling
        self.conditions = conditions
        self.device = chain.device
        self.n_stages = len(chain.blocks)
        self._data, self._condition = data
        self._judge = judge
        self._picture = picture
        self._particles, self._given = self._noise(0)
        self._velocity = torch.zeros_like(self._particles)
        self._taken = 0  # flow steps at this resolution
        self._lessons: Tensors = {}  # start, motion, condition: N rows a block

    # -- what the trainer calls

    def begin(self, stage: int, report: Report) -> Stage:
        """Flow for a block, and set the task of learning where each particle came from."""
        block = self.chain.blocks[stage]
        if block.first and block.level > 0:
            rng = generator(self.options.seed, "enlarge", block.level)
            self._particles = self.chain.enlarge(self._particles, block.level, rng)
            self._taken = 0
        fresh = self.options.particles == "fresh" and stage > 0
        if fresh:
            noise, self._given = self._noise(stage)
            rng = generator(self.options.seed, "enlarge", stage)
            self._particles = self.chain.push(noise, self._given, rng, stage)
        if fresh or block.first or not self.options.carry_velocity:
            self._velocity = torch.zeros_like(self._particles)
        start = self._particles
        result = self._flow(block, report)
        self._taken += block.n_steps
        shape = start.shape
        self._velocity = self._back(result.velocity).reshape(shape)
        self._particles = self._back(result.particles).reshape(shape)
        self._learn(start, start - self._particles)
        steps = self.options.network_steps
        return Stage(
            network=self._next_network(),
            n_steps=steps,
            loss=lambda network, step, part=slice(None): self._loss(network, stage, step, part),
            learning_rate=lambda step: self.options.learning_rate_at(step / steps),
            numbers={
                "flow_steps": block.n_steps,
                "flow_distance": float(result.history_distance[-1]),
            },
            n_terms=self.options.batch_size,
        )

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        """Join the network to the chain, and measure how far its samples are from the data."""
        self.chain.add(network)
        if self.options.particles == "network":
            start = self._lessons["start"][-self.options.n_particles :]
            self._particles = self.chain.move(start, self._given, stage)
        return {"distance": self._judge.distance(self._sample)}

    def state(self) -> Tensors:
        """Particles on their way, and what their samples need."""
        found = {"particles": self._particles, "velocity": self._velocity}
        found["taken"] = torch.tensor(self._taken)
        if self._given is not None:
            found["given"] = self._given
        if self.chain.shared:
            found |= prefixed("lessons", self._lessons)
        return {**found, **self.scaling.tensors(), **self.chain.noise.tensors()}

    def restore(self, networks: list[Tensors], state: Tensors) -> None:
        """Be as after these stages."""
        for k, weights in enumerate(networks):
            if self.chain.shared and k < len(networks) - 1:
                continue
            network = self.chain.new_network().to(self.device)
            load_weights(network, weights, f"the network of block {k}")
            for _ in range(len(networks) if self.chain.shared else 1):
                self.chain.add(network)
        here = {name: tensor.to(self.device) for name, tensor in state.items()}
        self._particles, self._velocity = here["particles"], here["velocity"]
        self._given, self._taken = here.get("given"), int(here["taken"])
        self._lessons = without_prefix("lessons", here)

    def weights(self, n_stages: int) -> Tensors:
        """The networks of the first blocks (the shared one as that of the last), and the scale."""
        if self.chain.shared:
            n_stages = len(self.chain)
        first = n_stages - 1 if self.chain.shared else 0
        found = self.scaling.tensors() | self.chain.noise.tensors()
        for k in range(first, n_stages):
            found |= prefixed(f"networks.{k}", self.chain.networks[k].state_dict())
        return found

    def draw(self, path: Path) -> None:
        """Draw samples from the same noise after each block."""
        self._picture(path, self._judge.samples(self._sample)[0])

    # -- parts of these

    def _sample(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        return self.chain.push(self.chain.start(n, rng), condition, rng, len(self.chain))

    def _noise(self, stage: int) -> tuple[Tensor, Tensor | None]:
        """New particles, with the conditions of data points, each as often as the others."""
        rng = generator(self.options.seed, "particles", stage)
        n = self.options.n_particles
        noise = self.chain.start(n, rng)
        if self._condition is None:
            return noise, None
        return noise, self._condition[even(rng, len(self._condition), n)].to(self.device)

    def _flow(self, block: Block, report: Report) -> FlowResult:
        """The particles after the steps of the block."""
        run, first = self._runner(block), self._taken

        def show(step: int, particles: Array, distance: float) -> None:
            report(flow=step - first, distance=distance)

        standing = run(self._flat(self._particles), 0, progress=False)
        moving = replace(
            standing, velocity=self._flat(self._velocity), state={**standing.state, "step": first}
        )
        return run(moving, block.n_steps, callback=show, progress=False)

    def _runner(self, block: Block) -> Callable[..., FlowResult]:
        """The flow of a block, as a function of the particles and the number of steps."""
        level = self.chain.levels[block.level]
        how: dict[str, Any] = {
            "exponent": self.options.exponent,
            "n_projections": level.n_projections,
            "slicing": level.slicing,
            "step_size": block.step_size,
            "momentum": level.momentum_at,
            "rng": source(self.options.seed, "directions", block.level),
        }
        target = self._flat(resized(self._data, level.shape))
        if self._given is None or self._condition is None or self.conditions is None:
            return ParticleFlow(target, **how).run
        all_given, given = (
            self._flat(resized(c, level.shape)) for c in (self._condition, self._given)
        )
        weight = self.conditions.weight(self.options.condition_weight)
        flow = ConditionalFlow(target, all_given, condition_weight=weight, **how)
        return lambda particles, n, **shown: flow.run(particles, given, n, **shown)

    def _next_network(self) -> nn.Module:
        """The last network as it is, or a first one whose output is zero."""
        if self.chain.networks:
            last = self.chain.networks[-1]
            return last if self.chain.shared else copy.deepcopy(last)
        with seeded_layers(self.options.seed, "network"):
            return self.chain.new_network().to(self.device)

    def _learn(self, start: Tensor, motion: Tensor) -> None:
        """Set what is to be learned; one network for all blocks learns the earlier ones too."""
        new = {"start": start, "motion": motion}
        if self._given is not None:
            new["condition"] = self._given
        if self.chain.shared and self._lessons:
            new = {name: torch.cat([self._lessons[name], new[name]]) for name in new}
        self._lessons = new

    def _loss(self, network: nn.Module, stage: int, step: int, part: slice) -> Tensor:
        rng = generator(self.options.seed, "batch", stage, step=step)
        start, motion = self._lessons["start"], self._lessons["motion"]
        rows = torch.from_numpy(rng.integers(len(start), size=self.options.batch_size)[part])
        block = rows // self.options.n_particles if self.chain.shared else None
        rows = rows.to(self.device)
        condition = self._lessons["condition"][rows] if "condition" in self._lessons else None
        difference = network(start[rows], *self.chain.inputs(condition, block)) - motion[rows]
        errors: Tensor = difference.abs() if self.options.loss == "l1" else difference.square()
        return errors.mean()

    def _flat(self, tensor: Tensor) -> Array:
        return flat_array(tensor, self.device)

    def _back(self, array: Array) -> Tensor:
        return torch.as_tensor(array, device=self.device)
