"""The settings of a flow generator, its pyramid of resolutions, and the blocks they ask for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal, cast

from ..._core.checks import check_choice, check_count
from ..._slices.directions import SLICINGS
from ..._slices.patches import PatchSlicing
from ..._slices.slicing import Slicing
from .._fields import Exponent, NonNegative, PositiveShare, Share, Whole, check_fields
from .._networks import MLP
from .._settings import ModelSettings

_Blocks = Annotated[int, partial(check_count, maximum=100_000)]


@dataclass(frozen=True)
class Pyramid:
    """Resolutions through which images grow, coarse to fine, and the flow at each of them.

    Between two resolutions images are upsampled by repeating pixels, and normal noise is added.

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
    n_blocks: tuple[_Blocks, ...] = (10, 10, 15, 20)
    noise: NonNegative = 0.08
    step_sizes: tuple[float, ...] = (0.5, 1.0, 1.0, 1.0)
    momenta: tuple[Share, ...] = (0.8, 0.8, 0.8, 0.0)
    momentum_growth: NonNegative = 0.01
    first_exponents: tuple[int, ...] = (5, 5, 5, 5)
    patch_size: int | None = None
    patch_scales: tuple[Whole, ...] = (0, 1, 2, 3)

    def __post_init__(self) -> None:
        check_fields(self)
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


@dataclass(frozen=True)
class FlowSettings(ModelSettings):
    """How a `FlowGenerator` flows and learns.

    Attributes
    ----------
    n_particles : int, optional
        Particles that the networks learn from. With particles "fresh" those of a block flow to so
        many of the data, drawn anew, where there are more. When not given, 5000, and 20,000 for
        components.
    n_projections : int or "auto"
        Directions at each step of the flow, see `ParticleFlow`.
    exponent : float
        Power r of the energy distance, 0 < r < 2.
    slicing : str
        How directions are drawn, see `ParticleFlow`.
    step_size : float, "auto" or None
        Step size tau of the flow. "auto" is that of `ParticleFlow`, which takes the data, the
        noise of the slices and the momentum into account; None is a third of the mean distance
        between data points.
    step_decay : float
        From block to block tau is multiplied by this: late blocks follow what the particles have
        in common, not their jitter.
    least_step : float
        The smallest step size, as a multiple of the first.
    momentum : float, optional
        Momentum m of the flow. When not given, 0.7, and 0.9 for components.
    carry_velocity : bool
        Whether blocks continue with the velocity of the one before (unless particles are fresh).
    n_blocks : int
        Networks in the chain.
    first_exponent : int, optional
        Block k = 0, 1, ... has min(s + min(2^(first_exponent + k), block_cap), block_limit) flow
        steps, s being those of the block before. When not given, 3, and 5 for components and for
        images on CPUs, whose networks take more time than their flow.
    block_cap : int
        Steps by which a block is longer than the one before, at most.
    block_limit : int
        Flow steps of a block, at most.
    start : {"uniform", "normal"}, optional
        What samples start from: uniform noise on the unit box, or normal noise with the mean and
        the covariance of the data, for at most 4096 numbers a point. With conditions the mean is
        the linear regression on them, where there are ten points of data for each of their
        numbers, and the covariance that of its residuals; given labels (alone, not beside other
        conditions by name), each class has its mean and its covariance, shrunk towards that within
        all. From there a conditional flow has little left to do where the data are nearly normal
        given their conditions. When not given, "normal" for components and for vectors given
        vectors or labels, and else "uniform", as with a pyramid or one network for all blocks.
    particles : {"network", "fresh", "flow"}
        Where the next block starts: new noise sent through the chain ("fresh"), the particles
        where the network has put them, or where the flow did. Only with "fresh" do networks learn
        from the errors that the chain makes on noise it has not seen.
    one_network : bool
        Whether one network, which sees the number of the block, replaces the chain.
    n_steps : int, optional
        Training steps of each network. When not given, 1000, and 400 for images on CPUs. Where a
        budget has no room for four blocks, they are fewer, down to a quarter.
    batch_size : int, optional
        Points in a training step. When not given, 200, and 64 for images on CPUs.
    learning_rate : float
        Learning rate of the optimiser, Adam, at the first step.
    learning_rate_decay : {"cosine", "constant", "plateau"}
        How the learning rate falls within a block. With "plateau" it is divided by 5, twice at
        most, where the validation loss has not fallen for a 25th of the steps (200 at least), and
        falls to zero in the last fifth of the steps.
    weight_decay : float
        Decoupled weight decay of the optimiser, then AdamW.
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
    validation : float
        Share of the data that is held out, if no held-out data are given: networks never learn
        from it. The same share of the particles of each flow is held out as well, and the weights
        that serve them best are kept. 0 for none; fewer than 20 points are not shared.
    early_stopping : bool
        Whether training ends, before its last step, when the validation loss has not fallen for a
        tenth of the steps (500 at least), or after the last plateau.
    components : float, optional
        Share of the variance that principal components of the points keep: the model then learns
        vectors, the coordinates along these, and samples are made of them. 1 for points as they
        are. When not given, 0.97 for 1000 images or more, of up to 4096 numbers, that are learned
        on a CPU and not given other images; else 1.
    architecture : MLP or UNet, optional
        The network; chosen by the shape of the data when not given, MLP(1024, 3) for components of
        images.
    seed : int
        Seed of everything that is random.

    Raises
    ------
    TypeError, ValueError
        Of the wrong type, or out of range.
    """

    n_particles: int | None = None
    n_projections: int | Literal["auto"] = "auto"
    exponent: Exponent = 1.0
    slicing: Annotated[str, partial(check_choice, choices=SLICINGS)] = "auto"
    step_size: float | Literal["auto"] | None = "auto"
    step_decay: PositiveShare = 0.8
    least_step: PositiveShare = 0.1
    momentum: Share | None = None
    carry_velocity: bool = False
    n_blocks: _Blocks = 16
    first_exponent: Whole | None = None
    block_cap: int = 64
    block_limit: int = 30000
    start: Literal["uniform", "normal"] | None = None
    particles: Literal["network", "fresh", "flow"] = "fresh"
    one_network: bool = False
    batch_size: int | None = None  # type: ignore[assignment]
    n_steps: int | None = None
    loss: Literal["l2", "l1"] = "l2"
    condition_weight: float | Literal["auto"] = "auto"
    pyramid: Pyramid | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pyramid is not None and (self.start == "normal" or self.one_network):
            raise ValueError(
                'pyramid must be left out with start "normal" and with one_network: they need a '
                "single resolution"
            )
        if self.pyramid is not None and self.of_components:
            raise ValueError(
                f"pyramid must be left out with components, got components={self.components:g}: "
                "components have no resolutions"
            )

    def chosen(self, *, slow: bool = False, centred: bool = False) -> FlowSettings:
        """With what is not given.

        slow : whether points are images, learned on a CPU. centred : whether they start from
        normal noise.
        """
        reduced = self.of_components
        batch_size, n_steps = (64, 400) if slow and not reduced else (200, 1000)
        exponent = 5 if slow or reduced else 3
        centred = (centred or reduced) and self.pyramid is None and not self.one_network
        return replace(
            self,
            first_exponent=exponent if self.first_exponent is None else self.first_exponent,
            batch_size=self.batch_size or batch_size,
            n_steps=self.n_steps or n_steps,
            n_particles=self.n_particles or (20_000 if reduced else 5000),
            momentum=(0.9 if reduced else 0.7) if self.momentum is None else self.momentum,
            start=self.start or ("normal" if centred else "uniform"),
            architecture=self.architecture or (MLP(width=1024) if slow and reduced else None),
        )


