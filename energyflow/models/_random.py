"""Random numbers as functions of a seed and of where they are used, so that runs can go on."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from .._core.random import HostSource


def source(seed: int, use: str, *where: int) -> HostSource:
    """Directions of a flow, with a key of their own for every seed, use and place."""
    entropy = (seed, zlib.crc32(use.encode()), *where)
    return HostSource(np.random.SeedSequence(entropy).generate_state(2, np.uint64).tolist())


def generator(seed: int, use: str, *where: int, step: int = 0) -> np.random.Generator:
    """A NumPy generator; the same numbers for the same arguments, on every machine."""
    return source(seed, use, *where).host(step, 0)


@contextmanager
def seeded_layers(seed: int, use: str) -> Iterator[None]:
    """Layers that are made inside are initialised by the seed; global state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, use).integers(2**62)))
        yield
