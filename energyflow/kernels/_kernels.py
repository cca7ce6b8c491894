"""Kernels: functions K(x, y) of two points, as objects that functions of this library take.

All but `Linear` are radial, K(x, y) = F(|x - y|). Functions also take their names, with the
default parameters: "energy", "riesz", "gauss", "laplace", "matern" and "linear".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from energyflow_backends import (
    Array,
    Formula,
    RadialProfile,
    known_values,
    namespace,
    to_host,
)

from .._core.checks import check_exponent, check_positive, warn
from ._spectra import GaussSpectrum, MaternSpectrum, Spectrum

_HIGHEST_ORDER = 100  # of Matern kernels in compiled sums, whose time grows with it

KernelName = Literal["energy", "riesz", "gauss", "laplace", "matern", "linear"]


class Kernel:
    """A function of two points in R^d."""


class RadialKernel(Kernel):
    """K(x, y) = F(|x - y|), a function of the distance alone."""

    def value(self, s: Array) -> Array:
        """F(s) at distances s >= 0, element by element, in any array library."""
        raise NotImplementedError

    def slope(self, s: Array) -> Array:
        """The derivative F'(s) at distances s > 0."""
        raise NotImplementedError

    def profile(self) -> RadialProfile:
        """What sums over pairs take of it; kernels of your own are summed by their functions."""
        formula = _FORMULAS.get(type(self))
        return RadialProfile(self.value, self.slope, formula and formula(self))


class SmoothKernel(RadialKernel):
    """A radial kernel that is positive definite, with F(0) = 1: a mixture of waves."""

    def spectrum(self, d: int) -> Spectrum:
        """How the lengths of its frequencies in R^d are distributed."""
        raise NotImplementedError

    def value_and_pull(self, s: Array) -> tuple[Array, Array]:
        """F(s), and F'(s) / s where s > 0: times x - y, a gradient."""
        xp = namespace(s)
        apart = s > 0
        safe = xp.where(apart, s, xp.ones_like(s))
        return self.value(s), xp.where(apart, self.slope(safe) / safe, xp.zeros_like(s))


@dataclass(frozen=True)
class Riesz(RadialKernel):
    """K(x, y) = -|x - y|^r, in the papers' sign: conditionally positive definite.

    Parameters
    ----------
    exponent : float
        The power r, 0 < r < 2.

    Raises
    ------
    TypeError, ValueError
        If r is not a number between 0 and 2.

    References
    ----------
    Hertrich, Wald, Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels",
    ICLR 2024.
    """

    exponent: float = 1.0

    def __post_init__(self) -> None:
        check_exponent(self.exponent)

    def value(self, s: Array) -> Array:
        """-s^r."""
        return -(s**self.exponent)

    def slope(self, s: Array) -> Array:
        """-r s^(r - 1)."""
        return -self.exponent * s ** (self.exponent - 1)


@dataclass(frozen=True)
class Energy(Riesz):
    """K(x, y) = -|x - y|, the kernel of the energy distance.

    References
    ----------
    Székely, Rizzo, "Energy statistics: A class of statistics based on distances", 2013.
    """

    exponent: float = field(default=1.0, init=False)


@dataclass(frozen=True)
class Gauss(SmoothKernel):
    """K(x, y) = exp(-|x - y|^2 / (2 sigma^2)).

    Parameters
    ----------
    sigma : float
        The bandwidth, a length, positive.

    Raises
    ------
    TypeError, ValueError
        If sigma is not a positive number.

    References
    ----------
    Hertrich, "Fast Kernel Summation in High Dimensions via Slicing and Fourier Transforms",
    SIAM J. Math. Data Sci. 2024.
    """

    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)

    def value(self, s: Array) -> Array:
        """exp(-s^2 / (2 sigma^2))."""
        t = s / (math.sqrt(2) * self.sigma)
        return namespace(s).exp(-t * t)

    def slope(self, s: Array) -> Array:
        """-s / sigma^2 exp(-s^2 / (2 sigma^2))."""
        return -(s / self.sigma) / self.sigma * self.value(s)

    def value_and_pull(self, s: Array) -> tuple[Array, Array]:
        """The pull is -1 / sigma^2 times the value; at s = 0 there is nothing that it pulls."""
        value = self.value(s)
        return value, value * (-1 / self.sigma / self.sigma)

    def spectrum(self, d: int) -> Spectrum:
        """Normal frequencies with standard deviation 1 / (2 pi sigma) in each direction."""
        return GaussSpectrum(d, float(self.sigma))


