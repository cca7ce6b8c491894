"""Families of unit directions, each one uniform on the sphere, drawn block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import array_api_compat as compat
import numpy as np
from energyflow_backends import Array, namespace

from .._core.random import JaxSource, Source
from .constants import constant_of
from .projectors import DenseProjector, moved
from .slicing import Slicing
from .spread_store import set_size, spread_set

_IID_BLOCK = 64
_SOBOL_DIMENSION = 21201
_FRAMES = 512  # directions of small frames that are drawn at once
_FRAME_NUMBERS = 2**23  # a Haar frame has at most this many numbers (64 MiB)


@dataclass(frozen=True)
class UnitSlicing(Slicing):
    """Unit directions: `size` is how many belong together, `draw` makes one such block."""

    name: str
    size: Callable[[int, int], int]  # n, d
    draw: Callable[[Source, int, int, int, int], Array]  # source, step, block, count, d
    dimensions: range = range(1, 2**63)
    unbiased: ClassVar[bool] = True

    def check(self, d: int) -> None:
        """Raise a ValueError where the family does not exist in d dimensions."""
        if d not in self.dimensions:
            first, last = self.dimensions.start, self.dimensions.stop - 1
            served = f"{first} dimensions" if first == last else f"{first} to {last} dimensions"
            raise ValueError(f"slicing {self.name!r} needs points in {served}, got {d}")

    def projector(self, n: int, d: int, source: Source, step: int = 0) -> SampledProjector:
        """Directions that are drawn when they are needed."""
        return SampledProjector(self, n, d, source, step)


@dataclass(frozen=True, eq=False)
class SampledProjector:
    """Unit directions drawn when they are needed, block by block.

    The directions are a function of (source, step, place), whatever chunks they are drawn in.
    """

    family: UnitSlicing
    n_projections: int
    d: int
    source: Source
    step: int = 0

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What it holds, which may be traced."""
        return (self.source.key,) if isinstance(self.source, JaxSource) else ()

    def blocks(self, size: int) -> Iterator[DenseProjector]:
        """Dense projectors of at most `size` slices, in order."""
        together = self.family.size(self.n_projections, self.d)
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
        return constant_of(self.d, exponent)

    def _draw(self, block: int, count: int) -> Array:
        if self.d == 1:
            return np.ones((count, 1))
        return self.family.draw(self.source, self.step, block, count, self.d)


def _joined(blocks: list[Array]) -> Array:
    return blocks[0] if len(blocks) == 1 else namespace(blocks[0]).concat(blocks, axis=0)


def _normalised(vectors: Array) -> Array:
    xp = namespace(vectors)
    return vectors / xp.sqrt(xp.sum(vectors * vectors, axis=1, keepdims=True))


def _iid(source: Source, step: int, block: int, count: int, d: int) -> Array:
    return _normalised(source.normal(step, block, (count, d)))


def _orthogonal(source: Source, step: int, block: int, count: int, d: int) -> Array:
    """Columns of Haar orthogonal matrices: QR with the signs of R's diagonal."""
    frames = -(-count // d)
    normal = source.normal(step, block, (frames, d, min(count, d)))
    xp = namespace(normal)
    q, r = xp.linalg.qr(normal)
    signs = xp.where(xp.linalg.diagonal(r) < 0, -1.0, 1.0)
    columns = xp.matrix_transpose(q * xp.astype(signs, q.dtype)[:, None, :])
    return xp.reshape(columns, (-1, d))[:count, :]


def _frames(n: int, d: int) -> int:
    """Directions that are drawn together: several small frames, or a part of a huge one."""
    return max(1, min(n, d * max(1, _FRAMES // d), _FRAME_NUMBERS // d))


def _blocks(n: int, d: int) -> int:
    return _IID_BLOCK


def _all_at_once(n: int, d: int) -> int:
    return n


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


def _distance(source: Source, step: int, block: int, count: int, d: int) -> Array:
    """A well-spread set, turned by a Haar orthogonal matrix; a frame where that is best."""
    if count <= d:
        return _orthogonal(source, step, block, count, d)
    if d == 2:
        return _equispaced(source, step, block, count, d)
    turn = _orthogonal(source, step, block, d, d)
    return namespace(turn).matmul(moved(spread_set(count, d).copy(), turn), turn)


FAMILIES = (
    UnitSlicing("iid", _blocks, _iid),
    UnitSlicing("orthogonal", _frames, _orthogonal),
    UnitSlicing("sobol", _all_at_once, _sobol, range(1, _SOBOL_DIMENSION + 1)),
    UnitSlicing("equispaced", _all_at_once, _equispaced, range(2, 3)),
    UnitSlicing("distance", set_size, _distance),
)
