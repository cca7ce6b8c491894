"""Tests of whether two samples come from one distribution, by permutations of their MMD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import array_api_compat as compat
import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, Doubles, namespace, not_compiled

from .._core.checks import check_count, check_positive
from .._core.progress import Progress
from .._core.random import Rng, Source, as_source
from ..kernels import Gauss, KernelName, Laplace, Matern, RadialKernel
from .pooled import PooledPoints
from .relabelling import check_strata, relabellings
from .samples import as_samples, warn_of_scales
from .several import pvalue, standardised

_MEDIAN_POINTS = 2000  # whose distances the median is taken of
_FACTORS = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)  # of the median, that are aggregated
_ROUNDING = 1e-14  # of the kernel at zero, below which a difference is one of rounding

_OF_LENGTH: dict[str, Callable[[float], RadialKernel]] = {
    "gauss": lambda length: Gauss(length),
    "laplace": lambda length: Laplace(length),
    "matern": lambda length: Matern(beta=length),
}


@dataclass(frozen=True, eq=False)
class KernelTestResult:
    """The result of `kernel_test`.

    Attributes
    ----------
    statistic : array ()
        MMD^2 of the V estimator for the chosen kernel. In the library, on the device and in the
        common dtype of the samples, as the null distribution.
    pvalue : float
        That of the kernel, or of all kernels together.
    null_distribution : array (n_resamples,)
        MMD^2 of each relabelling, for the same kernel.
    kernels : tuple of kernels
        Those that were used, B of them.
    chosen : int
        Place of the kernel whose MMD^2 is the largest after standardising.
    pvalues : array (B,)
        The p-value of each kernel by itself, not corrected.
    columns : tuple of str or None
        Names of the coordinates, where the samples were data frames.
    scale : str
        "none", "sd" or "rank": what the coordinates were divided by or became.
    """

    statistic: Array
    pvalue: float
    null_distribution: Array
    kernels: tuple[RadialKernel, ...]
    chosen: int
    pvalues: Doubles
    columns: tuple[str, ...] | None
    scale: str

    def __repr__(self) -> str:
        best = self.kernels[self.chosen]
        several = f", best of {len(self.kernels)}" if len(self.kernels) > 1 else ""
        return (
            f"KernelTestResult(statistic={float(self.statistic):.6g}, pvalue={self.pvalue:.6g}, "
            f"n_resamples={self.null_distribution.shape[0]}, {best}{several})"
        )


@not_compiled
def kernel_test(
    x: Any,
    y: Any,
    *,
    kernel: RadialKernel | KernelName = "gauss",
    bandwidth: float | str | None = None,
    n_resamples: int = 999,
    strata: Sequence[Any] | None = None,
    scale: Literal["auto", "none", "sd", "rank"] = "auto",
    rng: Rng = None,
    progress: bool = False,
) -> KernelTestResult:
    r"""Test whether two samples come from one distribution, by their MMD for a given kernel.

    .. math:: \mathrm{MMD}^2 = \frac{1}{N^2} \sum_{ik} K(x_i, x_k)
              + \frac{1}{M^2} \sum_{jl} K(y_j, y_l) - \frac{2}{N M} \sum_{ij} K(x_i, y_j)

    The relabellings are those of `energy_test`, and so is the p-value. Several bandwidths are
    aggregated: the statistic is then the largest of their MMD^2, each less its mean over all
    relabellings and divided by its standard deviation over them. All relabellings have this
    statistic, so that the level is exact.

    Parameters
    ----------
    x, y : arrays (N, d) and (M, d), or (N,), or data frames
        As the samples of `energy_test`.
    kernel : kernel or "gauss", "laplace", "matern"
        An object of `energyflow.kernels`, of distances alone, or a family whose length is the
        bandwidth: sigma, 1 / alpha or beta.
    bandwidth : float, "median" or "aggregate", optional
        A length; "median" is the median distance between points of both samples, the default for a
        family; "aggregate" takes 1/8 to 8 times that, seven lengths. An object has its own.
    n_resamples : int
        Random relabellings.
    strata : sequence of integer arrays (N,) and (M,), optional
        Points are relabelled only within their stratum.
    scale : "auto", "none", "sd" or "rank"
        As in `energy_test`.
    rng : int, generator or None
        Where relabellings come from: the same ones for every library. None draws fresh entropy.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    KernelTestResult

    Raises
    ------
    TypeError
        Not arrays or frames, a kernel that is no function of distances.
    ValueError
        As `energy_test`; also a bandwidth beside an object, and samples whose points are equal, so
        that there is no median distance.

    Notes
    -----
    Cost O(B T^2 (d + R)) for T points, R relabellings and B bandwidths; some rows of the matrix at
    a time. The median is that of 2000 points at most, and knows no labels.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf, Smola, "A Kernel Two-Sample Test", JMLR 2012. Biggs,
    Schrab, Gretton, "MMD-FUSE: Learning and Combining Kernels for Two-Sample Testing Without Data
    Splitting", NeurIPS 2023, which takes a soft maximum.
    """
    given = as_samples((x, y), scale, "xy")
    pool = PooledPoints(given.points, "xy")
    if given.columns is None and scale == "auto":
        warn_of_scales(pool)
    source = as_source(rng)
    n_resamples = check_count("n_resamples", n_resamples)
    strata_of_points = check_strata(strata, pool.sizes)
    points = pool.whole()
    kernels = _kernels(kernel, bandwidth, points, pool.unit, source)
    count = n_resamples + 1
    steps = len(points) * len(kernels)
    parts: list[list[Doubles]] = [[] for _ in kernels]
    with Progress(steps * count, "relabelling", progress) as bar:
        done = 0
        for labels in relabellings(pool.sizes, strata_of_points, source, count, 16):
            width = sum(block.shape[1] for block in labels)
            for part, one in zip(parts, kernels, strict=True):
                profile = partial(_of_distances, one, pool.unit)
                part.append(
                    backends.exact_permutation_energies(
                        points, labels, pool.sizes, 1.0, profile=profile
                    )[0]
                )
                done += len(points) * width
                bar.update(done)
    statistics = np.stack([np.concatenate(part) for part in parts])  # (B, 1 + R)
    rounding = _ROUNDING * np.abs([float(one.value(np.zeros(1))[0]) for one in kernels])
    scores = standardised(statistics, rounding)
    chosen = int(np.argmax(scores[:, 0]))
    pvalues = [pvalue(*one) for one in zip(statistics, rounding, strict=True)]
    xp, device = namespace(given.points[0]), compat.device(given.points[0])
    dtype = xp.result_type(*given.points)

    def restored(values: Any) -> Array:
        return xp.asarray(np.asarray(values), dtype=dtype, device=device)

    return KernelTestResult(
        statistic=restored(statistics[chosen, 0]),
        pvalue=pvalues[0] if len(kernels) == 1 else pvalue(scores.max(axis=0)),
        null_distribution=restored(statistics[chosen, 1:]),
        kernels=kernels,
        chosen=chosen,
        pvalues=np.array(pvalues),
        columns=given.columns,
        scale=given.scale,
    )


def _of_distances(kernel: RadialKernel, unit: float, far: Doubles) -> Doubles:
    return np.asarray(kernel.value(far * unit))


def _kernels(
    kernel: Any, bandwidth: Any, points: Doubles, unit: float, source: Source
) -> tuple[RadialKernel, ...]:
    if not isinstance(kernel, str):
        if not isinstance(kernel, RadialKernel):
            raise TypeError(
                f"kernel must be a function of distances or a name, got {type(kernel).__name__}"
            )
        if bandwidth is not None:
            raise ValueError("bandwidth must be left out for a kernel object, which has its own")
        return (kernel,)
    if kernel not in _OF_LENGTH:
        raise ValueError(f"kernel must be one of {', '.join(_OF_LENGTH)}; got {kernel!r}")
    family = _OF_LENGTH[kernel]
    if bandwidth is not None and not isinstance(bandwidth, str):
        return (family(check_positive("bandwidth", bandwidth)),)
    if bandwidth not in (None, "median", "aggregate"):
        raise ValueError(f"bandwidth must be a length, median or aggregate; got {bandwidth!r}")
    median = _median(points, source) * unit
    if not 0 < median < np.inf:
        raise ValueError(
            "x and y must have points whose median distance is positive and finite for the "
            f"bandwidth {bandwidth or 'median'!r}, got {median:.3g}"
        )
    factors = _FACTORS if bandwidth == "aggregate" else (1.0,)
    return tuple(family(factor * median) for factor in factors)


def _median(points: Doubles, source: Source) -> float:
    """Median of the positive distances between the points, or some of them."""
    from scipy.spatial.distance import pdist

    if len(points) > _MEDIAN_POINTS:
        points = source.host(0, 1).choice(points, _MEDIAN_POINTS, replace=False)
    far = pdist(points)
    far = far[far > 0]
    return float(np.median(far)) if len(far) else 0.0
