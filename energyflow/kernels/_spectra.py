"""Positive definite radial kernels as mixtures of waves, and their slices by quadrature.

A kernel F(|x|) on R^d with F(0) = 1 is the characteristic function of a random frequency w, so
with w = k t, where the length k has the density p and the direction t is uniform on the sphere,

    F(|x|) = E cos(2 pi <w, x>) = E_t f(<t, x>),    f(u) = integral of p(k) cos(2 pi k u) dk.

|f| is at most 1, in every dimension. References: Bochner's theorem; Hertrich, "Fast Kernel
Summation in High Dimensions via Slicing and Fourier Transforms", SIAM J. Math. Data Sci. 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from energyflow_backends import Doubles, LineKernel, Waves

_NODES = 16  # Gauss-Legendre nodes on a panel
_PHASE = 10.0  # half the phase that a wave may run through on a panel
_LIMIT = 2**15  # frequencies


class Spectrum(Protocol):
    """The distribution of the length k of a kernel's random frequency in R^d."""

    def __hash__(self) -> int:
        """Equal spectra share their quadrature."""

    @property
    def tail(self) -> float:
        """The limit A of k^2 p(k) for k to infinity, where it is not zero."""

    def density(self, k: Doubles) -> Doubles:
        """p(k) for k > 0."""

    def band(self, tolerance: float, moment: int) -> tuple[float, float]:
        """Lengths between which all but `tolerance` at each end of k^moment p(k) lies.

        With a `tail`, those beyond which k^moment (p(k) - tail / k^2) is below the tolerance.
        """


@dataclass(frozen=True)
class GaussSpectrum:
    """t = (2 pi sigma k)^2 / 2 has the Gamma(d / 2) distribution."""

    d: int
    sigma: float
    tail: float = 0.0

    def density(self, k: Doubles) -> Doubles:
        """2 t^(d/2) exp(-t) / (gamma(d/2) k)."""
        from scipy.special import gammaln

        t = (2 * math.pi * self.sigma * k) ** 2 / 2
        return np.asarray(2 * np.exp(self.d / 2 * np.log(t) - t - gammaln(self.d / 2)) / k)

    def band(self, tolerance: float, moment: int) -> tuple[float, float]:
        """Quantiles of Gamma((d + moment) / 2)."""
        from scipy.special import gammainccinv, gammaincinv

        shape, unit = (self.d + moment) / 2, 2 * math.pi * self.sigma
        low, high = (math.sqrt(2 * q(shape, tolerance)) for q in (gammaincinv, gammainccinv))
        return low / unit, high / unit


@dataclass(frozen=True)
class MaternSpectrum:
    """z = t / (1 + t) has the Beta(d / 2, nu) distribution, with t = 2 (pi beta k)^2 / nu."""

    d: int
    nu: float
    beta: float

    @property
    def tail(self) -> float:
        """p(k) falls like k^(-2 nu - 1): as slowly as 1 / k^2 for nu = 1/2."""
        from scipy.special import beta as beta_function

        if self.nu != 0.5:
            return 0.0
        return float(2 / (self._unit * beta_function(self.d / 2, 0.5)))

    @property
    def _unit(self) -> float:
        return math.sqrt(2 / self.nu) * math.pi * self.beta

    def density(self, k: Doubles) -> Doubles:
        """2 t^(d/2) (1 + t)^(-nu - d/2) / (B(d/2, nu) k)."""
        from scipy.special import betaln

        t = (self._unit * k) ** 2
        log = self.d / 2 * np.log(t) - (self.nu + self.d / 2) * np.log1p(t)
        return np.asarray(2 * np.exp(log - betaln(self.d / 2, self.nu)) / k)

    def band(self, tolerance: float, moment: int) -> tuple[float, float]:
        """Quantiles of Beta((d + moment) / 2, nu - moment / 2)."""
        from scipy.special import betaincinv

        if self.tail:
            # p k^2 / A = (1 + 1/t)^(-(d+1)/2) is at least 1 - (d+1) / (2 t)
            excess = self.tail * self._unit * (self.d + 1) / 2
            scale = 1.0 if moment == 0 else self.tail * self._unit
            power = 3 - moment
            return 0.0, (excess / (power * tolerance * scale)) ** (1 / power) / self._unit
        a, b = (self.d + moment) / 2, self.nu - moment / 2
        if b <= 0:
            return 0.0, math.inf
        low, rest = betaincinv(a, b, tolerance), betaincinv(b, a, tolerance)
        high = math.sqrt((1 - rest) / rest) if rest > 0 else math.inf
        return math.sqrt(low / (1 - low)) / self._unit, high / self._unit


