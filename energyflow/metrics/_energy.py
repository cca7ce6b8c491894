"""The energy distance of samples to held-out data, beside what real data reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from energyflow_backends import ArrayLike, Doubles, to_host

from .. import energy_distance, sliced_energy_distance
from .._core.checks import as_labels, check_choice, check_count
from .._core.random import Rng, as_generator
from ..datasets._split import held_out_rows
from ._points import points_together

MOST_PAIRS = 16_000_000
"""Above so many pairs of points "auto" takes slices."""


@dataclass(frozen=True)
class EnergyReport:
    """Energy distances E (V estimate) to held-out data, means over random draws.

    Attributes
    ----------
    distance : float
        Distance of the samples.
    floor, floor_std : float
        Distance of as many real data in their place, and its standard deviation over the draws.
    n_samples, n_held_out : int
        Points on the two sides.
    method : "exact" or "sliced"
        How distances were summed.
    """

    distance: float
    floor: float
    floor_std: float
    n_samples: int
    n_held_out: int
    method: str

    @property
    def ratio(self) -> float:
        """Distance over floor: 1 is as near as real data come."""
        if self.distance == self.floor:  # both are 0 where all points are the same
            return 1.0
        return self.distance / self.floor if self.floor else float("inf")


def energy_distance_report(
    samples: ArrayLike,
    held_out: ArrayLike,
    rng: Rng = 0,
    *,
    real: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    n_repeats: int = 10,
    method: Literal["auto", "exact", "sliced"] = "auto",
    n_projections: int = 500,
) -> EnergyReport:
    r"""Energy distance of samples to held-out data beside that between two real sets of that size.

    .. math:: E(S, B) \quad\text{beside}\quad E(A, A')

    with S samples and B held-out data; A and A' are real data, of the sizes of S and B and without
    a common point. The V estimate has a bias that depends on the sizes, here the same in both.

    Parameters
    ----------
    samples, held_out : arrays (n, d) or (n, C, H, W)
        Samples of a model, and data that it has not seen.
    rng : int or generator
        Draws subsets, and directions where sums are sliced: the same for both distances.
    real : array (m, ...), optional
        More real data, such as those of the training: A and A' are drawn from these and the
        held-out data together. When not given, they are random halves of the held-out data, and B
        is one half too.
    strata : integer array (k,), optional
        Classes of the held-out data and then of `real`, where the split between the two gave each
        the same share of each class: A' then takes its share too, for such parts are nearer to
        each other than random ones.
    n_repeats : int
        Random draws over which both distances are averaged.
    method : "auto", "exact" or "sliced"
        All pairs or slices; "auto" takes slices above 16 million pairs.
    n_projections : int
        Directions, where sums are sliced.

    Returns
    -------
    EnergyReport

    Raises
    ------
    TypeError, ValueError
        If arguments are no arrays of fitting shapes, numbers are NaN or infinite, or there are
        fewer than two held-out points.

    Notes
    -----
    Cost of `energy_distance` or `sliced_energy_distance`, up to 2 n_repeats times. A model that
    only repeats its training data reaches the floor: look at `nearest_neighbours` too.
    """
    generator = as_generator(rng)
    n_repeats = check_count("n_repeats", n_repeats)
    check_choice("method", method, ("auto", "exact", "sliced"))
    given = {"samples": samples, "held_out": held_out} | ({} if real is None else {"real": real})
    x, y, *others = (to_host(points).astype(np.float64) for points in points_together(**given))
    if not others and len(y) < 2:
        raise ValueError(f"held_out must have at least 2 points to cut in halves, got {len(y)}")
    m = len(y) if others else len(y) // 2
    pool = np.concatenate([y, *others])
    n = min(len(x), len(pool) - m)
    classes = None if strata is None else as_labels("strata", strata)
    if classes is not None and classes.shape != (len(pool),):
        raise ValueError(f"strata must have shape ({len(pool)},), got {classes.shape}")
    if method == "auto":
        method = "exact" if (n + m) ** 2 <= MOST_PAIRS else "sliced"

    directions = int(generator.integers(2**32))

    def distance(left: Doubles, right: Doubles) -> float:
        if method == "exact":
            return float(energy_distance(left, right))
        sliced = sliced_energy_distance(left, right, n_projections=n_projections, rng=directions)
        return float(sliced)

    whole = n == len(x) and m == len(y)  # then every draw of samples is the same
    distances = [
        distance(_draw(x, n, generator), _draw(y, m, generator))
        for _ in range(1 if whole else n_repeats)
    ]
    floors = []
    for _ in range(n_repeats):
        seed = int(generator.integers(2**32))
        fixed, rest = held_out_rows(len(pool), classes, m, seed)
        floors.append(distance(pool[rest[:n]], pool[fixed]))
    return EnergyReport(
        distance=float(np.mean(distances)),
        floor=float(np.mean(floors)),
        floor_std=float(np.std(floors)),
        n_samples=n,
        n_held_out=m,
        method=method,
    )


def _draw(points: Doubles, n: int, rng: np.random.Generator) -> Doubles:
    return points[rng.permutation(len(points))[:n]]
