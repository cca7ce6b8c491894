"""Scores of samples of posteriors that are not known, by the true images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from energyflow_backends import ArrayLike, Doubles

from ..._core.checks import check_finite, check_positive
from ..._core.extras import has
from ..._core.random import Rng, as_generator
from ..._sums.scores import crps, energy_score
from .._points import host
from .uniformity import check_pairs, ranks


def psnr(images: ArrayLike, truths: ArrayLike, data_range: float = 1.0) -> Doubles:
    r"""Peak signal-to-noise ratio of each image, in dB.

    .. math:: 10 \log_{10} \frac{R^2}{\mathrm{mean} (x - z)^2}

    Parameters
    ----------
    images, truths : arrays (n, ...)
        Images and true images, of one shape.
    data_range : float
        R, the difference between the largest and the least possible number.

    Returns
    -------
    array (n,)
        Infinite where image and truth are equal.

    Raises
    ------
    TypeError, ValueError
        If shapes differ, numbers are NaN or infinite, or the range is not positive.
    """
    x, z = _pair(images, truths)
    peak = check_positive("data_range", data_range)
    squared = ((x - z) ** 2).reshape(len(x), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        ratio: Doubles = 10 * np.log10(peak / squared * peak)
    return ratio


def ssim(images: ArrayLike, truths: ArrayLike, data_range: float = 1.0) -> Doubles:
    """Structural similarity of each image, by scikit-image: windows of 7 x 7 pixels, or fewer.

    Parameters
    ----------
    images, truths : arrays (n, C, H, W)
        Images and true images, of one shape, with sides of at least 3 pixels.
    data_range : float
        The difference between the largest and the least possible number.

    Returns
    -------
    array (n,)
        1 where image and truth are equal.

    Raises
    ------
    TypeError, ValueError
        If shapes differ, numbers are NaN or infinite, or the range is not positive.
    ModuleNotFoundError
        If scikit-image is not installed.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", IEEE Transactions on Image Processing, 2004.
    """
    from skimage.metrics import structural_similarity

    x, z = _pair(images, truths)
    peak = check_positive("data_range", data_range)
    if x.ndim != 4 or min(x.shape[2:]) < 3:
        raise ValueError(f"images must have shape (n, C, H, W), H and W at least 3, got {x.shape}")
    side = min(*x.shape[2:], 7)
    window = side - 1 + side % 2
    how = {"win_size": window, "data_range": peak, "channel_axis": 0}
    pairs = zip(x, z, strict=True)
    return np.array([structural_similarity(a, b, **how) for a, b in pairs])  # type: ignore[no-untyped-call]


def posterior_table(
    posteriors: Mapping[str, ArrayLike],
    truths: ArrayLike,
    guesses: Mapping[str, ArrayLike] | None = None,
    *,
    data_range: float = 1.0,
    rng: Rng = 0,
) -> dict[str, dict[str, float]]:
    """Scores of samples and of single guesses side by side, means over observations.

    Parameters
    ----------
    posteriors : mapping of str to array (m, n, C, H, W)
        By name of the method, n >= 2 samples for each of m observations; samples of the prior are
        a useful baseline.
    truths : array (m, C, H, W)
        The true images of the observations.
    guesses : mapping of str to array (m, C, H, W), optional
        Single images, such as interpolations or filtered back-projections.
    data_range : float
        See `psnr`.
    rng : int or generator
        For what `sbc` draws.

    Returns
    -------
    dict of dict
        By name, then by measure: "PSNR of the mean", "SSIM of the mean" (where scikit-image is
        installed), "energy score" (U), "CRPS" (U, mean over pixels), "coverage of 90 %" and "mean
        sd". A guess is a posterior of one point: its energy score is its distance.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, or numbers are NaN or infinite.
    """
    z = host("truths", truths).astype(np.float64)
    measures = {"PSNR of the mean": psnr} | ({"SSIM of the mean": ssim} if has("skimage") else {})

    def of_images(images: Doubles) -> dict[str, Any]:
        return {name: measure(images, z, data_range) for name, measure in measures.items()}

    table: dict[str, dict[str, Any]] = {}
    for name, images in (guesses or {}).items():
        x, _ = _pair(images, z)
        errors = (x - z).reshape(len(x), -1)
        scores = {"energy score": np.linalg.norm(errors, axis=1), "CRPS": np.abs(errors)}
        table[name] = of_images(x) | scores
    for name, given in posteriors.items():
        samples = host(name, given).astype(np.float64)
        u = ranks(*check_pairs(samples, z, 1), as_generator(rng))
        flat, truth = samples.reshape(*samples.shape[:2], -1), z.reshape(len(z), -1)  # (m, n, d)
        table[name] = of_images(samples.mean(axis=1)) | {
            "energy score": energy_score(flat, truth, estimator="U"),
            "CRPS": crps(flat, truth, estimator="U"),
            "coverage of 90 %": abs(u - 0.5) <= 0.45,
            "mean sd": samples.std(axis=1, ddof=1),
        }
    return {
        name: {measure: float(np.mean(values)) for measure, values in scores.items()}
        for name, scores in table.items()
    }


def _pair(images: ArrayLike, truths: ArrayLike) -> tuple[Doubles, Doubles]:
    x, z = host("images", images).astype(np.float64), host("truths", truths).astype(np.float64)
    if x.shape != z.shape or x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            "images and truths must have one shape (n, ...) and not be empty, "
            f"got {x.shape} and {z.shape}"
        )
    check_finite("images", x)
    check_finite("truths", z)
    return x, z
