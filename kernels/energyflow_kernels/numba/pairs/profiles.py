"""Radial kernels of squared distances, in loops that become vectors.

A profile is a kind and two numbers. POWER: s^r, with r first. GAUSS: exp(-s^2 / (2 sigma^2)), with
sigma first. MATERN: exp(-t) times the reverse Bessel polynomial of an order in t = rate s, with
the rate and the order.
"""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np

from ..compiler import inner
from ..powers import _exp2, _log2

POWER, GAUSS, MATERN = 0, 1, 2
KINDS = {"power": POWER, "gauss": GAUSS, "matern": MATERN}
_LAST = 708.0  # exp(-t) counts as zero beyond
_COINCIDENT = 2.0**-1000  # squares below it have lost digits, and count as zero

_LOG2_E = 1.0 / math.log(2.0)
_LN2_HIGH = 0.693145751953125  # twenty bits: its products with whole numbers are exact
_LN2_LOW = 1.4286068203094173e-06  # the rest
_ROUND = 1.5 * 2.0**52


@inner()
def _exp(x):
    """exp(x) for x <= 0, which counts as zero below -708."""
    seen = max(x, -_LAST)
    rounded = seen * _LOG2_E + _ROUND
    n = rounded - _ROUND
    f = (seen - n * _LN2_HIGH) - n * _LN2_LOW
    g = f * f
    even = 1.0 / 3628800.0 * g + 1.0 / 40320.0
    even = ((even * g + 1.0 / 720.0) * g + 1.0 / 24.0) * g + 0.5
    odd = 1.0 / 39916800.0 * g + 1.0 / 362880.0
    odd = (((odd * g + 1.0 / 5040.0) * g + 1.0 / 120.0) * g + 1.0 / 6.0) * g + 1.0
    series = 1.0 + (even * g + odd * f)
    scale = np.float64(rounded).view(np.int64) << 52
    near = np.int64(np.float64(series).view(np.int64) + scale).view(np.float64)
    return near if x >= -_LAST else 0.0


@inner()
def _powers(exponent, square, n, value, pull):
    """s^r and r s^(r - 2), which is nothing at s = 0."""
    half = 0.5 * exponent - 1.0
    for i in range(square.shape[0]):
        for j in range(n):
            apart = square[i, j] > _COINCIDENT
            power = _exp2(half * _log2(square[i, j] if apart else 1.0))
            pull[i, j] = exponent * power if apart else 0.0
            value[i, j] = power * square[i, j]


@inner()
def _matern(rate, order, square, n, value, pull):
    """exp(-t) p_n(t) and -rate^2 exp(-t) p_{n-1}(t) / (2 n - 1); -rate exp(-t) / s for n = 0.

    The reverse Bessel polynomials, scaled to p_n(0) = 1, follow from p_n = p_{n-1} + t^2 p_{n-2} /
    ((2 n - 1) (2 n - 3)).
    """
    factor = -rate * rate / (2.0 * order - 1.0) if order else 1.0
    for i in range(square.shape[0]):
        for j in range(n):
            far = math.sqrt(square[i, j])
            t = min(rate * far, _LAST)
            near = _exp(-rate * far)
            single = -rate * near / (far if square[i, j] > _COINCIDENT else np.inf)
            pull[i, j] = near if order else single
            value[i, j] = near * (1.0 + t) if order else near
        for m in range(2, int(order) + 1):
            scale = 1.0 / ((2.0 * m - 1.0) * (2.0 * m - 3.0))
            for j in range(n):
                t = min(rate * math.sqrt(square[i, j]), _LAST)
                before = value[i, j]
                value[i, j] = before + scale * (t * t) * pull[i, j]
                pull[i, j] = before
        for j in range(n):
            pull[i, j] *= factor


@inner()
def evaluate(kind, first, second, square, n, value, pull):
    """Write F(s), and F'(s) / s where s > 0, of the first n columns of squared distances."""
    if kind == POWER and first != 1.0:
        _powers(first, square, n, value, pull)
    elif kind == MATERN:
        _matern(first, second, square, n, value, pull)
    elif kind == POWER:
        for i in range(square.shape[0]):
            for j in range(n):
                far = math.sqrt(square[i, j])
                pull[i, j] = 1.0 / (far if square[i, j] > _COINCIDENT else np.inf)
                value[i, j] = far
    else:
        for i in range(square.shape[0]):
            for j in range(n):
                near = _exp(-0.5 * (square[i, j] / first / first))
                value[i, j] = near
                pull[i, j] = -near / first / first
