"""Permutation tests of independence by distance covariances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat as compat
import energyflow_backends as backends
import numpy as np
from energyflow_backends import Array, ArrayLike, known_values, namespace, not_compiled, to_host
from numpy.typing import NDArray

from .._core.checks import (
    Estimator,
    check_choice,
    check_count,
    check_exponent,
    check_finite,
    check_method,
    shape,
)
from .._core.progress import Progress, Report, in_batches
from .._core.random import Rng, as_source
from .._slices.slicing import SlicingName
from .direction_pairs import DirectionPairs
from .paired import paired_points
from .permutations import all_of_them, check_strata, drawn, number_of_all
from .result import IndependenceTestResult

_TIE = 1e-10  # of the statistic, below which a difference is one of rounding
_ROUNDING = 1e-12  # of the product of mean distances to the mean, likewise

Doubles = NDArray[np.float64]


@not_compiled
def independence_test(
    x: ArrayLike,
    y: ArrayLike,
    given: ArrayLike | None = None,
    *,
    n_resamples: int = 999,
    exponent: float = 1.0,
    estimator: Estimator = "V",
    method: Literal["auto", "exact", "sliced"] = "auto",
    n_projections: int = 128,
    slicing: SlicingName = "auto",
    strata: Any = None,
    rng: Rng = None,
    progress: bool = False,
) -> IndependenceTestResult:
    r"""Test whether paired samples are independent, by permutations of their distance covariance.

    The null hypothesis is that each x_i may be paired with any y_j. With a third sample it is that
    what z leaves of y may be: the statistic is then the partial distance covariance.

    The p-value is (1 + #{permutations whose statistic is at least as large}) / (1 + n_resamples):
    ties count, up to rounding, and it is never zero. Where there are no more than `n_resamples`
    permutations in all, each of them is taken once, and the p-value is exact.

    Parameters
    ----------
    x, y : arrays (N, d) and (N, e), or (N,)
        Paired points, in any units of length.
    given : array (N, f) or (N,), optional
        Points z that are removed from x and y: a test of the partial distance covariance.
    n_resamples : int
        Random permutations.
    exponent : float
        The power r, 0 < r < 2.
    estimator : "V" or "U"
        As in `distance_covariance_squared`. With `given` it is always "U".
    method : "auto", "exact" or "sliced"
        "exact" sums over all pairs of points; "sliced" sorts along pairs of random directions, for
        r = 1; "auto" is exact up to 5000 points, and for r != 1. On the line both give the same
        numbers for r = 1, and the points are sorted.
    n_projections : int
        Number of pairs of directions P, where the method is sliced.
    slicing : str
        How directions are drawn, as in `sliced_distance_covariance_squared`.
    strata : array (N,), optional
        Labels: points are permuted only within their stratum (block, batch, subject).
    rng : int, generator or None
        Where directions and permutations come from: the same ones, and the same p-value, for every
        library. None draws fresh entropy.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    IndependenceTestResult

    Raises
    ------
    TypeError
        Not arrays, mixed libraries or devices.
    ValueError
        Shapes that do not fit, empty samples, NaN or infinity, too few points, strata that do not
        fit or leave nothing to permute, "sliced" with r != 1.

    Notes
    -----
    R permutations: on the line O(R N log N); exact O(N^2 (d + e + R)), at most 256 MiB of
    distances at a time, beyond which those of x are computed again; sliced O(R P N log N). With
    `given` four times as much. Everything is computed on the host in float64. Statistics that
    differ by less than 1e-10 of the true one, or 1e-12 of the product of both samples' mean
    distances to their means, count as equal.

    The level is exact for every n_resamples and P, since directions do not look at the pairing;
    with `given` it is not, as what z leaves is not exchangeable in general.

    References
    ----------
    Székely, Rizzo, Bakirov, "Measuring and testing dependence by correlation of distances", Annals
    of Statistics 2007. Székely, Rizzo, "Partial distance correlation with methods for
    dissimilarities", Annals of Statistics 2014. Huang, Huo, "A statistically and numerically
    efficient independence test based on random projections and distance covariance", Frontiers in
    Applied Mathematics and Statistics 2022.
    """
    named = {"x": x, "y": y} if given is None else {"x": x, "y": y, "given": given}
    points = paired_points(**named)
    hosted = _hosted(points)
    exponent = check_exponent(exponent)
    estimator = check_choice("estimator", estimator, ("V", "U")) if given is None else "U"
    n_resamples = check_count("n_resamples", n_resamples)
    n = len(hosted[0].points)
    if n < (least := 4 if estimator == "U" else 2):
        raise ValueError(f"x and y must have at least {least} points, got {n}")
    by_sorting = exponent == 1 and all(side.points.shape[1] == 1 for side in hosted)
    chosen = check_method(method, exponent, n)
    parts = check_strata(strata, n)
    source = as_source(rng)
    directions = DirectionPairs.checked(
        as_source(int(source.host(0, 0).integers(2**31))), n_projections, slicing
    )
    sorting = directions if chosen == "sliced" or by_sorting else None
    covariances = _Covariances(hosted, exponent, estimator, sorting)
    whole = number_of_all(parts, n_resamples)
    count = whole or n_resamples + 1
    steps = covariances.steps
    blocks = drawn(parts, n, source, count) if whole is None else [all_of_them(parts, n)]
    bar = Progress(steps * count, "permuting", progress)
    counted = ((block, len(block)) for block in blocks)
    statistics = np.concatenate(in_batches(covariances.permuted, counted, steps, bar))
    bound = statistics[0] - _TIE * abs(statistics[0]) - _ROUNDING * covariances.scale
    unit = (hosted[0].unit * hosted[1].unit) ** exponent
    xp, device = namespace(points["x"]), compat.device(points["x"])
    dtype = xp.result_type(points["x"], points["y"])

    def given_back(values: Any) -> Array:
        with np.errstate(over="ignore"):
            return xp.asarray(np.asarray(values * unit), dtype=dtype, device=device)

    return IndependenceTestResult(
        statistic=given_back(statistics[0]),
        pvalue=float(np.mean(statistics >= bound)),
        null_distribution=given_back(statistics if whole else statistics[1:]),
        enumerated=whole is not None,
        estimator=estimator,
        method=chosen,
        n_projections=directions.n_projections if chosen == "sliced" and not by_sorting else 0,
        exponent=exponent,
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """Points of one sample (N, d), float64 around their midrange in the unit of their extent."""

    points: Doubles
    unit: float

    def mean_power(self, exponent: float) -> float:
        """Mean of |x - mean|^exponent."""
        far = np.linalg.norm(self.points - self.points.mean(axis=0), axis=1)
        return float(np.mean(far**exponent))


def _hosted(points: dict[str, Array]) -> list[_Side]:
    sides = []
    for name, v in points.items():
        if v.ndim != 2:
            raise ValueError(f"{name} must have shape (N, d) or (N,), got {shape(v)}")
        if not known_values(v):
            raise TypeError(f"{name} must have values: a test cannot be traced")
        check_finite(name, v)
        host = to_host(v).astype(np.float64)
        low, high = host.min(axis=0), host.max(axis=0)
        host = host - (low / 2 + high / 2)
        extent = float(np.abs(host).max())
        unit = extent if extent > 0 else 1.0
        sides.append(_Side(host / unit, unit))
    return sides


class _Covariances:
    """Squared distance covariances of permuted pairs; with a third side, the partial ones."""

    def __init__(
        self,
        sides: list[_Side],
        exponent: float,
        estimator: str,
        directions: DirectionPairs | None,  # without them, all pairs are summed
    ) -> None:
        self._sides, self._exponent, self._directions = sides, exponent, directions
        n = len(sides[0].points)
        self._weights = backends.covariance_weights(n, estimator)
        self.scale = sides[0].mean_power(exponent) * sides[1].mean_power(exponent)
        self._per_pair = n
        if directions is not None:
            on_lines = all(side.points.shape[1] == 1 for side in sides)
            self._per_pair = 1 if on_lines else directions.n_projections
        self.steps = self._per_pair * (1 if len(sides) == 2 else 4)

    def permuted(self, permutations: NDArray[np.int32], report: Report) -> Doubles:
        """Of x_i and y_p(i), for each p of permutations (W, N)."""
        if len(self._sides) == 2:
            return self._of(0, 1, permutations, report)

        def part(number: int, left: int, right: int) -> Doubles:
            done = number * self._per_pair
            return self._of(left, right, permutations, lambda k: report(done + k))

        # <A - alpha C, B_p - beta C_p> with the U-centred distances A, B, C of x, y, z
        alpha, beta = self._removed(0), self._removed(1)
        total = part(0, 0, 1) - beta * part(1, 0, 2) - alpha * part(2, 2, 1)
        return total + alpha * beta * part(3, 2, 2)

    def _removed(self, side: int) -> float:
        """How much of the distances of z is taken off those of one side."""
        same = np.arange(len(self._sides[0].points), dtype=np.int32)[None]
        own = float(self._of(2, 2, same)[0])
        return float(self._of(side, 2, same)[0]) / own if own > 0 else 0.0

    def _of(
        self,
        left: int,
        right: int,
        permutations: NDArray[np.int32],
        report: Report = lambda done: None,
    ) -> Doubles:
        x, y = self._sides[left].points, self._sides[right].points
        if self._directions is None:
            return backends.exact_permuted_covariances(
                x, y, permutations, self._weights, self._exponent, report
            )
        pair = self._directions.projectors(x.shape[1], y.shape[1], 3 * left + right)
        return backends.sliced_permuted_covariances(x, y, permutations, self._weights, pair, report)
