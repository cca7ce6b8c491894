"""Distances of point sets as loss modules of torch.

>>> from energyflow import losses                          # doctest: +SKIP
>>> loss = losses.SlicedEnergyDistance(n_projections=64)   # doctest: +SKIP
>>> loss(network(noise), batch).backward()                 # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any, Literal

from ._core.checks import Estimator
from ._core.extras import need
from ._slices.slicing import SlicingName

need("torch", "energyflow.losses", "torch")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from ._core.checks import check_choice, check_count, check_exponent, check_flag  # noqa: E402
from ._core.random import keyed_generator  # noqa: E402
from ._slices.directions import check_slicing  # noqa: E402
from ._slices.slicing import Slicing  # noqa: E402
from ._sums.distances import energy_distance, sliced_energy_distance  # noqa: E402
from ._sums.wasserstein import check_power, sliced_wasserstein_distance  # noqa: E402

__all__ = ["EnergyDistance", "SlicedEnergyDistance", "SlicedWasserstein"]

Reduction = Literal["mean", "sum", "none"]
_REDUCTIONS = ("mean", "sum", "none")
_ESTIMATORS = ("U", "V")


class _Loss(nn.Module):
    """A distance of two point sets, and how those of a batch become one number."""

    def __init__(self, reduction: Reduction) -> None:
        super().__init__()
        self.reduction = check_choice("reduction", reduction, _REDUCTIONS)

    def _distance(self, x: Any, y: Any, a: Any, b: Any) -> Any:
        raise NotImplementedError

    def forward(
        self, x: Tensor, y: Tensor, a: Tensor | None = None, b: Tensor | None = None
    ) -> Tensor:
        """The loss.

        Parameters
        ----------
        x, y : tensors (..., N, d) and (..., M, d)
            Points; leading dimensions are a batch of pairs of sets.
        a, b : tensors (..., N) and (..., M), optional
            Weights, non-negative and with sum one; uniform when not given.

        Returns
        -------
        tensor ()
            With the reduction "none", a number for each pair of sets, (...).
        """
        values: Tensor = self._distance(x, y, a, b)
        if self.reduction == "none":
            return values
        return values.mean() if self.reduction == "mean" else values.sum()

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        own = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "training"}
        return ", ".join(f"{name}={value!r}" for name, value in own.items())


class _Sliced(_Loss):
    """A loss along directions, which are new in every call while it trains."""

    def __init__(
        self,
        n_projections: int,
        slicing: SlicingName | Slicing,
        rng: int | torch.Generator,
        reduction: Reduction,
    ) -> None:
        super().__init__(reduction)
        self.n_projections = check_count("n_projections", n_projections)
        self.slicing = check_slicing(slicing)
        self.rng = _checked(rng)
        self._first = rng.get_state() if isinstance(rng, torch.Generator) else torch.empty(0)
        self._calls = 0

    def _directions(self) -> dict[str, Any]:
        """Arguments of a sliced distance: those of this call."""
        how: dict[str, Any] = {"n_projections": self.n_projections, "slicing": self.slicing}
        if isinstance(self.rng, torch.Generator):
            if self.training:
                return how | {"rng": self.rng}
            fixed = torch.Generator(self.rng.device)
            fixed.set_state(self._first)
            return how | {"rng": fixed}
        self._calls += self.training
        step = self._calls if self.training else 0
        return how | {"rng": keyed_generator(self.rng, "loss", step=step)}

    def get_extra_state(self) -> Tensor:
        """The number of calls while it trained, or the generator's state: `state_dict` keeps it."""
        if isinstance(self.rng, torch.Generator):
            return self.rng.get_state()
        return torch.tensor(self._calls)

    def set_extra_state(self, state: Tensor) -> None:
        """Continue after so many calls, or in the state of a generator."""
        if isinstance(self.rng, torch.Generator):
            self.rng.set_state(state.cpu())
        else:
            self._calls = int(state)


def _checked(rng: Any) -> int | torch.Generator:
    """A seed or a generator of torch."""
    if isinstance(rng, torch.Generator):
        return rng
    try:
        return check_count("rng", rng, 0)
    except TypeError:
        what = type(rng).__name__
        raise TypeError(f"rng must be an integer or a torch.Generator, got {what}") from None


