"""Scores of samples against the one truth that was observed: energy score and CRPS."""

from __future__ import annotations

from typing import Any

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, ArrayLike, known_values, namespace, not_compiled

from .._core.checks import (
    Estimator,
    as_floats,
    check_array,
    check_choice,
    check_exponent,
    check_finite,
    check_points,
    check_together,
    check_weights,
    shape,
)
from ..kernels import Riesz
from .distances import energy_distance
from .kernel_sums import kernel_sum
from .problem import check_self_term, working_dtype

_TOO_FAR = "samples and truth must be small enough for their score to be finite"


@not_compiled
def energy_score(
    samples: ArrayLike,
    truth: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    exponent: float = 1.0,
    estimator: Estimator = "V",
) -> Array:
    r"""Energy score of samples of a prediction, small where they are near the truth.

    .. math:: ES = \sum_i w_i |x_i - z|^r - \frac{s}{2} \sum_{ij} w_i w_j |x_i - x_j|^r

    with s = 1 for the V estimator and 1 / (1 - sum of squared weights) for the U estimator. In
    expectation over truths the score is smallest for samples of their own distribution: it is a
    proper score.

    Parameters
    ----------
    samples : array (..., N, d)
        Samples of the predictions, in any unit of length.
    truth : array (..., d)
        What was observed, in the same unit; leading batch dimensions broadcast.
    weights : array (N,) or (..., N), optional
        Of the samples, non-negative and with sum one; uniform when not given.
    exponent : float
        The power r, 0 < r < 2.
    estimator : "V" or "U"
        "V" is half the energy distance between the samples and the truth, never negative. "U" is
        unbiased for the score of the distribution the samples were drawn from: scores of
        different numbers of samples can be compared. It needs two samples.

    Returns
    -------
    array (...)
        In the library, device and dtype of the samples. Unit: length^r.

    Raises
    ------
    TypeError
        If samples or truth hold no real numbers, or if libraries or devices are mixed.
    ValueError
        If shapes do not fit, a number is NaN or infinite, r is outside (0, 2), or "U" gets one
        sample.

    Notes
    -----
    Cost O(N^2 d) for each truth.

    References
    ----------
    Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 2007,
    Section 4.2.
    """
    exponent = check_exponent(exponent)
    samples, truth, weights, dtype = _checked(samples, truth, weights, estimator)
    xp = namespace(samples)
    try:
        score = energy_distance(samples, truth, weights, exponent=exponent) / 2
    except ValueError as error:  # all else is checked
        raise ValueError(_TOO_FAR) from error
    if estimator == "U":
        far = kernel_sum(truth, samples, weights, kernel=Riesz(exponent), method="direct")
        first = -far[..., 0]
        n = samples.shape[-2]
        scale = n / (n - 1) if weights is None else 1 / (1 - xp.sum(weights**2, axis=-1))
        score = first - (first - score) * scale
    return xp.astype(score, dtype, copy=False)


