"""The settings of a flow generator, its pyramid of resolutions, and the blocks they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ..._core.checks import (
    check_choice,
    check_count,
    check_each,
    check_exponent,
    check_flag,
    check_nonnegative,
    check_number,
    check_positive,
)
from ..._slices.directions import SLICINGS
from ..._slices.patches import PatchSlicing
from ..._slices.slicing import Slicing
from .._settings import ModelSettings

_MOST_BLOCKS = 100_000
PARTICLES = ("network", "fresh", "flow")


@dataclass(frozen=True)
class Pyramid:
    """Resolutions through which images grow, coarse to fine, and the flow at each of them.

    Between two resolutions images are enlarged by repeating pixels, and normal noise is added.

    Attributes
    ----------
    resolutions : tuple of int
        Sides of the images; each divides the next, the last is that of the data.
    n_blocks : tuple of int
        Blocks at each resolution.
    noise : float
        Standard deviation of the noise that is added to upsampled images, in units of the data.
    step_sizes : tuple of float
        Step size of the flow at each resolution.
    momenta : tuple of float
        Momentum of the flow at each resolution; the largest one, where it grows.
    momentum_growth : float
        The momentum begins at 0 and grows by so much a step; 0 for none.
    first_exponents : tuple of int
        The `first_exponent` of `FlowSettings` at each resolution.
    patch_size : int, optional
        Directions at the last resolution see patches of so many cells a side, see `PatchSlicing`.
    patch_scales : tuple of int
        Scales of the patches.

    Raises
    ------
    TypeError, ValueError
        Resolutions do not divide one another, tuples differ in length, or numbers are out of range.
    """

    resolutions: tuple[int, ...] = (4, 8, 16, 32)
    n_blocks: tuple[int, ...] = (10, 10, 15, 20)
    noise: float = 0.08
    step_sizes: tuple[float, ...] = (0.5, 1.0, 1.0, 1.0)
    momenta: tuple[float, ...] = (0.8, 0.8, 0.8, 0.0)
    momentum_growth: float = 0.01
    first_exponents: tuple[int, ...] = (5, 5, 5, 5)
    patch_size: int | None = None
    patch_scales: tuple[int, ...] = (0, 1, 2, 3)

    def __post_init__(self) -> None:
        for name, check in (
            ("resolutions", check_count), ("n_blocks", _check_blocks),
            ("first_exponents", check_count), ("step_sizes", check_positive),
            ("momenta", _check_momentum), ("patch_scales", partial(check_count, minimum=0)),
        ):  # fmt: skip
            object.__setattr__(self, name, check_each(name, getattr(self, name), check))
        if self.patch_size is not None:
            check_count("patch_size", self.patch_size)
        check_nonnegative("momentum_growth", self.momentum_growth)
        count = len(self.resolutions)
        for name in ("n_blocks", "step_sizes", "momenta", "first_exponents"):
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f"{name} must have one entry for each of the {count} resolutions, "
                    f"got {getattr(self, name)}"
                )
        pairs = zip(self.resolutions, self.resolutions[1:], strict=False)
        if not count or any(fine <= coarse or fine % coarse for coarse, fine in pairs):
            raise ValueError(
                f"resolutions must grow, each dividing the next, got {self.resolutions}"
            )
        check_nonnegative("noise", self.noise)


@dataclass(frozen=True)
class FlowSettings(ModelSettings):
    """How a `FlowGenerator` flows and learns.

    Attributes
    ----------
    n_particles : int
        Particles that the networks learn from.
    n_projections : int
        Directions at each step of the flow, see `ParticleFlow`.
    exponent : float
        Power r of the energy distance, 0 < r < 2.
    slicing : str
        How directions are drawn, see `sample_projections`.
    step_size : float, optional
        Step size tau of the flow; a third of the mean distance between data points when not given.
    step_decay : float
        From block to block tau is multiplied by this: late blocks follow what the particles have
        in common, not their jitter.
    least_step : float
        The smallest step size, as a multiple of the first.
    momentum : float
        Momentum m of the flow.
    carry_velocity : bool
        Whether blocks continue with the velocity of the one before (unless particles are fresh).
    n_blocks : int
        Networks in the chain.
    first_exponent : int
        Block k = 0, 1, ... has min(s + min(2^(first_exponent + k), block_cap), block_limit) flow
        steps, s being those of the block before.
    block_cap : int
        Steps by which a block is longer than the one before, at most.
    block_limit : int
        Flow steps of a block, at most.
    start : {"uniform", "normal"}
        What samples start from: uniform noise on the unit box, or normal noise with the mean and
        the covariance of the data, for at most 4096 numbers a point. From there a posterior flow
        has little left to do where the posterior is nearly normal.
    particles : {"network", "fresh", "flow"}
        Where the next block starts: new noise sent through the chain ("fresh"), the particles
        where the network has put them, or where the flow did. Only with "fresh" do networks learn
        from the errors that the chain makes on noise it has not seen.
    one_network : bool
        Whether one network, which sees the number of the block, replaces the chain.
    network_steps : int
        Training steps of each network.
    batch_size : int
        Points in a training step.
    learning_rate : float
        Learning rate of the optimiser, Adam, at the first step.
    learning_rate_decay : {"cosine", "constant"}
        How the learning rate falls within a block.
    loss : {"l2", "l1"}
        What the regression minimises.
    ema : float
        Decay of the exponential moving average of the weights, which is what is kept; 0 for none.
        See `Trainer`.
    clip : float, optional
        Largest norm of the gradient of all weights; no limit when not given.
    condition_weight : float or "auto"
        Factor of the conditions in the flow, see `ConditionalFlow`; labels count as unit vectors,
        and "auto" weighs them by 10.
    pyramid : Pyramid, optional
        Grow images through these resolutions; it replaces `n_blocks`, `step_size`, `momentum`
        and `first_exponent`.
    architecture : MLP or UNet, optional
        The network; chosen by the shape of the data when not given.
    seed : int
        Seed of everything that is random.

    Raises
    ------
    TypeError, ValueError
        Of the wrong type, or out of range.
    """

    n_particles: int = 5000
    n_projections: int = 64
    exponent: float = 1.0
    slicing: str = "auto"
    step_size: float | None = None
    step_decay: float = 0.8
    least_step: float = 0.1
    momentum: float = 0.7
    carry_velocity: bool = False
    n_blocks: int = 16
    first_exponent: int = 3
    block_cap: int = 64
    block_limit: int = 30000
    start: Literal["uniform", "normal"] = "uniform"
    particles: Literal["fresh", "network", "flow"] = "fresh"
    one_network: bool = False
    network_steps: int = 1000
    loss: Literal["l2", "l1"] = "l2"
    condition_weight: float | Literal["auto"] = "auto"
    pyramid: Pyramid | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exponent(self.exponent)
        for name in (
            "n_particles", "n_projections", "block_cap", "block_limit", "network_steps",
        ):  # fmt: skip
            check_count(name, getattr(self, name))
        _check_blocks("n_blocks", self.n_blocks)
        check_count("first_exponent", self.first_exponent, minimum=0)
        check_choice("start", self.start, ("uniform", "normal"))
        check_choice("particles", self.particles, PARTICLES)
        check_choice("loss", self.loss, ("l2", "l1"))
        check_choice("slicing", self.slicing, SLICINGS)
        if self.step_size is not None:
            check_positive("step_size", self.step_size)
        _check_momentum("momentum", self.momentum)
        if isinstance(self.condition_weight, str):
            check_choice("condition_weight", self.condition_weight, ("auto",))
        else:
            check_positive("condition_weight", self.condition_weight)
        check_flag("carry_velocity", self.carry_velocity)
        check_flag("one_network", self.one_network)
        if self.pyramid is not None and not isinstance(self.pyramid, Pyramid):
            raise TypeError(f"pyramid must be a Pyramid, got {type(self.pyramid).__name__}")
        for name in ("step_decay", "least_step"):
            if not 0 < check_number(name, getattr(self, name)) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.start == "normal" and self.pyramid is not None:
            raise ValueError('start "normal" goes with a single resolution, got a pyramid as well')
        if self.one_network and self.pyramid is not None:
            raise ValueError("one_network goes with a single resolution, got a pyramid as well")

    @classmethod
    def _revived(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["pyramid"] is not None:
            values["pyramid"] = Pyramid(**dict(values["pyramid"]))
        return super()._revived(values)


def _check_blocks(name: str, value: Any) -> int:
    return check_count(name, value, maximum=_MOST_BLOCKS)


def _check_momentum(name: str, value: Any) -> float:
    if not 0 <= check_number(name, value) < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")
    return float(value)


@dataclass(frozen=True)
class Level:
    """The flow at one resolution."""

    shape: tuple[int, ...]
    n_blocks: int
    step_size: float
    momentum: float
    momentum_growth: float
    first_exponent: int
    n_projections: int
    slicing: str | Slicing

    def momentum_at(self, step: int) -> float:
        """After so many steps of the flow at this resolution."""
        grown = step * self.momentum_growth
        return min(grown, self.momentum) if self.momentum_growth else self.momentum


@dataclass(frozen=True)
class Block:
    """A part of the flow that one network learns."""

    level: int
    first: bool  # of its level
    n_steps: int
    step_size: float


def levels(settings: FlowSettings, shape: tuple[int, ...], spread: float) -> list[Level]:
    """The resolutions of images of `shape`, or the only one of other data.

    spread: the mean distance between data points.
    """
    pyramid = settings.pyramid
    if pyramid is None:
        tau = (spread or 1.0) / 3 if settings.step_size is None else settings.step_size
        return [
            Level(
                shape, settings.n_blocks, tau, settings.momentum, 0.0, settings.first_exponent,
                settings.n_projections, settings.slicing,
            )
        ]  # fmt: skip
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] != pyramid.resolutions[-1]:
        raise ValueError(
            f"pyramid must end at the resolution of square images, got {pyramid.resolutions} "
            f"for data of shape {shape}"
        )
    found = []
    for k, side in enumerate(pyramid.resolutions):
        small = (shape[0], side, side)
        finest = k == len(pyramid.resolutions) - 1
        patches = finest and pyramid.patch_size is not None
        count = settings.n_projections
        found.append(
            Level(
                small, pyramid.n_blocks[k], pyramid.step_sizes[k], pyramid.momenta[k],
                pyramid.momentum_growth, pyramid.first_exponents[k],
                count * len(pyramid.patch_scales) if patches else max(count, shape[0] * side**2),
                PatchSlicing(small, pyramid.patch_size or 1, pyramid.patch_scales)
                if patches else settings.slicing,
            )
        )  # fmt: skip
    return found


def blocks(settings: FlowSettings, found: list[Level]) -> Iterator[Block]:
    """All blocks, in order."""
    for number, level in enumerate(found):
        length = 0
        for k in range(level.n_blocks):
            exponent = min(level.first_exponent + k, settings.block_cap.bit_length())
            more = min(2**exponent, settings.block_cap)
            length = min(length + more, settings.block_limit)
            factor = max(settings.step_decay**k, settings.least_step)
            yield Block(number, k == 0, length, level.step_size * factor)
