"""The noise of slices: how much the gradient along random directions varies, from them alone."""

from __future__ import annotations

import numpy as np
from energyflow_backends import Doubles

from ..._slices.directions import resolve_slicing, sampled_projector
from ..._slices.hadamard import padded_length
from ..._slices.slicing import Slicing
from .sample import SOURCE, VECTORS

_DRAWS = 6
_VECTORS = 64


def slice_noise(n: int, d: int, slicing: str | Slicing, moving: int | None = None) -> float:
    r"""The variance of a gradient along n directions relative to its squared mean.

    Where slopes are linear in the displacement u of a particle, a step sees A u with the mean of
    the projections A = (d / n) sum t t^T in the place of u, and

    .. math:: V = \frac{\mathrm{E} |A u|^2}{|\mathrm{E} A u|^2} - 1 .

    For independent directions it is (d - 1) / n. An orthonormal frame of s < d directions has
    d / s - 1, a whole frame 0; with n = q d + s directions in frames V = s (d - s) / n^2.

    Parameters
    ----------
    n, d, slicing
        Directions, their dimension, and how they are drawn.
    moving : int, optional
        Of the d coordinates, how many move; the noise in the others is of no account.
    """
    moving = d if moving is None else moving
    if d == 1:
        return 0.0
    chosen = resolve_slicing(slicing, n, d)
    match chosen.name:
        case "iid":
            return _kept((d - 1) / n, d, moving)
        case "orthogonal":
            return _kept(_of_frames(n, d), d, moving)
        case "hadamard":
            length = padded_length(d)
            return _kept(_of_frames(n, length), length, moving)
    return measured_noise(n, d, chosen, moving)


def measured_noise(n: int, d: int, slicing: str | Slicing, moving: int | None = None) -> float:
    """The same from independent draws of the directions: those of different steps."""
    moving = d if moving is None else moving
    u = VECTORS.normal(0, 0, (_VECTORS, d))
    u[:, moving:] = 0
    pulls = []
    for step in range(_DRAWS):
        projector = sampled_projector(n, d, slicing, SOURCE, step)
        back = np.asarray(projector.project_back(projector.project(u)))
        pulls.append(back[:, :moving] / projector.n_projections)
    return _relative_variance(np.array(pulls))


def _relative_variance(pulls: Doubles) -> float:
    """Of draws (K, n, d) about their mean, without bias: products of different draws alone."""
    total = np.sum(pulls, axis=0)
    squares = float(np.sum(pulls**2))
    crossed = float(np.sum(total**2)) - squares
    draws = len(pulls)
    return max(0.0, squares / draws / (crossed / (draws * (draws - 1))) - 1)


def _of_frames(n: int, d: int) -> float:
    rest = n % d
    return rest * (d - rest) / n**2


def _kept(noise: float, d: int, moving: int) -> float:
    """The part of isotropic noise in d dimensions that some of the coordinates see.

    2 / (d + 2) of it is along u, the rest is uniform in the d - 1 directions across.
    """
    return noise * (2 + d * (moving - 1) / (d - 1)) / (d + 2)
