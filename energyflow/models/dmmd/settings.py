"""The settings of a deep MMD flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from ..._core.checks import check_count
from .._fields import Exponent, NonNegative, Share, Whole, check_fields, check_share
from .._networks import MLP
from .._settings import Preset, RoundsSettings

_Pairs = Annotated[int, partial(check_count, minimum=2)]


@dataclass(frozen=True)
class DMMDSettings(RoundsSettings):
    r"""How a `DMMD` learns its features.

    Attributes
    ----------
    n_steps : int
        Training steps.
    n_rounds : int
        After each of so many equal rounds of steps, samples are compared with the data.
    batch_size : int, optional
        Points of each noise level in a training step. When not given, 64, and 32 for images on
        CPUs.
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
    learning_rate_decay : {"cosine", "constant", "plateau"}
        How the learning rate falls to the last step. With "plateau" it is divided by 5, twice at
        most, where the validation loss has not fallen for a 25th of the steps (200 at least), and
        falls to zero in the last fifth of the steps.
    weight_decay : float
        Decoupled weight decay of the optimiser, then AdamW.
    ema : float
        Decay of the exponential moving average of the weights, which is what is kept; 0 for none.
        See `Trainer`.
    clip : float, optional
        Largest norm of the gradient of all weights; no limit when not given.
    validation : float
        Share of the data that is held out, if no held-out data are given: networks never learn
        from it, and the weights that serve it best are kept. 0 for none; fewer than 20 points are
        not shared.
    early_stopping : bool
        Whether training ends, before its last step, when the validation loss has not fallen for a
        tenth of the steps (500 at least), or after the last plateau.
    components : float, optional
        Share of the variance that principal components of the points keep: the model then learns
        vectors, the coordinates along these, and samples are made of them. 1 for points as they
        are. When not given, 0.97 for 1000 images or more, of up to 4096 numbers, that are learned
        on a CPU; else 1.
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

    batch_size: _Pairs | None = None  # type: ignore[assignment]
    levels_per_step: int = 4
    ema: Share = 0.995
    kernel: Literal["energy", "linear", "rbf"] = "energy"
    exponent: Exponent = 1.0
    bandwidths: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    n_features: int = 32
    with_points: bool = True
    schedule: Literal["cosine", "linear"] = "cosine"
    t_min: Annotated[float, partial(check_share, zero=False)] = 0.03
    penalty: Literal["square", "unit"] = "square"
    penalty_weight: float = 0.5
    feature_penalty: NonNegative = 1e-3
    n_reference: _Pairs = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bandwidths:
            raise ValueError("bandwidths must be positive numbers, got none")


PRESETS: dict[str, Preset] = {
    "default": Preset(DMMDSettings(), True, "for two CPU cores"),
    "paper": Preset(
        DMMDSettings(
            n_steps=250_000, n_rounds=50, learning_rate=1e-4, learning_rate_decay="constant",
            kernel="linear", with_points=False, penalty="unit", penalty_weight=1.0,
            feature_penalty=0.1, architecture=MLP(width=256, depth=3),
        ),
        False,
        "the losses of Galashov et al. (ICLR 2025) with a network of ours; not yet run",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sampling:
    """How particles flow from noise to data; `DMMD.sample` says what each is."""

    method: Literal["particles", "independent"] = "particles"
    n_levels: int = 10
    n_steps: int = 10
    step_size: float | None = None
    denoise: Whole | None = None
    objective: Literal["mmd", "kale"] = "mmd"
    regularization: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def last_steps(self, kernel: str) -> tuple[int, int]:
        """Steps at the end in which particles see each other, at least and at most.

        Linear kernels compare means of features alone, whatever points are near, and take 20.
        """
        if self.denoise is not None:
            return self.denoise, self.denoise
        if self.method == "independent":
            return 0, 0
        return 20, 20 if kernel == "linear" else 1000
