"""Scores of samples against the one truth that came: energy score and CRPS."""

from __future__ import annotations

from typing import Any

from energyflow_backends import Array, known_values, namespace

from ._checks import (
    check_array,
    check_choice,
    check_exponent,
    check_finite,
    check_points,
    check_together,
    shape,
)
from ._distances import energy_distance
from ._problem import working_dtype


def energy_score(
    samples: Array, truth: Array, *, exponent: float = 1.0, estimator: str = "V"
) -> Array:
    r"""Energy score of samples of a prediction, small where they are near the truth.

    .. math:: ES = \frac1N \sum_i |x_i - z|^r - \frac{s}{2 N^2} \sum_{ij} |x_i - x_j|^r

    with s = 1 for the V estimator and N / (N - 1) for the U estimator. In expectation over truths
    the score is smallest for samples of their own distribution: it is a proper score.

    Parameters
    ----------
    samples : array (..., N, d)
        Samples of the predictions, in any unit of length.
    truth : array (..., d)
        What came, in the same unit; leading batch dimensions broadcast.
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
        Not arrays, integers, mixed libraries or devices.
    ValueError
        Shapes that do not fit, NaN or infinity, r outside (0, 2), one sample with "U".

    Notes
    -----
    Cost O(N^2 d) for each truth.

    References
    ----------
    Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 2007,
    Section 4.2.
    """
    exponent = check_exponent(exponent)
    samples, truth, dtype = _checked(samples, truth, estimator)
    xp = namespace(samples)
    score = energy_distance(samples, truth, exponent=exponent) / 2
    if estimator == "U":
        far = xp.linalg.vector_norm(samples - truth, axis=-1)  # (..., N)
        first = xp.mean(far**exponent, axis=-1)
        n = samples.shape[-2]
        score = first - (first - score) * (n / (n - 1))
    return xp.astype(score, dtype, copy=False)


def crps(samples: Array, truth: Array, *, estimator: str = "V") -> Array:
    r"""Continuous ranked probability score, the energy score of each coordinate by itself.

    .. math:: CRPS = \frac1N \sum_i |x_i - z| - \frac{s}{2 N^2} \sum_{ij} |x_i - x_j|
              \overset{V}{=} \int (F_N(t) - 1_{t \ge z})^2 \, dt

    with the distribution function :math:`F_N` of the samples, and s as in `energy_score`.

    Parameters
    ----------
    samples : array (..., N, d)
        Samples of the predictions.
    truth : array (..., d)
        What came, in the same units; leading batch dimensions broadcast.
    estimator : "V" or "U"
        As in `energy_score`.

    Returns
    -------
    array (..., d)
        One score a coordinate, in its unit; library, device and dtype of the samples.

    Raises
    ------
    TypeError, ValueError
        As `energy_score`.

    Notes
    -----
    Cost O(N log(N) d) for each truth: the samples are sorted. Ties need no care.

    References
    ----------
    Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 2007,
    Section 4.2.
    """
    samples, truth, dtype = _checked(samples, truth, estimator)
    xp = namespace(samples)
    n = samples.shape[-2]
    away = samples - truth  # (..., N, d)
    ranks = 2 * xp.arange(1, n + 1, dtype=away.dtype, device=away.device) - (n + 1)
    spread = xp.sum(xp.sort(away, axis=-2) * ranks[:, None], axis=-2) / n
    score = xp.mean(xp.abs(away), axis=-2) - spread / (n if estimator == "V" else n - 1)
    return xp.astype(score, dtype, copy=False)


def _checked(samples: Any, truth: Any, estimator: Any) -> tuple[Array, Array, Any]:
    """Samples (..., N, d) and truth (..., 1, d) in the dtype of the computation, and theirs."""
    check_points("samples", samples)
    check_array("truth", truth)
    check_together("samples", samples, "truth", truth)
    check_choice("estimator", estimator, ("V", "U"))
    if truth.ndim == 0 or truth.shape[-1] != samples.shape[-1]:
        raise ValueError(
            f"truth must have shape (..., {samples.shape[-1]}), one coordinate for each of the "
            f"samples', got {shape(truth)}"
        )
    if estimator == "U" and samples.shape[-2] < 2:
        raise ValueError("samples must be at least 2 for estimator 'U', got 1")
    for name, array in (("samples", samples), ("truth", truth)):
        if known_values(array):
            check_finite(name, array)
    xp, dtype = namespace(samples), working_dtype(samples, truth)
    kept = samples.dtype
    samples, truth = (xp.astype(v, dtype, copy=False) for v in (samples, truth))
    return samples, truth[..., None, :], kept
