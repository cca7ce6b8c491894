"""The slow, obvious twin of everything fast: float64 NumPy, direct sums and loops.

Each function is its formula, term by term, in O(N M) or worse. It serves as the oracle of the
tests and as the shortest statement of what the library computes. NumPy arrays only; arguments
are not checked.
"""

from __future__ import annotations

import math

import numpy as np
from energyflow_backends import Doubles
from numpy.typing import ArrayLike

from .kernels import Gauss, Kernel, Laplace, Linear, Matern, Riesz

__all__ = [
    "energy_distance", "energy_gradient", "flow_step", "kernel_sum", "sliced_energy_distance",
    "sliced_energy_gradient", "slicing_constant",
]  # fmt: skip


def energy_distance(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    exponent: float = 1.0,
    estimator: str = "V",
) -> float:
    """2 sum a_i b_j |x_i - y_j|^r - s_a sum a_i a_k |x_i - x_k|^r - s_b sum b_j b_l |y_j - y_l|^r.

    x is (N, d), y is (M, d); s is 1 for the V estimator and 1 / (1 - sum of squared weights) for
    the U estimator. Reference: Székely, Rizzo, "Energy statistics: A class of statistics based on
    distances", 2013, Sections 2 and 7.

    Returns
    -------
    float
        E, in the unit length^r.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    x, y, a, b = _float64(x, y, a, b)
    s_a, s_b = _self_factor(a, estimator), _self_factor(b, estimator)
    total = 0.0
    for x_i, a_i in zip(x, a, strict=True):
        total += 2 * a_i * np.sum(b * _norms(x_i - y) ** exponent)
        total -= s_a * a_i * np.sum(a * _norms(x_i - x) ** exponent)
    for y_j, b_j in zip(y, b, strict=True):
        total -= s_b * b_j * np.sum(b * _norms(y_j - y) ** exponent)
    return float(total)


def energy_gradient(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    exponent: float = 1.0,
    estimator: str = "V",
    wrt: str = "x",
) -> Doubles:
    """Gradient of `energy_distance` with respect to x (N, d), or to y with ``wrt="y"``.

    The i-th row is 2 r a_i (sum_j b_j |x_i - y_j|^(r-2) (x_i - y_j) - s_a sum_k a_k
    |x_i - x_k|^(r-2) (x_i - x_k)), and coincident points add zero. Reference: Hertrich, Wald,
    Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels", ICLR 2024, Section 3.

    Returns
    -------
    array (N, d), or (M, d) with respect to y
        float64, in the unit length^(r - 1).

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    x, y, a, b = _float64(x, y, a, b)
    if wrt == "y":
        x, y, a, b = y, x, b, a
    s_a = _self_factor(a, estimator)
    gradient = np.zeros_like(x)
    for i, x_i in enumerate(x):
        toward_y = np.sum(b[:, None] * _norm_gradients(x_i - y, exponent), axis=0)
        toward_x = np.sum(a[:, None] * _norm_gradients(x_i - x, exponent), axis=0)
        gradient[i] = 2 * a[i] * (toward_y - s_a * toward_x)
    return gradient


def slicing_constant(d: int, exponent: float = 1.0) -> float:
    """sqrt(pi) gamma((d + r) / 2) / (gamma(d / 2) gamma((r + 1) / 2)), from d = 1 or 2 on.

    By gamma(z + 1) = z gamma(z) it grows by the factor 1 + r / d from d to d + 2.
    Reference: Hertrich, Wald, Altekrüger, Hagemann, ICLR 2024, Theorem 1.

    Returns
    -------
    float
        c(d, r), which brings the mean of |<theta, z>|^r over directions to |z|^r.

    Raises
    ------
    ValueError
        If the exponent is a pole of the formula, such as -1.
    """
    first = 2 - d % 2
    led_on = math.fsum(math.log1p(exponent / z) for z in range(first, d, 2))
    start = math.gamma((first + exponent) / 2) / math.gamma(first / 2)
    return math.sqrt(math.pi) / math.gamma((exponent + 1) / 2) * start * math.exp(led_on)


def sliced_energy_distance(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    projections: ArrayLike,
    exponent: float = 1.0,
    estimator: str = "V",
) -> float:
    """c(d, r) times the mean over the directions (P, d) of the distances of the projected points.

    Reference: Hertrich, Wald, Altekrüger, Hagemann, ICLR 2024, Theorem 1.

    Returns
    -------
    float
        The sliced E, in the unit length^r.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    x, y, a, b = _float64(x, y, a, b)
    s_a, s_b = _self_factor(a, estimator), _self_factor(b, estimator)
    total = 0.0
    for theta in np.asarray(projections, dtype=np.float64):
        u, v = _project(x, theta), _project(y, theta)
        cross = a @ np.abs(u[:, None] - v) ** exponent @ b
        within_x = a @ np.abs(u[:, None] - u) ** exponent @ a
        within_y = b @ np.abs(v[:, None] - v) ** exponent @ b
        total += float(2 * cross - s_a * within_x - s_b * within_y)
    return slicing_constant(x.shape[1], exponent) * total / len(np.asarray(projections))


def sliced_energy_gradient(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    projections: ArrayLike,
    exponent: float = 1.0,
    estimator: str = "V",
    wrt: str = "x",
) -> Doubles:
    """c(d, r) times the mean over directions of the one-dimensional gradients times directions.

    Reference: Hertrich, Wald, Altekrüger, Hagemann, ICLR 2024, Section 3.

    Returns
    -------
    array (N, d), or (M, d) with respect to y
        float64, in the unit length^(r - 1).

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    x, y, a, b = _float64(x, y, a, b)
    if wrt == "y":
        x, y, a, b = y, x, b, a
    s_a = _self_factor(a, estimator)
    gradient = np.zeros_like(x)
    for theta in np.asarray(projections, dtype=np.float64):
        u, v = _project(x, theta), _project(y, theta)
        toward_y = _power_derivatives(u[:, None] - v, exponent) @ b
        toward_x = _power_derivatives(u[:, None] - u, exponent) @ a
        gradient += (2 * a * (toward_y - s_a * toward_x))[:, None] * theta
    return slicing_constant(x.shape[1], exponent) * gradient / len(np.asarray(projections))