def line_kernel(
    spectrum: Spectrum, extent: float, *, tolerance: float, derivative: bool
) -> LineKernel:
    """The slice f for |u| <= extent, or a function with the derivative f', as a sum of waves.

    The error of f is at most about `tolerance`; that of f' at most about `tolerance` times the
    mean of 2 pi k, its bound, or times f'(0+) where that mean is infinite.
    """
    # few different extents, so that blocks of slices share their rule
    rounded = 2 ** (math.ceil(4 * math.log2(max(extent, 1e-300))) / 4)
    return _line_kernel(spectrum, rounded, tolerance, derivative)


@lru_cache(64)
def _line_kernel(
    spectrum: Spectrum, extent: float, tolerance: float, derivative: bool
) -> LineKernel:
    """The integral over a band of frequencies, by quadrature; a tail is taken in closed form.

    The integral of A (1 - cos(2 pi k u)) / k^2 is A pi^2 |u|: f is the sum of the waves with the
    density p - A / k^2, of -A pi^2 |u|, and of the constant that makes f(0) one.
    """
    low, high = spectrum.band(tolerance / 8, int(derivative))
    panels = math.pi * extent * (high - low) / _PHASE
    _check_count(panels * _NODES, extent)
    waves = _gauss_legendre(spectrum, low, high, max(1, math.ceil(panels)))
    u = extent * np.asarray([0.0, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0])
    while True:
        finer = _gauss_legendre(spectrum, low, high, 2 * len(waves.centres))
        error = np.max(np.abs(_values(waves, u, derivative) - _values(finer, u, derivative)))
        if error <= tolerance / 2 * (_steepest(spectrum, finer) if derivative else 1.0):
            break
        waves = finer
        _check_count(waves.weights.size, extent)
    constant = 1 - float(np.sum(waves.weights))
    return LineKernel(constant, -(math.pi**2) * spectrum.tail, waves=waves)


def _gauss_legendre(spectrum: Spectrum, low: float, high: float, panels: int) -> Waves:
    """The density without its tail, on equal panels from low to high."""
    nodes, weights = (np.asarray(v) for v in np.polynomial.legendre.leggauss(_NODES))
    half = (high - low) / (2 * panels)
    centres = low + half * np.arange(1.0, 2 * panels, 2)
    k = centres[:, None] + half * nodes
    density = spectrum.density(k) - spectrum.tail / k / k
    return Waves(centres, half * nodes, half * weights * density)


def _values(waves: Waves, u: Doubles, derivative: bool) -> Doubles:
    """What the waves add to f(u) - f(0), or to f'(u)."""
    k, factors = waves.frequencies.ravel(), waves.factors(derivative).ravel()
    moved = np.exp(2j * math.pi * np.outer(u, k)) - (not derivative)
    return np.asarray((moved @ factors).real)


def _steepest(spectrum: Spectrum, waves: Waves) -> float:
    """The size of f': its bound, the mean of 2 pi k, or its limit at 0 where that is infinite."""
    if spectrum.tail:
        return math.pi**2 * spectrum.tail
    return float(2 * math.pi * np.sum(waves.frequencies * waves.weights))


def _check_count(frequencies: float, extent: float) -> None:
    if not frequencies <= _LIMIT:
        raise ValueError(
            f"kernel must need at most {_LIMIT} frequencies, got {frequencies:.2g} for projected "
            f"points up to {extent:.3g} apart; take a larger length scale or tolerance, or "
            "method='direct'"
        )