@not_compiled
def crps(
    samples: ArrayLike,
    truth: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    estimator: Estimator = "V",
) -> Array:
    r"""Continuous ranked probability score, the energy score of each coordinate by itself.

    .. math:: CRPS = \sum_i w_i |x_i - z| - \frac{s}{2} \sum_{ij} w_i w_j |x_i - x_j|
              \overset{V}{=} \int (F(t) - 1_{t \ge z})^2 \, dt

    with the distribution function F of the weighted samples, and s as in `energy_score`.

    Parameters
    ----------
    samples : array (..., N, d)
        Samples of the predictions.
    truth : array (..., d)
        What was observed, in the same units; leading batch dimensions broadcast.
    weights : array (N,) or (..., N), optional
        As in `energy_score`.
    estimator : "V" or "U"
        As in `energy_score`.

    Returns
    -------
    array (..., d)
        One score a coordinate, in its unit; library, device and dtype of the samples.

    Raises
    ------
    TypeError, ValueError
        As `energy_score`, and if samples (n, n) and truth (n,) could be one truth of n coordinates
        or n truths of one: the message says how to write each.

    Notes
    -----
    Cost O(N log(N) d) for each truth: the samples are sorted. Ties need no care.

    References
    ----------
    Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 2007,
    Section 4.2.
    """
    given = as_floats("samples", samples, truth), as_floats("truth", truth, samples)
    samples, truth, weights, dtype = _checked(*given, weights, estimator)
    _check_layout(*given)
    xp = namespace(samples)
    n = samples.shape[-2]
    with np.errstate(over="ignore"):
        away = samples - truth  # (..., N, d)
        if known_values(away) and not bool(xp.all(xp.isfinite(away * n))):
            raise ValueError(_TOO_FAR)
    if weights is None:
        ranks = 2 * xp.arange(1, n + 1, dtype=away.dtype, device=compat.device(away)) - (n + 1)
        distance = xp.sum(xp.sort(away, axis=-2) * ranks[:, None], axis=-2) / n
        score = xp.mean(xp.abs(away), axis=-2) - distance / (n if estimator == "V" else n - 1)
        return xp.astype(score, dtype, copy=False)
    shares = xp.broadcast_to(weights[..., None], away.shape)
    order = xp.argsort(away, axis=-2)
    in_order = xp.take_along_axis(away, order, axis=-2)
    below = xp.cumulative_sum(xp.take_along_axis(shares, order, axis=-2), axis=-2)[..., :-1, :]
    gaps = in_order[..., 1:, :] - in_order[..., :-1, :]
    half_distance = xp.sum(gaps * below * (1 - below), axis=-2)  # half the mean distance
    if estimator == "U":
        half_distance = half_distance / (1 - xp.sum(weights**2, axis=-1))[..., None]
    return xp.astype(xp.sum(shares * xp.abs(away), axis=-2) - half_distance, dtype, copy=False)


def _check_layout(samples: Array, truth: Array) -> None:
    """Refuse what other libraries read as forecasts (T, M) of T numbers, where both fit."""
    n = samples.shape[-1]
    if n > 1 and shape(samples) == (n, n) and shape(truth) == (n,):
        raise ValueError(
            f"samples of shape ({n}, {n}) and truth ({n},) can be read in two ways: {n} truths of "
            "one coordinate are crps(samples[..., None], truth[:, None])[:, 0], and one truth of "
            f"{n} coordinates is crps(samples, truth[None])[0]"
        )


def _checked(
    samples: Any, truth: Any, weights: Any, estimator: Any
) -> tuple[Array, Array, Array | None, Any]:
    """Samples (..., N, d), truth (..., 1, d) and weights in the dtype of the computation, and the
    samples' own.
    """
    samples, truth = as_floats("samples", samples, truth), as_floats("truth", truth, samples)
    weights = None if weights is None else as_floats("weights", weights, samples)
    check_points("samples", samples)
    check_array("truth", truth)
    check_together("samples", samples, "truth", truth)
    check_choice("estimator", estimator, ("V", "U"))
    if 0 in truth.shape:
        raise ValueError(f"truth must not be empty, got shape {shape(truth)}")
    if truth.ndim == 0 or truth.shape[-1] != samples.shape[-1]:
        raise ValueError(
            f"truth must have shape (..., {samples.shape[-1]}), one coordinate for each of the "
            f"samples', got {shape(truth)}"
        )
    for name, array in (("samples", samples), ("truth", truth)):
        if known_values(array):
            check_finite(name, array)
    if weights is not None:
        check_weights("weights", weights, "samples", samples)
    if estimator == "U":
        check_self_term("weights", weights, "samples", samples)
    leading = {"samples": shape(samples)[:-2], "truth": shape(truth)[:-1]}
    if weights is not None:
        leading["weights"] = shape(weights)[:-1]
    try:
        batch = np.broadcast_shapes(*leading.values())
    except ValueError:
        raise ValueError(
            f"{', '.join(leading)} must have batch dimensions that broadcast, "
            f"got {', '.join(map(str, leading.values()))}"
        ) from None
    xp, dtype = namespace(samples), working_dtype(samples, truth)
    kept = samples.dtype
    samples = xp.broadcast_to(samples, (*batch, *shape(samples)[-2:]))
    samples, truth = (xp.astype(v, dtype, copy=False) for v in (samples, truth))
    if weights is not None:
        weights = xp.astype(weights, dtype, copy=False)
    return samples, truth[..., None, :], weights, kept