class EnergyDistance(_Loss):
    r"""Energy distance, by sums over all pairs of points.

    .. math:: E(x, y) = 2 \sum_{ij} a_i b_j |x_i - y_j|^r
              - s \sum_{ij} a_i a_j |x_i - x_j|^r - t \sum_{ij} b_i b_j |y_i - y_j|^r

    with s = t = 1 for V; see `energyflow.energy_distance`.

    Parameters
    ----------
    exponent : float
        The power r, 0 < r < 2.
    estimator : "U" or "V"
        "U" is unbiased: its minimum over many batches is the distribution of the data. It may be
        negative.
    reduction : "mean", "sum" or "none"
        Over a batch of pairs of sets.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of range.

    References
    ----------
    Székely, Rizzo, "Energy statistics: A class of statistics based on distances", 2013.
    """

    def __init__(
        self,
        exponent: float = 1.0,
        *,
        estimator: Estimator = "U",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.exponent = check_exponent(exponent)
        self.estimator = check_choice("estimator", estimator, _ESTIMATORS)

    def _distance(self, x: Any, y: Any, a: Any, b: Any) -> Any:
        return energy_distance(x, y, a, b, exponent=self.exponent, estimator=self.estimator)


class SlicedEnergyDistance(_Sliced):
    r"""Energy distance by slicing: the mean over directions of one-dimensional distances.

    .. math:: E(x, y) \approx \frac{c(d, r)}{P} \sum_{p=1}^P
              E_1(\langle \theta_p, x \rangle, \langle \theta_p, y \rangle)

    see `energyflow.sliced_energy_distance`. Directions are new in every call while the module
    trains; after `eval()` all calls see the same ones. `state_dict` holds the number of calls, so
    that a training that is resumed sees the directions of one that was not interrupted.

    Parameters
    ----------
    n_projections : int
        Number of directions P.
    exponent, estimator
        As in `EnergyDistance`.
    slicing : str or Slicing
        How directions are drawn, as in `energyflow.sliced_energy_distance`.
    rng : int or torch.Generator
        Seed of the directions; a generator draws them on its device, and keeps its own state.
    reduction : "mean", "sum" or "none"
        Over a batch of pairs of sets, which share directions.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of range.

    References
    ----------
    Hertrich, Wald, Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels",
    ICLR 2024.
    """

    def __init__(
        self,
        n_projections: int = 128,
        exponent: float = 1.0,
        *,
        estimator: Estimator = "U",
        slicing: SlicingName | Slicing = "auto",
        rng: int | torch.Generator = 0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(n_projections, slicing, rng, reduction)
        self.exponent = check_exponent(exponent)
        self.estimator = check_choice("estimator", estimator, _ESTIMATORS)

    def _distance(self, x: Any, y: Any, a: Any, b: Any) -> Any:
        how = self._directions() | {"exponent": self.exponent, "estimator": self.estimator}
        return sliced_energy_distance(x, y, a, b, **how)


class SlicedWasserstein(_Sliced):
    r"""Sliced p-Wasserstein distance, or its p-th power.

    .. math:: SW_p^p(x, y) = \frac{1}{P} \sum_{k=1}^P
              W_p^p(\langle \theta_k, x \rangle, \langle \theta_k, y \rangle)

    see `energyflow.sliced_wasserstein_distance`; directions as in `SlicedEnergyDistance`.

    Parameters
    ----------
    n_projections : int
        Number of directions P.
    p : float
        The power, at least 1.
    root : bool
        Whether the loss is the distance. Its p-th power has gradients that fall to zero at the
        minimum, for p > 1.
    slicing, rng, reduction
        As in `SlicedEnergyDistance`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of range.

    Notes
    -----
    Between batches it is biased: its minimum over many batches is not the distribution of the data
    (Bellemare et al., "The Cramer Distance as a Solution to Biased Wasserstein Gradients", 2017).
    That of `SlicedEnergyDistance` is.

    References
    ----------
    Bonneel, Rabin, Peyré, Pfister, "Sliced and Radon Wasserstein Barycenters of Measures", Journal
    of Mathematical Imaging and Vision, 2015.
    """

    def __init__(
        self,
        n_projections: int = 128,
        p: float = 2.0,
        *,
        root: bool = True,
        slicing: SlicingName | Slicing = "auto",
        rng: int | torch.Generator = 0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(n_projections, slicing, rng, reduction)
        self.p = check_power(p)
        self.root = check_flag("root", root)

    def _distance(self, x: Any, y: Any, a: Any, b: Any) -> Any:
        distance = sliced_wasserstein_distance(x, y, a, b, p=self.p, **self._directions())
        return distance if self.root else distance**self.p
