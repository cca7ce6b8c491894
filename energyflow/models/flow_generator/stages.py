"""The training plan of a flow generator: flow, learn what the flow did, move on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any, cast

import numpy as np
import torch
from energyflow_backends import Array, Integers
from torch import Tensor, nn

from ..._core.flow_result import FlowResult
from ..._core.random import keyed_generator, keyed_source
from ..._flows.conditional_flow import ConditionalFlow
from ..._flows.particle_flow import ParticleFlow
from .._networks import PART
from .._weights import Tensors, prefixed, without_prefix
from ..data.conditions_by_name import weight_in_flows
from ..data.noise import Noise
from ..training.allowance import Allowance, Decisions, slowest
from ..training.plan import ModelPlan, Report, Stage, Task, Validation
from ..training.validation import Draw, downsampled, flat_array, rows_drawn_evenly
from .chain import Chain
from .fitting import Costs, fitting
from .settings import Block, FlowSettings

_FLOW = 0.5  # of the seconds that may be planned for, at most, in the flow of the first block
_WARM_UP = 1000  # particles, and data points


class FlowPlan(ModelPlan[Chain]):
    """The training plan of a `FlowGenerator`: a stage for each block of the flow.

    The names of random streams and of tensors in `state` are those of runs in older folders.
    """

    columns = ("validation", "flow_steps", "flow_distance", "distance")
    warm_start = False
    _particles: Tensor  # where they are
    _given: Tensor | None  # their conditions
    _target: Integers | slice  # rows of the data that they flow to

    def __init__(self, task: Task, options: FlowSettings, chain: Chain) -> None:
        super().__init__(task)
        self.chain = chain
        self.n_stages = len(chain.blocks)
        self._options = options
        self._n_steps = cast(int, options.n_steps)
        self._batch_size = cast(int, options.batch_size)
        self._n_particles = cast(int, options.n_particles)
        self._validates = True
        held = int(options.validation * self._n_particles)
        self._n_learned = self._n_particles - held  # particles; the others are held out
        self._first_network = task.factory.new()  # it fits the data, or no run begins
        self._start_from_noise(0)
        self._velocity = torch.zeros_like(self._particles)
        self._steps = 0  # of the flow at this resolution
        self._pairs: Tensors = {}  # training pairs start and motion, condition: N rows a block

    def decide(self, allowance: Allowance) -> Decisions:
        """Blocks, steps of flow and network, and samples for validation that fit a budget."""
        n_steps, most = self._n_steps, self.validator.n_samples
        if not allowance.timed:
            n_blocks = int(min(self.n_stages, allowance.steps // n_steps))
            return {
                "n_blocks": max(n_blocks, 1),
                "n_steps": n_steps if n_blocks else int(allowance.steps),
            }
        network = copy.deepcopy(self._first_network)
        flow = self._seconds_of_a_flow(self.chain.blocks[0])
        self._shorten(_steps_within(_FLOW * allowance.to_spend(), flow))
        chain = self.chain
        self.chain = chain.with_network(network)
        sampling, _ = allowance.sampling(
            network, lambda n: self.validator.distance(self.preview(), n), self.draw, most,
            self.n_stages,
        )  # fmt: skip
        self.chain, first = chain, flow(chain.blocks[0].n_steps) + sampling.seconds
        self._pairs = self._pairs_of(self._particles, torch.zeros_like(self._particles))
        batch_size, step = allowance.batch(
            lambda size: self._stage(network, 0, {}, size), self._batch_size, first
        )
        self._pairs = {}
        cost = self._validation_cost(batch_size)
        costs = Costs(
            flow, step, self._n_particles * step / (3 * batch_size), sampling.seconds, cost,
            every=lambda n_steps: self._options.validated(n_steps, cost)["every"],
        )  # fmt: skip
        lengths = [block.n_steps for block in chain.blocks[: self.n_stages]]
        decided = fitting(costs, allowance.to_spend(), lengths, self._n_steps)
        decided |= {"flow_steps": lengths[0], "batch_size": batch_size}
        return decided | sampling.as_decisions()

    def estimate(self, seconds_a_step: Callable[[Stage], float]) -> Decisions:
        """Blocks and their seconds, by steps of flow and network at each resolution."""
        blocks, seconds, kept = self.chain.blocks, 0.0, (self._particles, self._velocity)
        for first in (block for block in blocks if block.first):
            if first.level > 0:
                rng = keyed_generator(self._options.seed, "enlarge", first.level)
                self._particles = self.chain.upsample(self._particles, first, rng)
            self._velocity = torch.zeros_like(self._particles)
            flow = self._seconds_of_a_flow(first)
            self._pairs = self._pairs_of(self._particles, self._velocity)
            step = seconds_a_step(self._stage(copy.deepcopy(self._first_network), 0, {}))
            lengths = [block.n_steps for block in blocks if block.level == first.level]
            seconds += sum(flow(length) + self._n_steps * step for length in lengths)
        (self._particles, self._velocity), self._pairs = kept, {}
        return {
            "n_blocks": self.n_stages, "n_steps": self._n_steps, "seconds": math.ceil(seconds),
        }  # fmt: skip

    def adopt(self, decisions: Decisions) -> None:
        """Plan for the blocks and steps that were decided."""
        super().adopt(decisions)
        self._shorten(decisions.get("flow_steps", self.chain.blocks[0].n_steps))
        self.n_stages = min(self.n_stages, decisions["n_blocks"])
        self._n_steps = decisions["n_steps"]
        self._validates = bool(decisions.get("validates", 1))
        self._batch_size = decisions.get("batch_size", self._batch_size)

    def _shorten(self, flow_steps: int) -> None:
        """Flow for fewer steps in the first block, the only one then."""
        first, *others = self.chain.blocks
        if flow_steps < first.n_steps:
            blocks = (replace(first, n_steps=flow_steps), *others)
            self.chain, self.n_stages = replace(self.chain, blocks=blocks), 1

    def begin(self, stage: int, report: Report) -> Stage:
        """Flow for a block, and set the task of learning where each particle came from."""
        block, options = self.chain.blocks[stage], self._options
        if block.first and block.level > 0:
            rng = keyed_generator(options.seed, "enlarge", block.level)
            self._particles = self.chain.upsample(self._particles, block, rng)
            self._steps = 0
        fresh = options.particles == "fresh" and stage > 0
        if fresh:
            self._start_from_noise(stage)
            rng = keyed_generator(options.seed, "enlarge", stage)
            self._particles = self.chain.push(self._particles, self._given, rng)
        if fresh or block.first or not options.carry_velocity:
            self._velocity = torch.zeros_like(self._particles)
        start = self._particles
        where = f"block {stage + 1} of {self.n_stages}"

        def show(flow: int, distance: float) -> None:
            report(doing=f"{where}: flow, step {flow} of {block.n_steps}", distance=distance)

        result = self._flow(block, show)
        self._steps += block.n_steps
        self._particles, self._velocity = (
            torch.as_tensor(array, device=self.chain.device).reshape(start.shape)
            for array in (result.particles, result.velocity)
        )
        self._add_pairs(start, start - self._particles)
        distance = float(result.history_distance[-1])
        numbers = {"flow_steps": block.n_steps, "flow_distance": distance}
        return self._stage(self._next_network(), stage, numbers)

    def _stage(
        self, network: nn.Module, stage: int, numbers: dict[str, float], batch: int | None = None
    ) -> Stage:
        """The regression on the training pairs; batch : a size other than that of the settings."""
        options, n_steps = self._options, self._n_steps
        size = batch or self._batch_size
        return Stage(
            network=network,
            n_steps=n_steps,
            loss=lambda network, step, part=slice(None): self._loss(
                network, stage, step, size, part
            ),
            learning_rate=lambda step: options.learning_rate_at(step / n_steps),
            numbers=numbers,
            n_terms=size,
            validation=self._validation(),
        )

    def _validation(self) -> Validation | None:
        """By the particles of the same flow that are held out."""
        cost = self._validation_cost(self._batch_size)
        if not cost or not self._validates:
            return None
        how: dict[str, Any] = self._options.validated(self._n_steps, cost)
        return Validation(self._held_out_loss, cost=cost, **how)

    def _validation_cost(self, batch_size: int) -> float:
        """In steps of training; there is no way back."""
        return (self._n_particles - self._n_learned) / (3 * batch_size)

    def finish(self, stage: int, network: nn.Module) -> dict[str, float]:
        """Join the network to the chain, and measure how far its samples are from the data."""
        self.chain = self.chain.with_network(network)
        if self._options.particles == "network":
            start = self._pairs["start"][-self._n_particles :]
            self._particles = self.chain.move(start, self._given, stage)
        return self.validate()

    def take(self, stage: int, network: nn.Module) -> bool:
        """A network that has not learned its block yet serves only if there is no other."""
        if stage:
            return False
        self.chain = self.chain.with_network(network)
        return True

    def preview(self) -> Draw:
        """Samples of the chain so far."""
        return self.chain.draw

    def state(self) -> Tensors:
        """Particles on their way, and what their samples need."""
        state = {"particles": self._particles, "velocity": self._velocity}
        state["taken"] = torch.tensor(self._steps)
        if self._given is not None:
            state["given"] = self._given
        if self.chain.shared:
            state |= prefixed("lessons", self._pairs)
        return {**state, **self.data.scaling.tensors(), **self.chain.noise.tensors()}

    def restore(self, networks: list[Tensors], state: Tensors) -> None:
        """Return to the state after these stages, and to the noise that their networks know."""
        description = self.data.description
        noise = Noise.from_tensors(state, description.learned_shape, description.condition_shape)
        chain = replace(self.chain, noise=noise)
        self.chain = chain.load(self.factory, dict(enumerate(networks)), "checkpoints")
        here = {name: tensor.to(self.chain.device) for name, tensor in state.items()}
        self._particles, self._velocity = here["particles"], here["velocity"]
        self._given, self._steps = here.get("given"), int(here["taken"])
        self._pairs = without_prefix("lessons", here)

    def networks(self, n_stages: int) -> Chain:
        """The chain of the first blocks."""
        return self.chain.first(n_stages)

    def _start_from_noise(self, stage: int) -> None:
        """New particles, which have the conditions of data points, each as often as the others.

        They flow to these data where others come with the next block, else to all.
        """
        rng, n = keyed_generator(self._options.seed, "particles", stage), self._n_particles
        noise, shape = self.chain.noise, self.chain.blocks[0].shape
        numbers = noise.numbers(n, shape, rng)
        rows, condition = rows_drawn_evenly(len(self.data.points), n, rng), self.data.condition
        self._given = None if condition is None else condition[rows].to(self.chain.device)
        self._particles = noise.points(numbers, shape, self._given).to(self.chain.device)
        part = self._options.particles == "fresh" and n < len(self.data.points)
        self._target = rows if part else slice(None)

    def _flow(self, block: Block, report: Report, most: int | None = None) -> FlowResult:
        """The particles after the steps of the block; so many of them and of the data at most."""
        first, options = self._steps, self._options
        conditions = self.data.description.conditions

        def show(step: int, particles: Array, distance: float) -> None:
            report(flow=step - first, distance=distance)

        how: dict[str, Any] = {
            "exponent": options.exponent,
            "n_projections": block.n_projections,
            "slicing": block.slicing,
            "step_size": block.step_size or "auto",
            "momentum": block.momentum_at,
            "rng": keyed_source(options.seed, "directions", block.level),
        }
        run: dict[str, Any] = {
            "n_steps": block.n_steps,
            "callback": show,
            "progress": False,
            "velocity": self._flat(self._velocity)[:most],
            "first_step": first,
        }
        points, condition = self.data.points[self._target], self.data.condition
        target, particles = self._flat(points, block.shape), self._flat(self._particles)
        given = self._given
        kind: Any = ParticleFlow
        arrays, where = [target], [particles]
        if given is not None and condition is not None and conditions is not None:
            kind = ConditionalFlow
            how["condition_weight"] = weight_in_flows(options.condition_weight, conditions)
            arrays.append(self._flat(condition[self._target], block.shape))
            where.append(self._flat(given, block.shape))
        arrays = [array[:most] for array in arrays]
        flow = kind(*arrays, **how)
        if block.step_size is None:
            automatic = flow.automatic_step_size(self._n_particles)
            how["step_size"] = lambda step: block.step_factor * automatic(step)
            flow = kind(*arrays, **how)
        result: FlowResult = flow.run(*(array[:most] for array in where), **run)
        return result

    def _next_network(self) -> nn.Module:
        """A copy of the last network, itself if it is shared; or the first one."""
        if not self.chain.networks:
            return self._first_network
        last = self.chain.networks[-1]
        return last if self.chain.shared else copy.deepcopy(last)

    def _add_pairs(self, start: Tensor, motion: Tensor) -> None:
        """Set the training pairs; a shared network learns those of the earlier blocks too."""
        new = self._pairs_of(start, motion)
        if self.chain.shared and self._pairs:
            new = {name: torch.cat([self._pairs[name], new[name]]) for name in new}
        self._pairs = new

    def _pairs_of(self, start: Tensor, motion: Tensor) -> Tensors:
        pairs = {"start": start, "motion": motion}
        return pairs if self._given is None else {**pairs, "condition": self._given}

    def _seconds_of_a_flow(self, block: Block) -> Callable[[int], float]:
        """Of so many steps, by a step of a block that is thrown away.

        It is taken after one of a few particles, which loads and compiles what a flow needs.
        """
        block = replace(block, n_steps=1)
        self._flow(block, lambda **numbers: None, _WARM_UP)
        start = perf_counter()
        result = self._flow(block, lambda **numbers: None)
        whole = slowest(perf_counter() - start)
        step = slowest(float(result.history_seconds[0]))
        return lambda n_steps: whole + (n_steps - 1) * step

    def _loss(self, network: nn.Module, stage: int, step: int, size: int, part: slice) -> Tensor:
        """The mean error at a batch of the training pairs that are learned."""
        options, n_blocks = self._options, len(self._pairs["start"]) // self._n_particles
        rng = keyed_generator(options.seed, "batch", stage, step=step)
        drawn = rng.integers(n_blocks * self._n_learned, size=size)[part]
        block, particle = np.divmod(drawn, self._n_learned)
        return self._error(network, torch.from_numpy(block * self._n_particles + particle))

    @torch.no_grad()
    def _held_out_loss(self, network: nn.Module) -> float:
        """The mean error at the last particles of each block, which are not learned."""
        places = torch.arange(len(self._pairs["start"])).reshape(-1, self._n_particles)
        rows = places[:, self._n_learned :].flatten()
        errors = [float(self._error(network, part)) * len(part) for part in torch.split(rows, PART)]
        return sum(errors) / len(rows)

    def _error(self, network: nn.Module, rows: Tensor) -> Tensor:
        options, here = self._options, rows.to(self.chain.device)
        batch = {name: tensor[here] for name, tensor in self._pairs.items()}
        block = rows // self._n_particles if self.chain.shared else None
        inputs = self.chain.inputs(batch.get("condition"), block)
        difference = network(batch["start"], *inputs) - batch["motion"]
        errors: Tensor = difference.abs() if options.loss == "l1" else difference.square()
        return errors.mean()

    def _flat(self, tensor: Tensor, shape: tuple[int, ...] = ()) -> Array:
        """Rows for flows, images at the resolution of `shape`."""
        return flat_array(downsampled(tensor, shape), self.chain.device)


def _steps_within(seconds: float, flow: Callable[[int], float]) -> int:
    """Steps of a flow that fit, one at least."""
    step = max(flow(2) - flow(1), 1e-9)
    return 1 + max(int((seconds - flow(1)) / step), 0)
