"""Where random numbers come from: functions of (seed, step, block), or a device's generator."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from energyflow_backends import Array, known_values, sharding

Rng = Any


class Source(Protocol):
    """Random numbers for one block of slices at one step."""

    def normal(self, step: int, block: int, shape: tuple[int, ...]) -> Array:
        """Independent standard normal numbers."""

    def uniform(self, step: int, block: int) -> Array:
        """One number uniform on [0, 1), of shape (1, 1)."""

    def host(self, step: int, block: int) -> np.random.Generator:
        """A NumPy generator, for point sets that are made on the host."""


class HostSource:
    """Counter-based (Philox): the numbers depend on seed, step and block alone.

    Resuming, and any number of ranks or threads, see the same numbers.
    """

    def __init__(self, key: Sequence[int]) -> None:
        self.key = (int(key[0]), int(key[1]))

    def host(self, step: int, block: int) -> np.random.Generator:
        """The generator of one block: the counter's high words are the step and the block."""
        key = np.array(self.key, dtype=np.uint64)
        counter = np.array([0, 0, block, step], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def normal(self, step: int, block: int, shape: tuple[int, ...]) -> Array:
        """Float64 on the host."""
        return self.host(step, block).standard_normal(shape)

    def uniform(self, step: int, block: int) -> Array:
        """Float64 on the host."""
        return self.host(step, block).random((1, 1))


class TorchSource:
    """A `torch.Generator`: a stream on its device, read in order."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def normal(self, step: int, block: int, shape: tuple[int, ...]) -> Array:
        """Numbers in torch's default dtype, on the generator's device."""
        import torch

        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def uniform(self, step: int, block: int) -> Array:
        """One number, on the generator's device."""
        import torch

        return torch.rand((1, 1), generator=self.generator, device=self.generator.device)

    def host(self, step: int, block: int) -> np.random.Generator:
        """Seeded by the next number of the stream."""
        import torch

        device = self.generator.device
        seed = torch.randint(2**62, (1,), generator=self.generator, device=device)
        return np.random.default_rng(int(seed.item()))


@dataclass(frozen=True, eq=False)
class JaxSource:
    """A `jax.random.key`, folded with the step and the block: pure, and traceable."""

    key: Any

    def _fold(self, step: int, block: int) -> Any:
        import jax

        return jax.random.fold_in(jax.random.fold_in(self.key, step), block)

    def normal(self, step: int, block: int, shape: tuple[int, ...]) -> Array:
        """Numbers in JAX's default dtype."""
        import jax

        return jax.random.normal(self._fold(step, block), shape)

    def uniform(self, step: int, block: int) -> Array:
        """One number."""
        import jax

        return jax.random.uniform(self._fold(step, block), (1, 1))

    def host(self, step: int, block: int) -> np.random.Generator:
        """Seeded by the folded key, which must be known (not traced)."""
        import jax

        if not known_values(self.key):
            raise ValueError(
                "rng must be a key whose value is known for slicing that draws on the host, as "
                "'sobol' and patches do; under jax.jit take 'iid', 'orthogonal' or 'distance'"
            )
        words = np.asarray(jax.random.key_data(self._fold(step, block)))
        return np.random.default_rng([int(w) for w in words.ravel()])


class CupySource:
    """A `cupy.random.Generator`: a stream on its device, read in order."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def normal(self, step: int, block: int, shape: tuple[int, ...]) -> Array:
        """Float64 on the device."""
        numbers: Array = self.generator.standard_normal(shape)
        return numbers

    def uniform(self, step: int, block: int) -> Array:
        """One number on the device."""
        number: Array = self.generator.random((1, 1))
        return number

    def host(self, step: int, block: int) -> np.random.Generator:
        """Seeded by the next number of the stream."""
        return np.random.default_rng(int(self.generator.integers(2**62)))


@lru_cache(64)
def _of_seed(seed: int) -> HostSource:
    return HostSource(np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist())


def as_source(rng: Rng) -> Source:
    """The source of random numbers that `rng` stands for; global state is never touched."""
    if rng is None:
        return HostSource(np.frombuffer(os.urandom(16), np.uint64).tolist())
    if isinstance(rng, Integral) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"rng must be a non-negative seed, got {rng}")
        return _of_seed(int(rng))
    if isinstance(rng, np.random.Generator):
        return HostSource(rng.integers(2**64, size=2, dtype=np.uint64).tolist())
    if isinstance(rng, HostSource | TorchSource | JaxSource | CupySource):
        return rng
    library = type(rng).__module__.partition(".")[0]
    if library == "torch" and type(rng).__name__ == "Generator":
        return TorchSource(rng)
    if library == "cupy" and type(rng).__name__ == "Generator":
        return CupySource(rng)
    if library in ("jax", "jaxlib") and "key" in str(getattr(rng, "dtype", "")):
        return JaxSource(rng)
    raise TypeError(
        "rng must be None, an int, a numpy.random.Generator, a torch.Generator, a jax.random.key "
        f"or a cupy.random.Generator; got {type(rng).__name__}"
    )


def keyed_source(seed: int, use: str, *where: int) -> HostSource:
    """A source with a key of its own for every seed, use and place; the same on every machine."""
    entropy = (seed, zlib.crc32(use.encode()), *where)
    return HostSource(np.random.SeedSequence(entropy).generate_state(2, np.uint64).tolist())


def keyed_generator(seed: int, use: str, *where: int, step: int = 0) -> np.random.Generator:
    """A NumPy generator; the same numbers for the same arguments, on every machine."""
    return keyed_source(seed, use, *where).host(step, 0)


def as_generator(rng: Any, name: str = "rng") -> np.random.Generator:
    """NumPy's generator that a seed, a generator or None stands for."""
    if isinstance(rng, Integral) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"{name} must be a non-negative seed, got {rng}")
        return np.random.default_rng(int(rng))
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    raise TypeError(
        f"{name} must be None, an int or a numpy.random.Generator, got {type(rng).__name__}"
    )


def agreed(source: Source) -> Source:
    """The source of the first of the processes that share the work, on each of them.

    A device's generator is left alone: it must have been seeded alike.
    """
    here = sharding()
    if here is None or not isinstance(source, HostSource):
        return source
    halves = [half for word in source.key for half in divmod(word, 2**32)]
    first = here.numbers(halves)[0]
    return HostSource([high * 2**32 + low for high, low in zip(*[iter(first)] * 2, strict=True)])
