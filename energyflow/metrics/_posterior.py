"""How good samples of posteriors are where the posterior is not known: scores of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from energyflow_backends import to_host

from .._core.checks import check_array, check_finite, check_positive
from .._sums.scores import crps, energy_score
from ._coverage import calibration
from ._points import Floats


def psnr(images: Any, truths: Any, data_range: float = 1.0) -> Floats:
    r"""Peak signal-to-noise ratio of each image, in dB.

    .. math:: 10 \log_{10} \frac{R^2}{\mathrm{mean} (x - z)^2}

    Parameters
    ----------
    images, truths : arrays (n, ...)
        Of one shape.
    data_range : float
        R, the difference between the largest and the least possible number.

    Returns
    -------
    array (n,)
        Infinite where image and truth are equal.

    Raises
    ------
    TypeError, ValueError
        Shapes that differ, NaN or infinity, a range that is not positive.
    """
    x, z = _pair(images, truths)
    peak = check_positive("data_range", data_range)
    squared = ((x - z) ** 2).reshape(len(x), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        ratio: Floats = 10 * np.log10(peak / squared * peak)
    return ratio


def ssim(images: Any, truths: Any, data_range: float = 1.0) -> Floats:
    """Structural similarity of each image, by scikit-image: windows of 7 x 7 pixels, or fewer.

    Parameters
    ----------
    images, truths : arrays (n, C, H, W)
        Of one shape, sides of at least 3 pixels.
    data_range : float
        The difference between the largest and the least possible number.

    Returns
    -------
    array (n,)
        1 where image and truth are equal.

    Raises
    ------
    TypeError, ValueError
        Shapes that differ, NaN or infinity, a range that is not positive.
    ModuleNotFoundError
        scikit-image is not installed.

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
    return np.array(
        [
            structural_similarity(  # type: ignore[no-untyped-call]
                a, b, win_size=window, data_range=peak, channel_axis=0
            )
            for a, b in zip(x, z, strict=True)
        ]
    )


def posterior_table(
    posteriors: Mapping[str, Any],
    truths: Any,
    guesses: Mapping[str, Any] | None = None,
    *,
    data_range: float = 1.0,
    rng: int = 0,
) -> dict[str, dict[str, float]]:
    """Scores of samples and of single guesses side by side, means over observations.

    Parameters
    ----------
    posteriors : mapping of str to array (m, n, C, H, W)
        By name of the method, n >= 2 samples for each of m observations; the prior is one worth
        having.
    truths : array (m, C, H, W)
        What was observed.
    guesses : mapping of str to array (m, C, H, W), optional
        Single images, such as interpolations or filtered back-projections.
    data_range : float
        See `psnr`.
    rng : int
        Seed of what `calibration` draws.

    Returns
    -------
    dict of dict
        By name, then by measure: "PSNR of the mean", "SSIM of the mean" (where scikit-image is
        installed), "energy score" (U), "CRPS" (U, mean over pixels), "coverage of 90 %" and "mean
        sd". A guess is a posterior of one point: its energy score is its distance.

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, NaN or infinity.
    """
    from importlib.util import find_spec

    z = to_host(truths).astype(np.float64)
    similar = find_spec("skimage") is not None

    def of_images(images: Floats) -> dict[str, float]:
        found = {"PSNR of the mean": float(psnr(images, z, data_range).mean())}
        if similar:
            found["SSIM of the mean"] = float(ssim(images, z, data_range).mean())
        return found

    table: dict[str, dict[str, float]] = {}
    for name, images in (guesses or {}).items():
        x, _ = _pair(images, z)
        away = (x - z).reshape(len(x), -1)
        table[name] = of_images(x) | {
            "energy score": float(np.linalg.norm(away, axis=1).mean()),
            "CRPS": float(np.abs(away).mean()),
        }
    for name, given in posteriors.items():
        samples = to_host(given).astype(np.float64)
        within = calibration(samples, z, rng, levels=(0.9,))
        flat = samples.reshape(*samples.shape[:2], -1)  # (m, n, d)
        truth = z.reshape(len(z), -1)  # (m, d)
        table[name] = of_images(samples.mean(axis=1)) | {
            "energy score": float(np.mean(energy_score(flat, truth, estimator="U"))),
            "CRPS": float(np.mean(crps(flat, truth, estimator="U"))),
            "coverage of 90 %": float(within.coverage[0]),
            "mean sd": float(samples.std(axis=1, ddof=1).mean()),
        }
    return table


def _pair(images: Any, truths: Any) -> tuple[Floats, Floats]:
    for name, values in (("images", images), ("truths", truths)):
        check_array(name, values)
    x, z = (to_host(v).astype(np.float64) for v in (images, truths))
    if x.shape != z.shape or x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            "images and truths must have one shape (n, ...) and not be empty, "
            f"got {x.shape} and {z.shape}"
        )
    check_finite("images", x)
    check_finite("truths", z)
    return x, z
