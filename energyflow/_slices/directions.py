"""Ways of slicing by name, and unit directions for those who want them as an array."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from energyflow_backends import Array, Projector, not_compiled

from .._core.checks import check_array, check_choice, check_count
from .._core.random import JaxSource, Rng, Source, as_source
from .families import FAMILIES, SampledProjector, UnitSlicing
from .hadamard import HadamardSlicing
from .projectors import DenseProjector
from .slicing import Slicing, SlicingName
from .spread_store import ready

_UNIT = {family.name: family for family in FAMILIES}
_NAMED: dict[str, Slicing] = {**_UNIT, "hadamard": HadamardSlicing()}
SLICINGS = ("auto", *_NAMED)
METHODS = ("auto", *_UNIT)


def resolve_slicing(
    slicing: str | Slicing, n: int, d: int, source: Source | None = None
) -> Slicing:
    """The slicing of that name for n directions in R^d; raises if it does not exist there."""
    slicing = check_slicing(slicing)
    if not isinstance(slicing, Slicing):
        slicing = _NAMED[_best(n, d, source) if slicing == "auto" else slicing]
    slicing.check(d)
    return slicing


def check_slicing(slicing: Any) -> SlicingName | Slicing:
    """A slicing, or one of SLICINGS."""
    if isinstance(slicing, Slicing):
        return slicing
    if not isinstance(slicing, str):
        kind = f" {slicing.__name__}: make an object of it" if isinstance(slicing, type) else ""
        raise TypeError(
            f"slicing must be a name or a Slicing object, got {type(slicing).__name__}{kind}"
        )
    if slicing == "patches":
        raise ValueError(
            "slicing 'patches' must know the shape of the images: "
            "pass energyflow.PatchSlicing(shape) in its place"
        )
    return cast(SlicingName, check_choice("slicing", slicing, SLICINGS))


def unit_slicing(name: str, n: int, d: int, source: Source) -> UnitSlicing:
    """The family of one of METHODS for n directions in R^d; raises if it does not exist there."""
    family = _UNIT[_best(n, d, source) if name == "auto" else name]
    family.check(d)
    return family


def _best(n: int, d: int, source: Source | None) -> str:
    """The unbiased family with the smallest error that costs no optimising here.

    Sobol points are made on the host, for which a key of JAX may not be traced.
    """
    if d == 2:
        return "equispaced"
    if n > d and ready(n, d):
        return "distance"
    return "sobol" if d <= 6 < n and not isinstance(source, JaxSource) else "orthogonal"


def sampled_projector(
    n: int, d: int, slicing: str | Slicing, source: Source, step: int = 0
) -> Projector:
    """The directions of one call or step; one direction is all there is in one dimension."""
    chosen = resolve_slicing(slicing, n, d, source)
    if d == 1:
        return DenseProjector(np.ones((1, 1)))
    projector = chosen.projector(n, d, source, step)
    if not isinstance(projector, SampledProjector | Projector) or projector.n_projections < 1:
        raise TypeError(
            f"slicing {chosen.name!r} must make a projector with at least one projection, "
            f"got {type(projector).__name__}"
        )
    return projector


@not_compiled
def sample_projections(
    n: int, d: int, *, method: str = "auto", rng: Rng = None, like: Array | None = None
) -> Array:
    r"""Random directions on the unit sphere of R^d.

    Parameters
    ----------
    n : int
        Number of directions.
    d : int
        Dimension.
    method : str
        One of these; each direction alone is uniform on the sphere in all of them, so that sliced
        sums are unbiased.

        - ``"iid"``: independent.
        - ``"orthogonal"``: blocks of Haar-distributed orthonormal frames.
        - ``"sobol"``: scrambled Sobol points mapped to the sphere.
        - ``"equispaced"``: d = 2, equal angles on the half circle, turned by a random angle.
        - ``"distance"``: sets that maximise the sum of distances between all ends of their lines,
          turned by a Haar-distributed rotation; the smallest errors in low dimensions. Sets of
          50, 64, 100, 128, 200, 256, 500, 512 and 1000 come with the package for d = 3 to 8 and 10;
          others are optimised when first needed, some ten seconds at most, and kept in the user's
          cache folder (``$XDG_CACHE_HOME/energyflow`` on Linux), so that seeds give the same
          directions on one machine. Sets have at most 1000 directions and 2^17 numbers; beyond,
          several of equal size are turned independently and joined; above 256 dimensions, and for
          n <= d, they are orthonormal frames.
        - ``"auto"``: ``"equispaced"`` in two dimensions, ``"distance"`` where it needs no
          optimising, ``"sobol"`` for other numbers above six in up to six dimensions (but not with
          a key of JAX, which may be traced), ``"orthogonal"`` otherwise.
    rng : int, generator or None
        An int or a `numpy.random.Generator` draws on the host, the same numbers for every
        library; a `torch.Generator`, `jax.random.key` or `cupy.random.Generator` draws on its
        device. None draws fresh entropy.
    like : array (...), optional
        The result has its library, device and dtype; float64 NumPy (or the device's numbers)
        when not given.

    Returns
    -------
    array (n, d)
        One unit vector a row. For d = 1 all are 1: every direction gives the same sum.

    Raises
    ------
    TypeError, ValueError
        If n or d is not a positive integer, the method is unknown or does not exist in dimension
        d, or rng is none of the above.

    Notes
    -----
    Cost O(n d), for orthogonal O(n d min(n, d)). The argument `slicing` of sliced sums and flows
    takes the same names, and two biased ways that have no unit directions to sample:
    ``"hadamard"`` or `HadamardSlicing` (fast in high dimensions, nearly uniform), and
    `PatchSlicing` (patches of images).

    References
    ----------
    Hertrich, Jahn, Quellmalz, "Fast Summation of Radial Kernels via QMC Slicing", ICLR 2025.
    """
    n, d = check_count("n", n), check_count("d", d)
    if like is not None:
        check_array("like", like)
    source = as_source(rng)
    family = unit_slicing(check_choice("method", method, METHODS), n, d, source)
    drawn = SampledProjector(family, n, d, source).directions()
    return drawn if like is None else DenseProjector(drawn).matrix(like)
