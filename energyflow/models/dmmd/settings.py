"""The settings of a deep MMD flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
from .._settings import ModelSettings
from .noise_schedule import SCHEDULES

KERNELS = ("energy", "linear", "rbf")


@dataclass(frozen=True)
class DMMDSettings(ModelSettings):
    r"""How a `DMMD` learns its features.

    Attributes
    ----------
    n_steps : int
        Training steps.
    n_rounds : int
        After each of so many equal rounds of steps, samples are compared with the data.
    batch_size : int
        Points of each noise level in a training step.
    levels_per_step : int
        Noise levels in a training step.
    kernel : {"energy", "linear", "rbf"}
        Kernel on features: -\|p - q\|^exponent, p . q, or the sum of
        exp(-\|p - q\|^2 / (2 b^2)) over the bandwidths b.
    exponent : float
        Power r of the energy kernel, 0 < r < 2.
    bandwidths : tuple of float
        Bandwidths of the rbf kernel.
    n_features : int
        Learned features of a point.
    with_points : bool
        Whether the point itself, times a learned number, is among its features.
    schedule : {"cosine", "linear"}
        How the noise grows with the time t, at constant variance.
    t_min : float
        The least noisy time at which features are learned.
    penalty : {"square", "unit"}
        Penalty on the norm g of the witness's gradient: g^2, or (g - 1)^2.
    penalty_weight : float
        Weight of this penalty.
    feature_penalty : float
        Weight of the mean square of the learned features.
    n_reference : int
        Training points that are kept with the weights, for samples are compared with them.
    learning_rate : float
        Learning rate of the optimiser, Adam, at the first step.
    learning_rate_decay : {"cosine", "constant"}
        How the learning rate falls to the last step.
    ema : float
        Decay of the exponential moving average of the weights, which is what is kept; 0 for none.
        See `Trainer`.
    clip : float, optional
        Largest norm of the gradient of all weights; no limit when not given.
    architecture : MLP, optional
        The network; MLP(128, 2) for vectors and small images, a convolutional network for larger
        images when not given.
    seed : int
        Seed of everything that is random.

    Raises
    ------
    TypeError, ValueError
        Of the wrong type, or out of range.
    """

    n_steps: int = 1000
    n_rounds: int = 2
    batch_size: int = 64
    levels_per_step: int = 4
    ema: float = 0.995
    kernel: Literal["energy", "linear", "rbf"] = "energy"
    exponent: float = 1.0
    bandwidths: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    n_features: int = 32
    with_points: bool = True
    schedule: str = "cosine"
    t_min: float = 0.03
    penalty: Literal["square", "unit"] = "square"
    penalty_weight: float = 0.5
    feature_penalty: float = 1e-3
    n_reference: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exponent(self.exponent)
        for name in ("n_steps", "n_rounds", "levels_per_step", "n_features"):
            check_count(name, getattr(self, name))
        check_count("batch_size", self.batch_size, minimum=2)
        check_count("n_reference", self.n_reference, minimum=2)
        check_choice("kernel", self.kernel, KERNELS)
        check_choice("schedule", self.schedule, tuple(SCHEDULES))
        check_choice("penalty", self.penalty, ("square", "unit"))
        bandwidths = check_each("bandwidths", self.bandwidths, check_positive)
        if not bandwidths:
            raise ValueError("bandwidths must be positive numbers, got none")
        object.__setattr__(self, "bandwidths", bandwidths)
        if not 0 < check_number("t_min", self.t_min) < 1:
            raise ValueError(f"t_min must lie between 0 and 1, got {self.t_min}")
        check_positive("penalty_weight", self.penalty_weight)
        check_nonnegative("feature_penalty", self.feature_penalty)
        check_flag("with_points", self.with_points)
