"""Real powers of positive numbers as straight-line arithmetic, so that LLVM vectorises them.

Numba's cache watches only the file of the function that is called: after a change here, remove
the cached files of the module that imports this one.
"""

# mypy: disable-error-code="no-untyped-def"

import math

import numpy as np

from .compiler import inner

_LOG2_E = 1.0 / math.log(2.0)
_LN_2 = math.log(2.0)
_MANTISSA = (1 << 52) - 1
_BIAS = 1023
# Adding 2**52 to a small integer held in the low bits of a double, or 1.5 * 2**52 to a double,
# converts between integers and doubles without an instruction that older CPUs lack.
_SHIFT_BITS = 0x4330000000000000
_SHIFT = 2.0**52
_ROUND = 1.5 * 2.0**52


@inner("contract")
def _log2(x):
    """log2 of a normal positive number: exponent plus 2 atanh((m - 1) / (m + 1)) / log 2."""
    bits = np.float64(x).view(np.int64)
    # Shifts the cut between exponents from 1 to sqrt(1/2), so that m lies in [0.707, 1.414).
    cut = bits + np.int64(0x00095F619980C433)
    exponent = np.int64((cut >> 52) | np.int64(_SHIFT_BITS)).view(np.float64) - (_SHIFT + _BIAS)
    m = np.int64(bits - (cut & np.int64(~_MANTISSA)) + np.int64(_BIAS << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    u = s * s
    v = u * u
    even = ((1.0 / 13.0 * v + 1.0 / 9.0) * v + 1.0 / 5.0) * v
    odd = ((1.0 / 15.0 * v + 1.0 / 11.0) * v + 1.0 / 7.0) * v + 1.0 / 3.0
    return exponent + (2.0 * _LOG2_E) * (s + s * (even + u * odd))


@inner("contract")
def _exp2(y):
    """2**y for |y| < 1022: Taylor's series on [-1/2, 1/2], then the exponent by its bits."""
    rounded = y + _ROUND
    f = (y - (rounded - _ROUND)) * _LN_2
    g = f * f
    even = 1.0 / 3628800.0 * g + 1.0 / 40320.0
    even = ((even * g + 1.0 / 720.0) * g + 1.0 / 24.0) * g + 0.5
    odd = 1.0 / 39916800.0 * g + 1.0 / 362880.0
    odd = (((odd * g + 1.0 / 5040.0) * g + 1.0 / 120.0) * g + 1.0 / 6.0) * g + 1.0
    series = 1.0 + (even * g + odd * f)
    scale = np.float64(rounded).view(np.int64) << 52
    return np.int64(np.float64(series).view(np.int64) + scale).view(np.float64)


@inner("contract")
def power(base, exponent, out):
    """Write base ** exponent to out, for normal positive numbers, |exponent| < 1."""
    if exponent == 0.5:
        for i in range(base.shape[0]):
            out[i] = math.sqrt(base[i])
    elif exponent == -0.5:
        for i in range(base.shape[0]):
            out[i] = 1.0 / math.sqrt(base[i])
    else:
        for i in range(base.shape[0]):
            out[i] = _exp2(exponent * _log2(base[i]))
