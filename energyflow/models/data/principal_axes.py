"""Principal component analysis (PCA): the axes along which points vary most."""

from __future__ import annotations

import numpy as np
from energyflow_backends import Doubles, Floats

_ROUNDING = 1e-12  # of the largest variance, and of the sum of all: what rounding may make


def principal_axes(points: Floats, share: float) -> tuple[Doubles, Doubles, Doubles]:
    """The fewest principal axes along which points keep a share of their variance.

    Parameters
    ----------
    points : array (N, d)
        Finite.
    share : float
        0 < share <= 1; of 1, what is left out is rounding.

    Returns
    -------
    centre : array (d,)
        The mean of the points.
    variances : array (k,)
        Of the coordinates, divided by N; the largest first. Points that are all equal have one
        axis, of variance 0.
    axes : array (k, d)
        Unit rows, orthogonal; the largest number of each is positive, so that their signs do not
        depend on the machine.

    Notes
    -----
    Cost O(N d min(N, d) + d^3), the last term only where N >= d.
    """
    flat = points.astype(np.float64)
    centre = flat.mean(axis=0)
    flat -= centre
    n, d = flat.shape
    if n < d:
        deviations, axes = np.linalg.svd(flat, full_matrices=False)[1:]
        variances = np.square(deviations) / n
    else:
        variances, columns = np.linalg.eigh(flat.T @ flat / n)
        variances, axes = variances[::-1].clip(min=0), columns[:, ::-1].T
    kept = variances.cumsum()
    count = int((kept < share * (1 - _ROUNDING) * kept[-1]).sum()) + 1
    count = min(count, max(int((variances > _ROUNDING * variances[0]).sum()), 1))
    axes = axes[:count]
    largest = np.take_along_axis(axes, abs(axes).argmax(axis=1)[:, None], axis=1)
    return centre, variances[:count], np.ascontiguousarray(axes * np.sign(largest))
