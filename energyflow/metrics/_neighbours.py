"""Are samples copies of training data?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from energyflow_backends import ArrayLike, Doubles, Floats, Integers, to_host

from .._core.extras import need
from ._points import points_together

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

    distances: Doubles
    held_out_distances: Doubles
    nearest: Integers
    copies: float
    held_out_copies: float

    def __repr__(self) -> str:
        return (
            f"NeighbourReport({len(self.distances)} samples: {self.copies:.3g} copies, "
            f"{self.held_out_copies:.3g} of held-out data; median distance {self.median:.3g})"
        )

    @property
    def median(self) -> float:
        """Median distance of a sample to its nearest training point."""
        return float(np.median(self.distances))

    @property
    def held_out_median(self) -> float:
        """The same of held-out data."""
        return float(np.median(self.held_out_distances))


def nearest_neighbours(
    samples: ArrayLike, train: ArrayLike, held_out: ArrayLike
) -> NeighbourReport:
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
        If arguments are no arrays of fitting shapes, numbers are NaN or infinite, or there is a
        single training point.
    ModuleNotFoundError
        If scikit-learn is not installed.

    Notes
    -----
    The samples of a model that has learnt the distribution are as far from its training data as
    held-out data are; those of one that repeats them are nearer, and more are copies. In low
    dimension d many points that are no copies pass the criterion, (1/3)^d of them where the density
    is flat: compare with held-out data. Exact repeats pass, also of points that occur twice. Cost
    O((n + m) N d), less in low dimension.

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
        copies=_share_of_copies(first, second),
        held_out_copies=_share_of_copies(fresh_first, fresh_second),
    )


def _two_nearest(x: Floats, train: Floats) -> tuple[Integers, Doubles, Doubles]:
    """Row of the nearest training point, distances to it and to the second nearest: (n,) each."""
    need("sklearn", "nearest_neighbours", "models")
    from sklearn.neighbors import NearestNeighbors

    centre = train.mean(axis=0, dtype=np.float64)
    x, train = x - centre, train - centre
    # scikit-learn finds candidates by products; differences find the nearest, and copies at zero
    search = NearestNeighbors(n_neighbors=min(CANDIDATES, len(train))).fit(train)
    candidates = search.kneighbors(x, return_distance=False)  # (n, candidates)
    exact = np.stack([np.linalg.norm(x - train[rows], axis=1) for rows in candidates.T], axis=1)
    order = np.argsort(exact, axis=1, kind="stable")[:, :2]
    first, second = np.take_along_axis(exact, order, axis=1).T
    return np.take_along_axis(candidates, order[:, :1], axis=1)[:, 0], first, second


def _share_of_copies(first: Doubles, second: Doubles) -> float:
    return float(np.mean(first <= COPY_RATIO * second))
