"""The squared maximum mean discrepancy of two point sets, for given kernels."""

from __future__ import annotations

from typing import Any, Literal

from energyflow_backends import Array, ArrayLike, namespace, not_compiled

from .._core.checks import check_choice, check_count, shape
from ..kernels import Kernel, KernelName, RadialKernel, as_kernel
from .kernel_sums import kernel_sum
from .problem import Problem, problem
from .witness import full_weights


@not_compiled
def mmd_squared(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    kernel: Kernel | KernelName = "energy",
    estimator: Literal["V", "U", "linear"] = "V",
    chunk_size: int | None = None,
) -> Array:
    r"""Squared maximum mean discrepancy of two weighted point sets.

    .. math:: \mathrm{MMD}^2 = s_a \sum_{ik} a_i a_k K(x_i, x_k)
              + s_b \sum_{jl} b_j b_l K(y_j, y_l) - 2 \sum_{ij} a_i b_j K(x_i, y_j)

    with s = 1 for the V estimator. The U estimator leaves out i = k and j = l and has
    s = 1 / (1 - sum of squared weights). The linear-time estimator is a mean over pairs of pairs,

    .. math:: \frac{2}{N} \sum_{i=1}^{N/2} K(x_{2i-1}, x_{2i}) + K(y_{2i-1}, y_{2i})
              - K(x_{2i-1}, y_{2i}) - K(x_{2i}, y_{2i-1}) .

    For the energy and Riesz kernels, -|x - y|^r, it is the energy distance E; the papers on sliced
    MMD flows have a factor 1/2 in their definition.

    Parameters
    ----------
    x, y : arrays (..., N, d) and (..., M, d)
        Points, in any unit of length; leading batch dimensions broadcast.
    a, b : arrays (N,) or (..., N), and (M,) or (..., M), optional
        Weights, non-negative and with sum one; uniform when not given. The linear-time estimator
        takes none.
    kernel : kernel or str
        An object of `energyflow.kernels`, or the name of one with its default parameters: a length
        of 1, with a warning where points lie more than ten times farther apart, or nearer.
    estimator : "V", "U" or "linear"
        "V" is the discrepancy of the two discrete measures, never negative but for rounding. "U"
        and "linear" are unbiased for that of the distributions they were drawn from, and may be
        negative. "linear" needs N = M and points in random order, and leaves out the last
        of an odd number.
    chunk_size : int, optional
        Points of one set whose distances to all others are held at once; chosen to stay within
        64 MiB when not given. With Numba on CPUs none are held.

    Returns
    -------
    array (...)
        In the library, device and dtype of x and y; 0-d without batch dimensions. Unit: that of
        K. Differentiable with respect to x and y through torch and JAX.

    Raises
    ------
    TypeError, ValueError
        As `energy_distance`; also if the kernel is unknown, or if the linear-time estimator gets
        weights or sets of different sizes.

    Notes
    -----
    Cost O((N + M)^2 d), and O(N d) with "linear", whose variance falls like 1 / N as well but
    from a higher level. Sliced and near-linear: `sliced_energy_distance` and `kernel_sum`.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf, Smola, "A Kernel Two-Sample Test", JMLR 2012, equations
    (3) to (5) and Lemma 14.
    """
    check_choice("estimator", estimator, ("V", "U", "linear"))
    pooled = "U" if estimator == "U" else "V"
    task = problem(x, y, a, b, exponent=1.0, estimator=pooled, chunk_size=chunk_size)
    chosen = as_kernel(kernel, task.y)
    if estimator == "linear":
        return _linear(task, chosen)
    xp = namespace(task.x)
    total: Any = 0.0
    weights = [full_weights(w, v, task.dtype) for w, v in ((task.a, task.x), (task.b, task.y))]
    for w, points in zip(weights, (task.x, task.y), strict=True):
        own = xp.sum(w * _sums(points, points, w, chosen, task), axis=-1)
        if estimator == "U":
            own = own - xp.sum(w * w * _diagonal(chosen, points, task.dtype), axis=-1)
            own = own / (1 - xp.sum(w * w, axis=-1))
        total = total + own
    cross = xp.sum(weights[0] * _sums(task.x, task.y, weights[1], chosen, task), axis=-1)
    return xp.astype(total - 2 * cross, xp.result_type(task.x, task.y), copy=False)


def _sums(x: Array, y: Array, w: Array, kernel: Kernel, task: Problem) -> Array:
    """Sums over j of w_j K(x_i, y_j) in the dtype of the computation, (..., N)."""
    x, y = (namespace(v).astype(v, task.dtype, copy=False) for v in (x, y))
    return kernel_sum(x, y, w, kernel=kernel, method="direct", chunk_size=task.request.chunk_size)


def _diagonal(kernel: Kernel, points: Array, dtype: Any) -> Array:
    """K(x_i, x_i), (..., N)."""
    xp = namespace(points)
    wide = xp.astype(points, dtype, copy=False)
    if isinstance(kernel, RadialKernel):
        return kernel.value(xp.zeros_like(wide[..., 0]))
    return xp.sum(wide * wide, axis=-1)


def _linear(task: Problem, kernel: Kernel) -> Array:
    """The mean over pairs of pairs, each a sum over one point."""
    if task.a is not None or task.b is not None:
        raise ValueError("a and b must be left out for estimator 'linear'")
    n, m = shape(task.x)[-2], shape(task.y)[-2]
    if n != m:
        raise ValueError(f"x and y must have the same size for estimator 'linear', got {n}, {m}")
    check_count("the number of points for estimator 'linear'", n, minimum=2)
    xp = namespace(task.x)
    odd, even = slice(0, n - n % 2, 2), slice(1, n, 2)

    def pairs(first: Array, second: Array) -> Array:
        first, second = first[..., None, :], second[..., None, :]  # (..., N / 2, 1, d)
        one = xp.ones_like(second[..., 0])
        return _sums(first, second, one, kernel, task)[..., 0]

    x, y = task.x, task.y
    values = (
        pairs(x[..., odd, :], x[..., even, :])
        + pairs(y[..., odd, :], y[..., even, :])
        - pairs(x[..., odd, :], y[..., even, :])
        - pairs(x[..., even, :], y[..., odd, :])
    )
    return xp.astype(xp.mean(values, axis=-1), xp.result_type(x, y), copy=False)
