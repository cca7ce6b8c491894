"""Families of directions on the unit sphere, drawn block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, namespace

from ._checks import check_array, check_choice, check_count
from ._constants import slicing_constant
from ._projectors import DenseProjector
from ._random import Rng, Source, as_source

_IID_BLOCK = 64
_SOBOL_DIMENSION = 21201
_FRAME_NUMBERS = 2**23  # a Haar frame has at most this many numbers (64 MiB)


@dataclass(frozen=True)
class Family:
    """How directions are drawn: `size` is how many belong together, `draw` makes one such block."""

    size: Callable[[int, int], int]
    draw: Callable[[Source, int, int, int, int], Array]  # source, step, block, count, d


def _normalised(vectors: Array) -> Array:
    xp = namespace(vectors)
    return vectors / xp.sqrt(xp.sum(vectors * vectors, axis=1, keepdims=True))


def _iid(source: Source, step: int, block: int, count: int, d: int) -> Array:
    return _normalised(source.normal(step, block, (count, d)))


def _orthogonal(source: Source, step: int, block: int, count: int, d: int) -> Array:
    """The first columns of a Haar orthogonal matrix: QR with the signs of R's diagonal."""
    normal = source.normal(step, block, (d, count))
    xp = namespace(normal)
    q, r = xp.linalg.qr(normal)
    signs = xp.where(xp.linalg.diagonal(r) < 0, -1.0, 1.0)
    return xp.matrix_transpose(q * xp.astype(signs, q.dtype))


def _sobol(source: Source, step: int, block: int, count: int, d: int) -> Array:
    """Scrambled Sobol points, mapped by the cylinder in d = 3, by the normal quantile otherwise."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    seed = int(source.host(step, block).integers(2**63))
    cube = qmc.Sobol(2 if d == 3 else d, rng=seed)
    u = cube.random_base2(max(0, (count - 1).bit_length()))[:count]
    if d == 3:
        z, angle = 2 * u[:, 0] - 1, 2 * np.pi * u[:, 1]
        r = np.sqrt(1 - z * z)
        return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)
    tiny = 2.0**-33
    return _normalised(ndtri(np.clip(u, tiny, 1 - tiny)))


def _equispaced(source: Source, step: int, block: int, count: int, d: int) -> Array:
    """Equal angles on the half circle, turned by one random angle."""
    turn = source.uniform(step, block)
    xp = namespace(turn)
    places = xp.arange(count, dtype=turn.dtype, device=compat.device(turn))[:, None]
    angle = np.pi * (places + turn) / count
    return xp.concat([xp.cos(angle), xp.sin(angle)], axis=1)


_FAMILIES = {
    "iid": Family(lambda n, d: _IID_BLOCK, _iid),
    "orthogonal": Family(lambda n, d: max(1, min(n, d, _FRAME_NUMBERS // d)), _orthogonal),
    "sobol": Family(lambda n, d: n, _sobol),
    "equispaced": Family(lambda n, d: n, _equispaced),
}
SLICINGS = ("auto", *_FAMILIES)


def resolve_slicing(name: str, d: int) -> str:
    """The family that a name stands for in d dimensions, after checking that it exists there."""
    check_choice("slicing", name, SLICINGS)
    if name == "equispaced" and d != 2:
        raise ValueError(f"slicing 'equispaced' needs points in 2 dimensions, got {d}")
    if name == "sobol" and d > _SOBOL_DIMENSION:
        raise ValueError(f"slicing 'sobol' serves up to {_SOBOL_DIMENSION} dimensions, got {d}")
    if name != "auto":
        return name
    if d == 2:
        return "equispaced"
    return "sobol" if d <= 6 else "orthogonal"


@dataclass(frozen=True, eq=False)
class SampledProjector:
    """Unit directions drawn when they are needed, block by block.

    The directions are a function of (source, step, place), whatever chunks they are drawn in.
    """

    family: str
    n_projections: int
    d: int
    source: Source
    step: int = 0

    def blocks(self, size: int) -> Iterator[DenseProjector]:
        """Dense projectors of at most `size` slices, in order."""
        together = _FAMILIES[self.family].size(self.n_projections, self.d)
        waiting: list[Array] = []
        for block, start in enumerate(range(0, self.n_projections, together)):
            count = min(together, self.n_projections - start)
            drawn = self._draw(block, count)
            if sum(w.shape[0] for w in waiting) + count > size and waiting:
                yield DenseProjector(_joined(waiting))
                waiting = []
            if count > size:
                yield from DenseProjector(drawn).blocks(size)
            else:
                waiting.append(drawn)
        if waiting:
            yield DenseProjector(_joined(waiting))

    def directions(self) -> Array:
        """All of them, (P, d)."""
        (whole,) = self.blocks(self.n_projections)
        return whole.directions

    def project(self, x: Array) -> Array:
        """Points (..., N, d) to rows (..., P, N)."""
        return DenseProjector(self.directions()).project(x)

    def project_back(self, g: Array) -> Array:
        """Rows (..., P, N) to sums over the slices (..., N, d)."""
        return DenseProjector(self.directions()).project_back(g)

    def constant(self, exponent: float) -> float:
        """c(d, r) of unit directions."""
        return slicing_constant(self.d, exponent)

    def _draw(self, block: int, count: int) -> Array:
        if self.d == 1:
            return np.ones((count, 1))
        return _FAMILIES[self.family].draw(self.source, self.step, block, count, self.d)


def sampled_projector(
    n: int, d: int, slicing: str, source: Source, step: int = 0
) -> SampledProjector:
    """The directions of one call or step; one direction is all there is in one dimension."""
    return SampledProjector(resolve_slicing(slicing, d), 1 if d == 1 else n, d, source, step)


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
        ``"iid"`` (independent), ``"orthogonal"`` (blocks of Haar-distributed orthonormal frames),
        ``"sobol"`` (scrambled Sobol points mapped to the sphere), ``"equispaced"`` (d = 2: equal
        angles on the half circle, turned by a random angle), or ``"auto"``: equispaced in two
        dimensions, Sobol up to six, orthogonal above. Each direction alone is uniform on the
        sphere in all of them, so sliced sums are unbiased.
    rng : int, generator or None
        An int or a `numpy.random.Generator` draws on the host, the same numbers for every
        library; a `torch.Generator`, `jax.random.key` or `cupy.random.Generator` draws on its
        device. None draws fresh entropy.
    like : array, optional
        The result has its library, device and dtype; float64 NumPy (or the device's numbers)
        when not given.

    Returns
    -------
    array (n, d)
        One unit vector a row. For d = 1 all are 1: every direction gives the same sum.

    Raises
    ------
    TypeError, ValueError
        n or d is not a positive integer, the method is unknown or does not serve dimension d, or
        rng is none of the above.

    Notes
    -----
    Cost O(n d), for orthogonal O(n d min(n, d)).

    References
    ----------
    Hertrich, Jahn, Quellmalz, "Fast Summation of Radial Kernels via QMC Slicing", ICLR 2025.
    """
    n, d = check_count("n", n), check_count("d", d)
    if like is not None:
        check_array("like", like)
    family = resolve_slicing(check_choice("method", method, SLICINGS), d)
    drawn = SampledProjector(family, n, d, as_source(rng)).directions()
    return drawn if like is None else DenseProjector(drawn).matrix(like)


def _joined(blocks: list[Array]) -> Array:
    return blocks[0] if len(blocks) == 1 else namespace(blocks[0]).concat(blocks, axis=0)
