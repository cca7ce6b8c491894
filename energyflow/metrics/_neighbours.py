"""Are samples copies of training data?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from energyflow_backends import to_host

from ._points import BYTES, Floats, points_together

COPY_RATIO = 1 / 3
CANDIDATES = 5


@dataclass(frozen=True, eq=False)
class NeighbourReport:
    """Distances to the nearest training points, of samples and of held-out data.

    Attributes
    ----------
    distances, held_out_distances : arrays (n,) and (m,)
        Of each sample, and of each held-out point.
    nearest : integer array (n,)
        The row of the training point that is nearest to each sample.
    copies, held_out_copies : float
        Fractions that count as copies.
    """

    distances: Floats
    held_out_distances: Floats
    nearest: Floats
    copies: float
    held_out_copies: float

    @property
    def median(self) -> float:
        """Median distance of a sample to its nearest training point."""
        return float(np.median(self.distances))

    @property
    def held_out_median(self) -> float:
        """The same of held-out data."""
        return float(np.median(self.held_out_distances))


def nearest_neighbours(samples: Any, train: Any, held_out: Any) -> NeighbourReport:
    r"""Distances of samples to the nearest training points, beside those of held-out data.

    A point counts as a copy where its nearest training point is three times nearer than the
    second nearest,

    .. math:: |x - NN_1(x)| \le |x - NN_2(x)| / 3

    Parameters
    ----------
    samples, train, held_out : arrays (n, d) or (n, C, H, W)
        Samples, the data that the model was trained on (two points or more), and data that it has
        not seen.

    Returns
    -------
    NeighbourReport

    Raises
    ------
    TypeError, ValueError
        Not arrays, shapes that do not fit, NaN or infinity, a single training point.

    Notes
    -----
    A model that has learnt the distribution is as far from its training data as held-out data
    are; one that repeats them is nearer, and has more copies. In low dimension d many points that
    are no copies pass the criterion, (1/3)^d of them where the density is flat: compare with
    held-out data. Exact repeats pass, also of points that occur twice. Cost O((n + m) N d).

    References
    ----------
    Yoon, Choi, Kwon, Ryu, "Diffusion probabilistic models generalize when they fail to memorize",
    ICML 2023 workshop on structured probabilistic inference and generative modeling.
    """
    x, known, fresh = map(to_host, points_together(samples=samples, train=train, held_out=held_out))
    if len(known) < 2:
        raise ValueError(f"train must have at least 2 points, got {len(known)}")
    nearest, first, second = _two_nearest(x, known)
    _, fresh_first, fresh_second = _two_nearest(fresh, known)
    return NeighbourReport(
        distances=first,
        held_out_distances=fresh_first,
        nearest=nearest,
        copies=_copies(first, second),
        held_out_copies=_copies(fresh_first, fresh_second),
    )


def _two_nearest(x: Floats, known: Floats) -> tuple[Floats, Floats, Floats]:
    """Row of the nearest point, and the distances to it and to the second nearest: (n,) each."""
    centre = known.mean(axis=0, dtype=np.float64)
    x, known = x - centre, known - centre
    squares = np.sum(known**2, axis=1)
    n_candidates = min(CANDIDATES, len(known))
    nearest, two = np.empty(len(x), dtype=np.int64), np.empty((len(x), 2))
    rows = max(1, BYTES // (8 * (len(known) + n_candidates * x.shape[1])))
    for start in range(0, len(x), rows):
        block = slice(start, start + rows)
        # Products find the candidates fast; differences tell them apart, and find copies at zero.
        rough = squares - 2 * (x[block] @ known.T)  # (rows, N)
        candidates = np.argpartition(rough, n_candidates - 1, axis=1)[:, :n_candidates]
        exact = np.linalg.norm(x[block, None] - known[candidates], axis=2)
        order = np.argsort(exact, axis=1, kind="stable")[:, :2]
        two[block] = np.take_along_axis(exact, order, axis=1)
        nearest[block] = np.take_along_axis(candidates, order[:, :1], axis=1)[:, 0]
    return nearest, two[:, 0], two[:, 1]


def _copies(first: Floats, second: Floats) -> float:
    return float(np.mean(first <= COPY_RATIO * second))