@dataclass(frozen=True)
class Matern(SmoothKernel):
    r"""K(x, y) = 2^(1-nu) / gamma(nu) t^nu K_nu(t) with t = sqrt(2 nu) |x - y| / beta.

    K_nu is the modified Bessel function. nu = 1/2 is the Laplace kernel, and large nu approach the
    Gauss kernel with sigma = beta.

    Parameters
    ----------
    nu : float
        The smoothness, positive. Sums over all pairs need nu = 1/2, 3/2, 5/2, ...; sliced sums
        take any nu that their tolerance allows.
    beta : float
        A length, positive.

    Raises
    ------
    TypeError, ValueError
        If nu or beta is not a positive number.

    References
    ----------
    Hertrich, "Fast Kernel Summation in High Dimensions via Slicing and Fourier Transforms",
    SIAM J. Math. Data Sci. 2024.
    """

    nu: float = 1.5
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_positive("nu", self.nu)
        check_positive("beta", self.beta)

    def value(self, s: Array) -> Array:
        """exp(-t) times a polynomial in t, for half-integer nu."""
        order, t = self._order(), math.sqrt(2 * self.nu) * (s / self.beta)
        return namespace(t).exp(-t) * _bessel_polynomial(order, _bounded(t))

    def slope(self, s: Array) -> Array:
        """-(d/dt)(t^nu K_nu(t)) = t^nu K_{nu - 1}(t), scaled, for half-integer nu."""
        order, rate = self._order(), math.sqrt(2 * self.nu) / self.beta
        t = math.sqrt(2 * self.nu) * (s / self.beta)
        decay = -rate * namespace(t).exp(-t)
        if order == 0:
            return decay
        t = _bounded(t)
        return decay * t * _bessel_polynomial(order - 1, t) / (2 * order - 1)

    def spectrum(self, d: int) -> Spectrum:
        """Frequencies of a multivariate t distribution with 2 nu degrees of freedom."""
        return MaternSpectrum(d, float(self.nu), float(self.beta))

    def _order(self) -> int:
        order = round(self.nu - 0.5)
        if self.nu != order + 0.5:
            raise ValueError(
                f"kernel Matern must have nu = 1/2, 3/2, 5/2, ... for sums over all pairs, "
                f"got {self.nu:g}"
            )
        return order


@dataclass(frozen=True, init=False)
class Laplace(SmoothKernel):
    """K(x, y) = exp(-|x - y| / beta), the Matern kernel with nu = 1/2.

    Parameters
    ----------
    beta : float
        A length, positive.
    alpha : None
        Not to be given: the former name of 1 / beta, which the attribute of that name gives.

    Raises
    ------
    TypeError, ValueError
        If beta is not a positive number, or alpha is given.

    References
    ----------
    Hertrich, "Fast Kernel Summation in High Dimensions via Slicing and Fourier Transforms",
    SIAM J. Math. Data Sci. 2024.
    """

    beta: float = 1.0

    def __init__(self, beta: float = 1.0, *, alpha: None = None) -> None:
        if alpha is not None:
            raise TypeError(f"alpha is now beta = 1 / alpha, a length: got alpha={alpha!r}")
        check_positive("beta", beta)
        object.__setattr__(self, "beta", beta)  # the class is frozen

    @property
    def alpha(self) -> float:
        """1 / beta, by its former name."""
        return 1 / self.beta

    def value(self, s: Array) -> Array:
        """exp(-s / beta)."""
        return namespace(s).exp(-s / self.beta)

    def slope(self, s: Array) -> Array:
        """-exp(-s / beta) / beta."""
        return -self.value(s) / self.beta

    def spectrum(self, d: int) -> Spectrum:
        """Frequencies of a multivariate Cauchy distribution."""
        return MaternSpectrum(d, 0.5, float(self.beta))


