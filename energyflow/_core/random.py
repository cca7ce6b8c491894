"""Where random numbers come from: functions of (seed, step, block), or a device's generator."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    return _of_entropy(np.random.SeedSequence(seed))


def _of_entropy(entropy: np.random.SeedSequence) -> HostSource:
    return HostSource(entropy.generate_state(2, np.uint64).tolist())


def as_source(rng: Rng, name: str = "rng") -> Source:
    """The source of random numbers that `rng` stands for; global state is never touched."""
    if rng is None:
        return HostSource(np.frombuffer(os.urandom(16), np.uint64).tolist())
    if type(rng) is int and rng >= 0:
        return _of_seed(rng)
    if isinstance(rng, HostSource | TorchSource | JaxSource | CupySource):
        return rng
    library = type(rng).__module__.partition(".")[0]
    if library == "torch" and type(rng).__name__ == "Generator":
        return TorchSource(rng)
    if library == "cupy" and type(rng).__name__ == "Generator":
        return CupySource(rng)
    if library in ("jax", "jaxlib") and "key" in str(getattr(rng, "dtype", "")):
        return JaxSource(rng)
    if (entropy := _as_entropy(rng, name)) is not None:
        return _of_entropy(entropy)
    if (generator := _as_numpy(rng)) is not None:
        return HostSource(generator.integers(2**64, size=2, dtype=np.uint64).tolist())
    raise TypeError(
        f"{name} must be None, an int, another seed of numpy.random.default_rng, a "
        f"torch.Generator, a jax.random.key or a cupy.random.Generator; got {type(rng).__name__}"
    )


def as_generator(rng: Rng, name: str = "rng") -> np.random.Generator:
    """NumPy's generator that `rng` stands for."""
    if (generator := _as_numpy(rng)) is not None:
        return generator
    entropy = None if rng is None else _as_entropy(rng, name)
    if rng is None or entropy is not None:
        return np.random.default_rng(entropy)
    return as_source(rng, name).host(0, 0)


def as_seed(rng: Rng, name: str = "rng") -> int:
    """A whole number that `rng` stands for: a seed is kept, generators draw one below 2**31."""
    if isinstance(rng, Integral) and not isinstance(rng, bool) and int(rng) >= 0:
        return int(rng)
    return int(as_generator(rng, name).integers(2**31))


def _as_entropy(rng: Any, name: str) -> np.random.SeedSequence | None:
    """What a seed stands for: an int, several, or a SeedSequence; None where `rng` is none."""
    if isinstance(rng, np.random.SeedSequence):
        return rng
    if isinstance(rng, np.ndarray) and rng.ndim <= 1 and not isinstance(rng, np.ma.MaskedArray):
        rng = rng.tolist()
    several = isinstance(rng, Sequence) and not isinstance(rng, str | bytes)
    seeds = list(rng) if several else [rng]
    if not all(isinstance(seed, Integral) and not isinstance(seed, bool) for seed in seeds):
        return None
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"{name} must be a non-negative seed, got {rng}")
    return np.random.SeedSequence([int(seed) for seed in seeds] if several else int(seeds[0]))


def _as_numpy(rng: Any) -> np.random.Generator | None:
    """NumPy's generators, as the one that has replaced the others; None where `rng` is none."""
    if isinstance(rng, np.random.BitGenerator):
        return np.random.Generator(rng)
    if isinstance(rng, np.random.RandomState):
        return np.random.default_rng(rng.randint(2**32, size=4, dtype=np.uint64))
    return rng if isinstance(rng, np.random.Generator) else None


def keyed_source(seed: int, use: str, *where: int) -> HostSource:
    """A source with a key of its own for every seed, use and place; the same on every machine."""
    entropy = (seed, zlib.crc32(use.encode()), *where)
    return _of_entropy(np.random.SeedSequence(entropy))


def keyed_generator(seed: int, use: str, *where: int, step: int = 0) -> np.random.Generator:
    """A NumPy generator; the same numbers for the same arguments, on every machine."""
    return keyed_source(seed, use, *where).host(step, 0)


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch (CPU and CUDA), and restore their states after it."""
    torch: Any = sys.modules["torch"]
    in_use = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    generators = [torch.random.default_generator, *in_use]
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


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
