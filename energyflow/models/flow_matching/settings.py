"""The settings of flow matching."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .._fields import NonNegative, Share
from .._networks import MLP, UNet
from .._settings import Preset, RoundsSettings
from .solver import SolverName, Steps


@dataclass(frozen=True)
class FlowMatchingSettings(RoundsSettings):
    """How `FlowMatching` learns and samples.

    Attributes
    ----------
    coupling : {"none", "ot", "conditional-ot"}, optional
        How noise and data are paired in a batch: at random; by optimal transport, whatever their
        conditions; or by the transport that keeps conditions. Without conditions the last two are
        the same. When not given, "none" for posteriors of a few parameters (vectors of up to 32
        numbers whose conditions are vectors), and else "conditional-ot".
    base : {"gaussian", "none"}, optional
        What the network learns: the difference to the velocity of Gaussian data, for data that are
        whitened, or the velocity itself. The former starts from a Gaussian, and stays there where
        more would not serve held-out data. When not given, "gaussian" for posteriors of a few
        parameters with the coupling "none" and a built network.
    times : {"uniform", "logit-normal"}, optional
        Law of the times in training: uniform, or logit(t) ~ N(1, 1.2^2), which trains more near the
        data, where narrow distributions are decided. When not given, "logit-normal" with the base
        "gaussian", and else "uniform".
    beta : float
        Factor of the conditions in "conditional-ot", in units of standardised data over those of
        standardised conditions. Less makes paths straighter, for samples in one or two steps, and
        blurs conditions: 4 is enough where conditions are mostly noise, and spoils them where they
        say much. Labels are always kept exactly.
    coupling_size : int, optional
        Points that are coupled at once. A larger batch is coupled in parts; of smaller batches as
        many as fit are coupled together. When not given, 256 for couplings that keep conditions
        and 128 for others. Larger couplings make paths straighter, and cost more than in
        proportion: see the Notes of `FlowMatching`.
    n_steps : int, optional
        Training steps, at most. When not given, 10,000; 20,000 for images on CPUs; for posteriors
        of a few parameters 5000 from less than 20,000 pairs, and 2500 from less than 5000.
    n_rounds : int, optional
        After each of so many equal rounds of steps, samples are compared with the data. When not
        given, 10, and 2 for posteriors of a few parameters.
    batch_size : int, optional
        Points in a training step. When not given, 256; 128 for posteriors of a few parameters from
        less than 5000 pairs, and 64 for images on CPUs, fewer of more than 32 x 32 pixels, to 8.
    learning_rate : float
        Learning rate of the optimiser, Adam, at the first step.
    learning_rate_decay : {"cosine", "constant", "plateau"}
        How the learning rate falls to the last step. With "plateau" it is divided by 5, twice at
        most, where the validation loss has not fallen for a 25th of the steps (200 at least), and
        falls to zero in the last fifth of the steps.
    weight_decay : float
        Decoupled weight decay of the optimiser, then AdamW.
    clip : float, optional
        Largest norm of the gradient of all weights; no limit when not given.
    ema : float
        Decay of the exponential moving average of the weights, which is what is kept; 0 for none.
        See `Trainer`.
    condition_dropout : float
        Share of the pairs whose condition is masked in training, for samples with classifier-free
        guidance; 0 for none.
    solver : {"euler", "midpoint", "rk4", "dopri5"}
        ODE solver of torchdiffeq for sampling; "dopri5" is adaptive.
    sampling_steps : int
        Steps of a solver that is not adaptive.
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
        are, as when not given.
    architecture : MLP or UNet, optional
        The network; chosen by the shape of the data when not given: MLP(128, 3) for vectors of up
        to 32 numbers, MLP(256, 3) for longer ones and very small images, else a UNet.
    seed : int
        Seed of everything that is random.

    Raises
    ------
    TypeError, ValueError
        Of the wrong type, or out of range.
    """

    batch_size: int | None = None  # type: ignore[assignment]
    learning_rate: float = 2e-3
    learning_rate_decay: Literal["cosine", "constant", "plateau"] = "plateau"
    weight_decay: NonNegative = 0.1
    ema: Share = 0.999
    coupling: Literal["none", "ot", "conditional-ot"] | None = None
    base: Literal["gaussian", "none"] | None = None
    times: Literal["uniform", "logit-normal"] | None = None
    beta: float = 20.0
    coupling_size: int | None = None
    n_steps: int | None = None  # type: ignore[assignment]
    n_rounds: int | None = None  # type: ignore[assignment]
    condition_dropout: Share = 0.0
    solver: SolverName = "midpoint"
    sampling_steps: Steps = 20

    def chosen(
        self, n: int, *, few: bool, given_network: bool, slow: bool = False, pixels: int = 1
    ) -> FlowMatchingSettings:
        """With what is not given, for n points.

        few : whether they are those of posteriors of a few parameters. slow : whether they are
        images, of so many pixels, learned on a CPU.
        """
        coupling = self.coupling or ("none" if few else "conditional-ot")
        suits = few and coupling == "none" and not given_network
        base = self.base or ("gaussian" if suits else "none")
        less, least = (few and n < size for size in (20_000, 5_000))
        n_steps, batch_size = (2500, 128) if least else (5000 if less else 10_000, 256)
        if slow:
            n_steps, batch_size = 20_000, max(8, min(64, 2**16 // pixels))
        return replace(
            self,
            coupling=coupling,
            base=base,
            times=self.times or ("logit-normal" if base == "gaussian" else "uniform"),
            n_steps=self.n_steps or n_steps,
            n_rounds=self.n_rounds or (2 if few else 10),
            batch_size=self.batch_size or batch_size,
        )


PRESETS: dict[str, Preset] = {
    "default": Preset(FlowMatchingSettings(), True, "for two CPU cores"),
    "toy": Preset(
        FlowMatchingSettings(architecture=MLP(width=128, depth=2)),
        True,
        "samples of a distribution in a few dimensions",
    ),
    "cifar10": Preset(
        FlowMatchingSettings(
            batch_size=100, coupling_size=500, n_steps=250_500, n_rounds=50, learning_rate=2e-4,
            learning_rate_decay="constant", weight_decay=0.0, ema=0.9999, clip=1.0,
            architecture=UNet(channels=256, multipliers=(1, 2, 2, 2)),
        ),
        False,
        "settings of Chemseddine et al. (JMLR 2025) with a network of ours; not yet run",
    ),
}  # fmt: skip
