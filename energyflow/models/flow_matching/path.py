"""Points on the paths of flow matching, for training loops of the user's own."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from energyflow_backends import Floats
from numpy.typing import NDArray
from torch import Tensor

from ..._core.checks import check_choice, check_nonnegative, check_number
from ..._core.random import Rng, as_source
from ..._transport.coupling import conditional_coupling
from ..data.arrays import check_finite, dtype_of

CouplingName = Literal["none", "ot", "conditional-ot"]
_COUPLINGS = ("none", "ot", "conditional-ot")


class PathSample(NamedTuple):
    """Points on paths from noise to data; it unpacks as ``t, x_t, u_t, condition``.

    Attributes
    ----------
    t : tensor (n,)
        Times, uniform on [0, 1].
    x_t : tensor (n, *)
        The points at these times.
    u_t : tensor (n, *)
        The velocities of the paths, which a network learns.
    condition : tensor (n, *) or None
        Of each path, in its order.
    """

    t: Tensor
    x_t: Tensor
    u_t: Tensor
    condition: Tensor | None


@torch.no_grad()
def sample_location_and_conditional_flow(
    x0: Tensor | None,
    x1: Tensor,
    condition: Tensor | None = None,
    *,
    coupling: CouplingName = "none",
    beta: float = 20.0,
    sigma: float = 0.0,
    rng: Rng = None,
) -> PathSample:
    r"""Draw times, points and velocities for the loss of flow matching, from a batch of data.

    .. math:: x_t = (1 - t) \, x_0 + t \, x_1 + \sigma \varepsilon, \quad u_t = x_1 - x_0, \qquad
              \text{loss} = E \, |v(x_t, c, t) - u_t|^2

    with :math:`t \sim U[0, 1]` and :math:`\varepsilon \sim N(0, I)`.

    Parameters
    ----------
    x0 : tensor (n, *) or None
        A batch of the source; standard normal noise when None.
    x1 : tensor (n, *)
        A batch of data: vectors, images, or any other shape.
    condition : tensor (n,) or (n, *), optional
        Of the data: integer labels, or floating numbers.
    coupling : {"none", "ot", "conditional-ot"}
        How x0 and x1 are paired: as they come; by optimal transport in the batch, where the
        condition follows x1; or by conditional optimal transport, where x0_i has the condition of
        x1_i as well, which its path keeps. As in `FlowMatchingSettings`.
    beta : float
        Factor of floating conditions in a conditional coupling, in units of x over units of the
        condition: standardise both. With infinity, paths stay at equal conditions, and conditions
        that all differ leave nothing to couple. Labels are always kept.
    sigma : float
        Standard deviation of the noise around the straight path.
    rng : int, generator or None
        A seed gives the same numbers in each call: in a loop, pass a generator.

    Returns
    -------
    PathSample
        ``t, x_t, u_t, condition``, on the device and of the dtype of x1.

    Raises
    ------
    TypeError
        Arguments that are not tensors of floating numbers.
    ValueError
        Shapes that do not fit, numbers that are not finite, a setting that is out of range, or a
        conditional coupling without a condition.

    Notes
    -----
    Times are stratified: one in each n-th of [0, 1], in a random order. Couplings are computed on
    the CPU, in O(n^3) at worst; nothing is differentiated through.

    References
    ----------
    Tong et al., "Improving and generalizing flow-based generative models with minibatch optimal
    transport", TMLR 2024; Chemseddine, Hagemann, Steidl, Wald, "Conditional Wasserstein Distances
    with Applications in Bayesian OT Flow Matching", JMLR 26, 2025, Section 5.
    """
    check_choice("coupling", coupling, _COUPLINGS)
    sigma, beta = check_nonnegative("sigma", sigma), check_number("beta", beta)
    _check_batch("x1", x1)
    if x0 is not None:
        _check_batch("x0", x0)
        if x0.shape != x1.shape:
            raise ValueError(f"x0 must have the shape of x1, got {_sizes(x0)} and {_sizes(x1)}")
    if condition is not None:
        _check_condition(condition, len(x1))
    elif coupling == "conditional-ot":
        raise ValueError('coupling="conditional-ot" needs a condition')
    generator = as_source(rng).host(0, 0)

    def normal() -> Tensor:
        return torch.from_numpy(generator.standard_normal(x1.shape)).to(x1)

    n, start = len(x1), normal() if x0 is None else x0.detach().to(x1)
    end = x1.detach()
    if coupling != "none":
        given = condition if coupling == "conditional-ot" else None
        places = _coupled(start, end, given, beta).to(x1.device)
        end = end[places]
        if condition is not None and coupling == "ot":
            condition = condition[places.to(condition.device)]
    times = (generator.permutation(n) + generator.random(n)) / n
    t = torch.from_numpy(times).to(x1)
    velocity = end - start
    points = start + t.reshape(-1, *(1,) * (x1.ndim - 1)) * velocity
    if sigma:
        points = points + sigma * normal()
    return PathSample(t, points, velocity, condition)


def _coupled(x0: Tensor, x1: Tensor, condition: Tensor | None, beta: float) -> Tensor:
    """The place in x1 that each point of x0 is paired with."""
    x, z = _rows(x0), _rows(x1)
    if condition is None:
        coupling = conditional_coupling(x, None, z, None, beta=0)
    elif condition.is_floating_point():
        c = _rows(condition)
        coupling = conditional_coupling(x, c, z, c, beta=beta)
    else:
        labels = condition.cpu().numpy()
        coupling = conditional_coupling(x, None, z, None, groups=(labels, labels))
    return torch.from_numpy(np.asarray(cast(NDArray[np.int64], coupling.columns)))


def _rows(points: Tensor) -> Floats:
    """Points (n, *) as an array (n, d) on the host."""
    rows: Floats = points.detach().flatten(1).double().cpu().numpy()
    return rows


def _check_batch(name: str, points: Any) -> None:
    """A tensor (n, *) of finite floating numbers."""
    if not isinstance(points, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(points).__name__}")
    if not points.is_floating_point():
        raise TypeError(f"{name} must have a real floating dtype, got {dtype_of(points)}")
    if points.ndim < 2 or 0 in points.shape:
        raise ValueError(f"{name} must have shape (n, ...) and hold points, got {_sizes(points)}")
    check_finite(name, points)


def _check_condition(condition: Any, n: int) -> None:
    """Labels (n,), or floating numbers (n, *)."""
    if not isinstance(condition, Tensor):
        raise TypeError(f"condition must be a tensor, got {type(condition).__name__}")
    labels = not condition.is_floating_point()
    if condition.shape[:1] != (n,) or (condition.ndim == 1) != labels:
        raise ValueError(
            f"condition must be {n} integer labels, or floating numbers of shape ({n}, ...), "
            f"got {dtype_of(condition)} of shape {_sizes(condition)}"
        )
    check_finite("condition", condition)


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
