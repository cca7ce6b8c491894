"""Models of noise: from clean to noisy observations."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from energyflow_backends import Floats

from .._core.checks import check_positive
from ._kinds import Configured, register

_MOST_COUNTS = 1e18  # that NumPy draws


class Noise(Configured):
    """A random map of clean observations; `settings` as for an `Operator`."""

    @abstractmethod
    def add(self, clean: Floats, rng: np.random.Generator) -> Floats:
        """Noisy observations (n, *observation), in the dtype of the clean ones."""

    @abstractmethod
    def std(self, clean: Floats) -> Floats:
        """The standard deviation of the noise at clean observations, (n, *observation)."""


@register("noise")
class Gaussian(Noise):
    """Independent normal noise.

    Parameters
    ----------
    std : float
        Its standard deviation, in units of the observations.

    Raises
    ------
    ValueError
        If `std` is not positive and finite.
    """

    name = "gaussian"

    def __init__(self, std: float) -> None:
        self.deviation = check_positive("std", std)

    def add(self, clean: Floats, rng: np.random.Generator) -> Floats:
        """Add noise to clean observations."""
        noise = self.deviation * rng.standard_normal(clean.shape)
        return (clean + noise).astype(clean.dtype)

    def std(self, clean: Floats) -> Floats:
        """The same everywhere."""
        return np.full(clean.shape, self.deviation)

    def settings(self) -> dict[str, Any]:
        """The standard deviation."""
        return {"std": self.deviation}


@register("noise")
class Poisson(Noise):
    r"""Photons that are counted behind an absorbing body, and the logarithm of the counts.

    .. math:: n \sim \mathrm{Poisson}(N e^{-\mu a}), \qquad y = -\frac{1}{\mu}
              \log \frac{\max(n, 1/2)}{N}

    for clean line integrals a.

    Parameters
    ----------
    photons : float
        N, the mean count without the body.
    attenuation : float
        mu, the absorption for each unit of the line integrals.

    Raises
    ------
    ValueError
        If a number is not positive and finite.

    Notes
    -----
    Where counts are large y is close to normal, with mean a and standard deviation
    exp(mu a / 2) / (mu sqrt(N)), which is what `std` gives. Lines without a photon count as half
    a one, in `std` as well: it is at most sqrt(2) / mu.
    """

    name = "poisson"

    def __init__(self, photons: float = 4096.0, attenuation: float = 1.0) -> None:
        self.photons = check_positive("photons", photons)
        self.attenuation = check_positive("attenuation", attenuation)

    def add(self, clean: Floats, rng: np.random.Generator) -> Floats:
        """Count, and take logarithms; ValueError where more than 1e18 photons are expected."""
        rate = self._rate(clean)
        if rate.max() > _MOST_COUNTS:
            raise ValueError(
                f"poisson noise draws at most {_MOST_COUNTS:g} photons a line, got {rate.max():g} "
                f"expected ones for a line integral of {clean.min():g}"
            )
        counts = np.maximum(rng.poisson(rate), 0.5)
        return np.asarray(-np.log(counts / self.photons) / self.attenuation).astype(clean.dtype)

    def std(self, clean: Floats) -> Floats:
        """By the counts that are expected."""
        counts = np.clip(self._rate(clean), 0.5, _MOST_COUNTS)
        return np.asarray(1 / (self.attenuation * np.sqrt(counts)))

    def _rate(self, clean: Floats) -> Floats:
        """Expected counts; infinite where they are beyond all numbers."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(self.photons * np.exp(-self.attenuation * clean.astype(np.float64)))