@dataclass(frozen=True)
class Linear(Kernel):
    """K(x, y) = <x, y>, the inner product; not radial, and summed exactly without slicing."""


def _matern_formula(kernel: Matern) -> Formula | None:
    order = kernel._order()
    if order > _HIGHEST_ORDER:
        return None
    return Formula("matern", math.sqrt(2 * kernel.nu) / kernel.beta, order)


_FORMULAS: dict[type[Kernel], Callable[[Any], Formula | None]] = {  # not of what derives from these
    Energy: lambda kernel: Formula("power", 1.0, factor=-1.0),
    Riesz: lambda kernel: Formula("power", float(kernel.exponent), factor=-1.0),
    Gauss: lambda kernel: Formula("gauss", float(kernel.sigma)),
    Laplace: lambda kernel: Formula("matern", 1 / float(kernel.beta)),
    Matern: _matern_formula,
}

_RATIO = 10.0  # of the points' scale to the length of a named kernel, beyond which it warns
_SCALED_POINTS = 1000  # of which the scale is taken
_OF_LENGTH = {
    "Gauss": "Gauss({:.3g})", "Laplace": "Laplace({:.3g})", "Matern": "Matern(beta={:.3g})",
}  # fmt: skip
_NAMED: dict[str, type[Kernel]] = {
    "energy": Energy, "riesz": Riesz, "gauss": Gauss,
    "laplace": Laplace, "matern": Matern, "linear": Linear,
}  # fmt: skip


def as_kernel(kernel: Any, points: Array | None = None) -> Kernel:
    """The kernel that a name stands for, or the kernel itself.

    A named kernel with a length warns where that is not the scale of `points` (..., N, d).
    """
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str):
        raise TypeError(
            f"kernel must be a name or an object of energyflow.kernels, got {_kind(kernel)}"
        )
    if kernel not in _NAMED:
        raise ValueError(f"kernel must be one of {', '.join(_NAMED)}; got {kernel!r}")
    chosen = _NAMED[kernel]()
    if points is not None and isinstance(chosen, SmoothKernel):
        _warn_of_length(chosen, points)
    return chosen


def _warn_of_length(kernel: SmoothKernel, points: Array) -> None:
    """Warn where the root mean square distance of points is far from the kernel's length, 1.

    Beyond it the kernel is nearly zero between all points, below nearly constant.
    """
    few = points[..., : min(_SCALED_POINTS, points.shape[-2]), :]
    if not known_values(few):  # a part of known points may be traced, inside torch.func
        return
    with np.errstate(all="ignore"):
        variances = np.var(to_host(few).astype(np.float64), axis=-2)
        distance = float(np.mean(np.sqrt(2 * np.sum(variances, axis=-1))))
    if _RATIO < distance < math.inf or 0 < distance < 1 / _RATIO:
        name = type(kernel).__name__
        warn(
            f"kernel {name.lower()!r} has the length 1, where points lie about {distance:.3g} "
            f"apart: give an object, energyflow.kernels.{_OF_LENGTH[name].format(distance)}",
        )


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _bounded(t: Array) -> Array:
    """Where exp(-t) is 0, the last t where it is not: its powers stay finite."""
    xp = namespace(t)
    limits = xp.finfo(t.dtype)
    return xp.clip(t, max=-math.log(limits.smallest_normal * limits.eps))


def _bessel_polynomial(order: int, t: Array) -> Array:
    """exp(t) t^nu K_nu(t) with nu = order + 1/2, scaled to 1 at t = 0.

    The reverse Bessel polynomials divided by their constant terms (2 order - 1)!!. They are at
    most exp(t), and stay what they are where exp(-t) is 0.
    """
    before, now = namespace(t).ones_like(t), 1 + t
    if order == 0:
        return before
    for n in range(2, order + 1):
        before, now = now, now + t * t * (before / ((2 * n - 1) * (2 * n - 3)))
    return now
