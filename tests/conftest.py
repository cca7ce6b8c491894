"""What all tests share: the array libraries, and Hypothesis's profile."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each: workers must not fight for the cores
    for _library in ("OPENBLAS", "MKL", "OMP", "ENERGYFLOW"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import numpy as np
import pytest
from energyflow_backends import _registry as registry
from energyflow_backends import describe, to_host
from energyflow_backends._base import Backend
from hypothesis import HealthCheck, settings

import energyflow as ef

settings.register_profile(
    "energyflow", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("energyflow")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


_GROWTH = 256 * 2**20  # bytes of resident memory after which compiled functions are dropped
_level = 0


@pytest.fixture(autouse=True)
def _compiled_functions_are_dropped() -> Iterator[None]:
    """JAX and torch keep what they compile for every shape: gigabytes over the whole suite."""
    global _level
    yield
    if _resident() > _level + _GROWTH:
        if "jax" in sys.modules:
            sys.modules["jax"].clear_caches()
        if "torch._dynamo" in sys.modules:
            sys.modules["torch._dynamo"].reset()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        _level = _resident()


def _resident() -> int:
    """Bytes of this process that are in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@dataclass(frozen=True)
class Library:
    """One array library (and device) as the tests use it, made by a backend that takes its arrays.

    An array that the backend in use refuses, such as one in float32, skips the test.
    """

    name: str
    make: Callable[[np.ndarray], Any]
    backend: str | None = None  # the one in use, where a test is about it

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        made = self.make(np.array(array, dtype=dtype))
        reason = self.refuses(made)
        if reason:
            pytest.skip(f"{self.backend}: {reason}")
        return made

    def to_numpy(self, array: Any) -> np.ndarray:
        return to_host(array)

    def refuses(self, array: Any) -> str | None:
        """Why the backend in use does not take an array of its library, or None."""
        if self.backend is None:
            return None
        return registry.backends()[self.backend].refuses(describe(array))


def _readonly(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _strict(array: np.ndarray) -> Any:
    import array_api_strict

    return array_api_strict.asarray(array)


def _own_library(backend: Backend) -> str:
    """The library whose arrays a backend is for; the strictest one for that of any library."""
    return backend.libraries[0] if backend.libraries else "array-api-strict"


def _maker(backend: Backend) -> Callable[[np.ndarray], Any]:
    return backend.from_numpy if backend.libraries else _strict


def library_for(backend: Backend) -> Library:
    """The library whose arrays a backend is tested with."""
    return Library(_own_library(backend), _maker(backend), backend.name)


def _libraries() -> dict[str, tuple[str, Callable[[np.ndarray], Any]]]:
    """For each library of `xp`: the module that it needs, and how arrays are made."""
    libraries = {
        "numpy": ("numpy", np.asarray),
        "numpy-readonly": ("numpy", _readonly),
        "array-api-strict": ("array_api_strict", _strict),
    }
    for name, backend in registry.backends().items():
        if backend.lacks_pairs() is None:
            own = "torch-cuda" if name == "triton" else _own_library(backend)
            libraries.setdefault(own, ((*backend.requires, own)[0], _maker(backend)))
    return libraries


LIBRARIES = _libraries()


def unavailable(name: str) -> str | None:
    """Why a library cannot be tested here, or None."""
    module = LIBRARIES[name][0]
    if importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    if name == "torch-cuda":
        import torch

        return None if torch.cuda.is_available() else "torch sees no CUDA device"
    return None


@pytest.fixture(scope="session", autouse=True)
def _jax_is_set_up() -> None:
    """Double precision, and a cache on disk: it compiles each function anew for every shape."""
    if importlib.util.find_spec("jax") is not None:
        import jax

        folder = Path(__file__).parents[1] / ".cache" / "jax"
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(params=LIBRARIES)
def xp(request: pytest.FixtureRequest) -> Library:
    """Each array library in turn."""
    reason = unavailable(request.param)
    if reason:
        pytest.skip(reason)
    return Library(request.param, LIBRARIES[request.param][1])


COMPLETE = [
    name for name, backend in registry.backends().items() if backend.lacks_pairs() is None
]  # fmt: skip


@pytest.fixture(params=COMPLETE)
def implementation(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Each backend that has all sums in turn, in use, and a library whose arrays it takes."""
    backend = registry.backends()[request.param]
    reason = backend.unusable()
    if reason:
        pytest.skip(reason)
    with ef.use_backend(backend.name):
        yield library_for(backend)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240501)
