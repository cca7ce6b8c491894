"""Energy distances in sixty digits, from the numbers as they are stored."""

from __future__ import annotations

import mpmath
import numpy as np

_DIGITS = 60
_NOTHING = mpmath.mpf(10) ** -(_DIGITS - 10)  # rounding of its own, where the answer is 0


def energy(x, y, a=None, b=None, *, exponent=1.0, estimator="V", directions=None):
    """Value and gradient for x (N, d), as mpmath numbers: of all pairs, or along directions."""
    with mpmath.workdps(_DIGITS):
        points = [[_exact(v) for v in p] for p in (*np.asarray(x), *np.asarray(y))]
        n, m = len(x), len(y)
        a, b = _weights(a, n), _weights(b, m)
        if directions is None:
            return _energy(points, a, b, mpmath.mpf(exponent), estimator)
        d, r = len(points[0]), mpmath.mpf(exponent)
        value, gradient = mpmath.mpf(0), [[mpmath.mpf(0)] * d for _ in range(n)]
        for theta in np.asarray(directions):
            theta = [_exact(v) for v in theta]
            line = [[mpmath.fdot(p, theta)] for p in points]
            one, slopes = _energy(line, a, b, r, estimator)
            value += one
            for row, (slope,) in zip(gradient, slopes, strict=True):
                row[:] = [g + slope * t for g, t in zip(row, theta, strict=True)]
        scale = constant(d, exponent) / len(np.asarray(directions))
        return scale * value, [[scale * g for g in row] for row in gradient]


def constant(d, exponent):
    """sqrt(pi) gamma((d + r) / 2) / (gamma(d / 2) gamma((r + 1) / 2))."""
    with mpmath.workdps(_DIGITS):
        d, r = mpmath.mpf(d), mpmath.mpf(exponent)
        logs = mpmath.loggamma((d + r) / 2) - mpmath.loggamma(d / 2) - mpmath.loggamma((r + 1) / 2)
        return mpmath.sqrt(mpmath.pi) * mpmath.exp(logs)


def error(found, expected) -> float:
    """The greatest error of numbers relative to the greatest of them."""
    pairs = list(zip(np.ravel(np.asarray(found, np.float64)), _flat(expected), strict=True))
    size = max(abs(e) for _, e in pairs)
    size = size if size > _NOTHING else 1
    return float(max(abs(mpmath.mpf(float(f)) - e) for f, e in pairs) / size)


def error_of_each(found, expected) -> float:
    """The greatest error of a number relative to itself."""
    pairs = zip(np.ravel(np.asarray(found, np.float64)), _flat(expected), strict=True)
    return float(max(abs(mpmath.mpf(float(f)) - e) / (abs(e) or 1) for f, e in pairs))


def _energy(points, a, b, r, estimator):
    n = len(a)
    signed = [*a, *(-w for w in b)]
    excess = [mpmath.mpf(0)] * 2  # of the self-terms
    if estimator == "U":
        excess = [1 / (1 - mpmath.fdot(w, w)) - 1 for w in (a, b)]
    value, gradient = mpmath.mpf(0), []
    for i, p in enumerate(points):
        pull = [mpmath.mpf(0)] * len(p)
        for j, q in enumerate(points):
            away = [u - v for u, v in zip(p, q, strict=True)]
            far = mpmath.sqrt(mpmath.fdot(away, away))
            if far == 0:
                continue
            weight = signed[j]
            if (i < n) == (j < n):
                weight *= 1 + excess[i >= n]
            value -= signed[i] * weight * far**r
            force = weight * r * far ** (r - 2)
            pull = [g + force * u for g, u in zip(pull, away, strict=True)]
        if i < n:
            gradient.append([-2 * signed[i] * g for g in pull])
    return value, gradient


def _weights(weights, count):
    if weights is None:
        return [mpmath.mpf(1) / count] * count
    return [_exact(w) for w in np.asarray(weights)]


def _exact(number):
    return mpmath.mpf(float(number))


def _flat(expected):
    if isinstance(expected, list):
        return [e for row in expected for e in row]
    return [expected]
