"""What all tests share: the array libraries, and Hypothesis's profile."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each: workers must not fight for the cores
    for _library in ("OPENBLAS", "MKL", "OMP", "ENERGYFLOW"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "energyflow", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("energyflow")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@dataclass(frozen=True)
class Library:
    """One array library (and device) as the tests use it."""

    name: str
    backend: str | None = None  # the one in use, where a test is about it

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        array = np.array(array, dtype=dtype)
        if self.name == "numpy-readonly":
            array.flags.writeable = False
        if self.name.startswith("numpy"):
            return array
        if self.name == "array-api-strict":
            import array_api_strict

            return array_api_strict.asarray(array)
        if self.name.startswith("torch"):
            import torch

            return torch.asarray(array, device="cuda" if self.name.endswith("cuda") else "cpu")
        if self.name == "jax":
            import jax.numpy as jnp

            return jnp.asarray(array)
        import cupy

        return cupy.asarray(array)

    def to_numpy(self, array: Any) -> np.ndarray:
        if self.name.startswith("torch"):
            return array.detach().cpu().numpy()
        if self.name == "cupy":
            return array.get()
        return np.asarray(array)


LIBRARIES = (
    "numpy", "numpy-readonly", "array-api-strict", "torch", "jax", "torch-cuda", "cupy",
)  # fmt: skip


def unavailable(name: str) -> str | None:
    """Why a library cannot be tested here, or None."""
    module = {"array-api-strict": "array_api_strict", "torch-cuda": "torch"}.get(
        name, name.partition("-")[0]
    )
    if importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    if name == "torch-cuda":
        import torch

        return None if torch.cuda.is_available() else "torch sees no CUDA device"
    return None


@pytest.fixture(scope="session", autouse=True)
def _double_precision_in_jax() -> None:
    if importlib.util.find_spec("jax") is not None:
        import jax

        jax.config.update("jax_enable_x64", True)


@pytest.fixture(params=LIBRARIES)
def xp(request: pytest.FixtureRequest) -> Library:
    """Each array library in turn."""
    reason = unavailable(request.param)
    if reason:
        pytest.skip(reason)
    return Library(request.param)


IMPLEMENTATIONS = {
    "numba": "numpy", "numpy": "numpy", "torch": "torch", "jax": "jax",
    "array-api": "array-api-strict",
}  # fmt: skip


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Each backend for CPUs in turn, in use, and a library whose arrays it takes."""
    import energyflow as ef

    library = IMPLEMENTATIONS[request.param]
    reason = unavailable(library) or (request.param == "numba" and unavailable("numba"))
    if reason:
        pytest.skip(reason)
    with ef.use_backend(request.param):
        yield Library(library, request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240501)