@dataclass(frozen=True)
class Block:
    """A part of the flow that one network learns, at one resolution."""

    level: int  # of the resolutions
    first: bool  # of its level
    shape: tuple[int, ...]  # of the points
    n_steps: int
    step_size: float | None  # None for the automatic one, times the factor
    step_factor: float
    momentum: float
    momentum_growth: float
    n_projections: int | Literal["auto"]
    slicing: str | Slicing

    def momentum_at(self, step: int) -> float:
        """After so many steps of the flow at this resolution."""
        grown = step * self.momentum_growth
        return min(grown, self.momentum) if self.momentum_growth else self.momentum


def all_blocks(
    settings: FlowSettings,
    shape: tuple[int, ...],
    mean_distance: float,
    condition: tuple[int, ...] = (0,),
) -> Iterator[Block]:
    """All blocks of the flow to points of a shape and a mean distance, in order.

    condition : the shape of what is given with each point.
    """
    settings = settings.chosen()
    pyramid, growth = settings.pyramid, 0.0
    levels: Iterable[tuple[tuple[int, ...], int, int, float | None, float]]
    if pyramid is None:
        given = settings.step_size
        tau = None if isinstance(given, str) else given or (mean_distance or 1.0) / 3
        exponent, momentum = cast(int, settings.first_exponent), cast(float, settings.momentum)
        levels = [(shape, settings.n_blocks, exponent, tau, momentum)]
    else:
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] != pyramid.resolutions[-1]:
            raise ValueError(
                "pyramid must end at the resolution of square images, got "
                f"{pyramid.resolutions} for data of shape {shape}"
            )
        growth = pyramid.momentum_growth
        shapes = [(shape[0], side, side) for side in pyramid.resolutions]
        sizes = pyramid.n_blocks, pyramid.first_exponents, pyramid.step_sizes, pyramid.momenta
        levels = zip(shapes, *sizes, strict=True)
    for level, (small, n_blocks, exponent, tau, momentum) in enumerate(levels):
        n_projections, slicing = _directions(settings, small, shape, condition)
        length = 0
        for k in range(n_blocks):
            power = min(exponent + k, settings.block_cap.bit_length())
            length = min(length + min(2**power, settings.block_cap), settings.block_limit)
            factor = max(settings.step_decay**k, settings.least_step)
            yield Block(
                level, k == 0, small, length, None if tau is None else tau * factor, factor,
                momentum, growth, n_projections, slicing,
            )  # fmt: skip


def _directions(
    settings: FlowSettings,
    small: tuple[int, ...],
    shape: tuple[int, ...],
    condition: tuple[int, ...],
) -> tuple[int | Literal["auto"], str | Slicing]:
    """Their number, and how they are drawn, at a resolution of points of `shape`."""
    pyramid, count = settings.pyramid, settings.n_projections
    if pyramid is None:
        return count, settings.slicing
    if pyramid.patch_size is None or small != shape:
        return count if count == "auto" else max(count, math.prod(small)), settings.slicing
    channels, height, width = small
    at_pixels = len(condition) == 3 and (condition[1:] == small[1:] or condition[2] > width)
    if at_pixels:  # larger ones are averaged, as data are
        channels += condition[0]
    beside = 0 if at_pixels else math.prod(condition)
    patches = PatchSlicing(
        (channels, height, width), pyramid.patch_size, pyramid.patch_scales, beside
    )
    return count if count == "auto" else count * len(pyramid.patch_scales), patches