def flow_step(
    x: ArrayLike,
    velocity: ArrayLike,
    y: ArrayLike,
    *,
    projections: ArrayLike,
    step_size: float,
    momentum: float = 0.0,
    exponent: float = 1.0,
) -> tuple[Doubles, Doubles]:
    """One step of the particle flow of F = E / 2: v <- N grad F(x) + m v, x <- x - tau v.

    Reference: Hertrich, Wald, Altekrüger, Hagemann, ICLR 2024, Section 4.

    Returns
    -------
    points : array (N, d)
        The particles after the step, float64, in the unit of x.
    velocity : array (N, d)
        The velocity for the next step.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    points = np.asarray(x, dtype=np.float64)
    gradient = sliced_energy_gradient(points, y, projections=projections, exponent=exponent) / 2
    new = len(points) * gradient + momentum * np.asarray(velocity, dtype=np.float64)
    return points - step_size * new, new


def kernel_sum(
    x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None, *, kernel: Kernel
) -> Doubles:
    """sum_j w_j K(x_i, y_j) for each of the points x (N, d), with y (M, d) and w (M,): (N,).

    K is -s^r, exp(-s^2 / (2 sigma^2)), exp(-s / beta) or 2^(1-nu) / gamma(nu) t^nu K_nu(t) of the
    distance s with t = sqrt(2 nu) s / beta, or <x, y>. Reference: Hertrich, "Fast Kernel Summation
    in High Dimensions via Slicing and Fourier Transforms", SIAM J. Math. Data Sci. 2024.

    Returns
    -------
    array (N,)
        float64, in the units of w and K.

    Raises
    ------
    TypeError
        If the kernel is none of `energyflow.kernels`.
    ValueError
        If the shapes do not fit.
    """
    x, y, _, w = _float64(x, y, None, weights)
    return np.array([np.sum(w * _kernel_values(kernel, x_i, y)) for x_i in x])


def _kernel_values(kernel: Kernel, x_i: Doubles, y: Doubles) -> Doubles:
    """K(x_i, y_j) for all j, (M,)."""
    from scipy.special import gamma, kv

    s = _norms(x_i - y)
    match kernel:
        case Linear():
            values = _project(y, x_i)
        case Riesz(exponent=r):
            values = -(s**r)
        case Gauss(sigma=sigma):
            values = np.exp(-(s**2) / (2 * sigma**2))
        case Laplace(beta=beta):
            values = np.exp(-s / beta)
        case Matern(nu=nu, beta=beta):
            t = np.sqrt(2 * nu) * np.where(s > 0, s, 1.0) / beta
            values = np.where(s > 0, 2 ** (1 - nu) / gamma(nu) * t**nu * kv(nu, t), 1.0)
        case _:
            raise TypeError(f"kernel must be one of energyflow.kernels, got {kernel}")
    return values


def _float64(
    x: ArrayLike, y: ArrayLike, a: ArrayLike | None, b: ArrayLike | None
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    points = [np.asarray(v, dtype=np.float64) for v in (x, y)]
    weights = [
        np.full(len(v), 1 / len(v)) if w is None else np.asarray(w, dtype=np.float64)
        for v, w in zip(points, (a, b), strict=True)
    ]
    return points[0], points[1], weights[0], weights[1]


def _project(points: Doubles, theta: Doubles) -> Doubles:
    line: Doubles = np.sum(points * theta, axis=1)
    return line


def _norms(differences: Doubles) -> Doubles:
    norms: Doubles = np.sqrt(np.sum(differences**2, axis=1))
    return norms


def _norm_gradients(differences: Doubles, exponent: float) -> Doubles:
    """Gradients of |z|^r in R^d, zero at z = 0."""
    norms = _norms(differences)[:, None]
    powers = np.where(norms > 0, norms, 1.0) ** (exponent - 2)
    return np.where(norms > 0, exponent * powers * differences, 0.0)


def _power_derivatives(differences: Doubles, exponent: float) -> Doubles:
    """Derivatives of |z|^r on the line, zero at z = 0."""
    sizes = np.where(differences != 0, np.abs(differences), 1.0)
    return exponent * np.sign(differences) * sizes ** (exponent - 1)


def _self_factor(weights: Doubles, estimator: str) -> float:
    return 1.0 if estimator == "V" else float(1 / (1 - np.sum(weights**2)))
