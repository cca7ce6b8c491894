"""The constant between a norm and the mean of its slices."""

from __future__ import annotations

import math
from functools import cache

from .._core.checks import check_count, check_exponent

_FAR = 100  # dimension from which three terms of Stirling's series are enough


def slicing_constant(d: int, exponent: float = 1.0) -> float:
    r"""Factor between a power of a norm and the mean of its slices.

    .. math:: |z|^r = c(d, r) \, E_\theta |\langle \theta, z \rangle|^r, \qquad
              c(d, r) = \frac{\sqrt\pi \, \Gamma((d + r)/2)}{\Gamma(d/2) \, \Gamma((r + 1)/2)}

    with the direction uniform on the unit sphere of R^d.

    Parameters
    ----------
    d : int
        Dimension, at least 1.
    exponent : float
        The power r, 0 < r < 2.

    Returns
    -------
    float
        c(d, r), a pure number; 1 for d = 1.

    Raises
    ------
    TypeError, ValueError
        If `d` is not a positive integer, or `exponent` is not a number between 0 and 2.

    References
    ----------
    Hertrich, Wald, Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels",
    ICLR 2024, Theorem 1.
    """
    return constant_of(check_count("d", d), check_exponent(exponent))


@cache
def constant_of(d: int, r: float) -> float:
    """`slicing_constant` of arguments that are checked."""
    return math.sqrt(math.pi) * _gamma_ratio(d, r) / math.gamma((r + 1) / 2) if d > 1 else 1.0


def _gamma_ratio(d: int, r: float) -> float:
    """gamma((d + r) / 2) / gamma(d / 2), to rounding in every dimension.

    A difference of logarithms loses the digits that they have in common. Below _FAR, the ratio of
    d = 1 or 2 is led on by gamma(z + 1) = z gamma(z); from there, the two Stirling series about
    the middle w = (d - 1 + r / 2) / 2 are subtracted term by term. With t = r / 4 the terms are
    Bernoulli polynomials at t + 1 / 2.
    """
    if d < _FAR:
        first = 2 - d % 2
        growth = math.prod(1 + r / z for z in range(first, d, 2))
        return math.gamma((first + r) / 2) / math.gamma(first / 2) * growth
    t = r / 4
    b3 = t**3 - t / 4
    b5 = t**5 - 5 * t**3 / 6 + 7 * t / 48
    b7 = t**7 - 7 * t**5 / 4 + 49 * t**3 / 48 - 31 * t / 192
    w = (d - 1 + r / 2) / 2
    return float(w ** (r / 2) * math.exp(-(b3 / 3 + b5 / 10 / w**2 + b7 / 21 / w**4) / w**2))
