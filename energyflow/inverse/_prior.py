"""Draws of a prior: a distribution of SciPy or torch, several of them, or a function."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from energyflow_backends import library_of


def draw(prior: Any, n: int, rng: np.random.Generator) -> Any:
    """Parameters (n, d) of a prior, in its library.

    Raises
    ------
    TypeError, ValueError
        If it is no prior, or gives something else.
    """
    if isinstance(prior, Sequence) and not isinstance(prior, str) and len(prior):
        columns = [draw(part, n, rng) for part in prior]
        if len({is_tensor(column) for column in columns}) > 1:
            raise TypeError(
                "prior must be distributions of one library, got some of torch beside others"
            )
        return sys.modules["torch"].cat(columns, 1) if is_tensor(columns[0]) else np.hstack(columns)
    if hasattr(prior, "rvs"):
        if hasattr(prior, "support"):
            d = np.broadcast(*prior.support()).shape or (1,)
            drawn = prior.rvs(size=(n, *d), random_state=rng)
        else:  # of several variables
            drawn = np.reshape(prior.rvs(size=n, random_state=rng), (n, -1))
    elif hasattr(prior, "sample") and hasattr(prior, "batch_shape"):
        with restored():
            seed_all(int(rng.integers(2**62)))
            drawn = prior.sample((n,))
        drawn = drawn.reshape(n, -1)
    elif callable(prior):
        drawn = prior(n, rng)
    else:
        raise TypeError(
            "prior must be a distribution of scipy.stats or torch, a sequence of those, or a "
            f"function of (n, rng), got {type(prior).__name__}"
        )
    if getattr(drawn, "shape", ())[:1] != (n,) or drawn.ndim != 2 or not drawn.shape[1]:
        raise ValueError(
            f"prior must give parameters ({n}, d), got {getattr(drawn, 'shape', type(drawn))}"
        )
    return drawn


def is_tensor(array: Any) -> bool:
    """Whether an array is torch's."""
    return library_of(array) == "torch"


@contextmanager
def restored() -> Iterator[None]:
    """The global generators of Python, NumPy and torch (if it is in use) are as before after it."""
    torch = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    state = None if torch is None else torch.random.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        if torch is not None and state is not None:
            torch.random.set_rng_state(state)


def seed_all(seed: int) -> None:
    """Seed the global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    if (torch := sys.modules.get("torch")) is not None:
        torch.random.default_generator.manual_seed(seed)
