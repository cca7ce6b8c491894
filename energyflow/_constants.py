"""The constant between a norm and the mean of its slices."""

from __future__ import annotations

import math
from functools import cache
from numbers import Integral

from ._checks import check_exponent


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
        `d` is not a positive integer, or `exponent` is not a number between 0 and 2.

    References
    ----------
    Hertrich, Wald, Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels",
    ICLR 2024, Theorem 1.
    """
    if isinstance(d, bool) or not isinstance(d, Integral):
        raise TypeError(f"d must be an integer, got {type(d).__name__}")
    if d < 1:
        raise ValueError(f"d must be at least 1, got {d}")
    return _constant(int(d), check_exponent(exponent))


@cache
def _constant(d: int, r: float) -> float:
    if d == 1:
        return 1.0
    from scipy.special import gamma, poch

    # poch(d/2, r/2) = gamma((d+r)/2) / gamma(d/2), whose gammas overflow from d = 343
    return float(math.sqrt(math.pi) * poch(d / 2, r / 2) / gamma((r + 1) / 2))
