"""What the recorded functions are called with: points, kernels, libraries and backends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import energyflow as ef

SIZES = ((1, 1, 2), (2, 3, 1), (63, 64, 3), (130, 257, 10))  # N, M, d
BACKENDS = {  # each with a library whose arrays it takes
    "auto numpy": "numpy", "numba": "numpy", "numpy": "numpy", "auto torch": "torch",
    "torch": "torch", "array-api": "strict", "dask": "dask", "auto jax": "jax", "jax": "jax",
}  # fmt: skip
KERNELS = {
    "energy": ef.kernels.Energy(), "riesz": ef.kernels.Riesz(0.5), "gauss": ef.kernels.Gauss(0.8),
    "laplace": ef.kernels.Laplace(1 / 0.7), "matern": ef.kernels.Matern(2.5, 1.5),
    "linear": ef.kernels.Linear(),
}  # fmt: skip


def converter(library: str) -> Callable[[Any], Any]:
    """What makes arrays of a library from NumPy arrays; None stays None."""
    if library == "torch":
        from torch import asarray
    elif library == "jax":
        from jax.numpy import asarray
    elif library == "strict":
        from array_api_strict import asarray
    elif library == "dask":
        from dask.array import from_array

        def asarray(v: Any) -> Any:
            return from_array(v, chunks=(50, *v.shape[1:]))

    else:
        asarray = np.asarray
    return lambda v: None if v is None else asarray(v)


def points(n: int, m: int, d: int, dtype: str = "float64") -> tuple[np.ndarray, ...]:
    """Points (n, d) and (m, d), and weights of both, with some ties."""
    rng = np.random.default_rng([n, m, d])
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5
    y[: min(n, m) // 4] = x[: min(n, m) // 4]
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    return tuple(v.astype(dtype) for v in (x, y, a, b))


@contextlib.contextmanager
def implementation(name: str) -> Iterator[None]:
    """The backend, or the one that is picked."""
    with contextlib.nullcontext() if name.startswith("auto") else ef.use_backend(name):
        yield
