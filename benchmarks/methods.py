"""All methods under one roof: how each is built for a problem, and what its gradient must equal."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import energyflow as ef

from . import competitors
from .machine import memory_for_pairs, n_threads
from .shapes import Problem

Call = Callable[[], Any]
DOUBLE_REFERENCE = 10**8  # pairs times slices up to which the loops of ef.reference are bearable


@dataclass(frozen=True)
class Method:
    """One way to a gradient: `build` makes a call without arguments for a problem and a device."""

    name: str
    build: Callable[[Problem, str], Call]
    gives: str  # "sliced", "exact", "half" (of exact), "other" (distance) or "floor"
    needs: tuple[str, ...]  # modules
    backend: str | None = None  # of ours, where one is named
    tolerance: float = 1e-3  # of the gradient, in norm

    def unusable(self, problem: Problem, device: str) -> str | None:
        """Why the method cannot run here at this shape, or None."""
        for module in self.needs:
            if find_spec(module) is None:
                return f"{module} is not installed"
        if self.backend is not None:
            status = {s.name: s for s in ef.show_backends()}[self.backend]
            if not status.usable:
                return status.reason
        if self.gives in ("exact", "half"):
            shape = problem.shape
            needed = competitors.pairwise_bytes(
                self.name, shape.n, shape.n, shape.d, cuda=device == "cuda"
            )
            if needed > memory_for_pairs(device):
                return f"all pairs would take about {needed / 2**30:.0f} GiB"
        if "jax" in self.needs:
            platform = jax_here().default_backend()
            if platform != ("gpu" if device == "cuda" else device):
                return f"jax runs on {platform}"
        return None


def jax_here() -> Any:
    """JAX with float64, and with products in full float32 like those of the other libraries."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax


def to_library(library: str, array: np.ndarray, device: str) -> Any:
    """A NumPy array as an array of that library, on "cpu" or "cuda"."""
    if library == "numpy":
        return array
    if library == "torch":
        import torch

        return torch.from_numpy(array).to(device)
    if library == "jax":
        return jax_here().device_put(array)
    import cupy

    return cupy.asarray(array)


def to_numpy(array: Any) -> np.ndarray:
    """A copy or view in ordinary memory."""
    if hasattr(array, "detach"):
        return array.detach().cpu().numpy()
    return array.get() if type(array).__module__.startswith("cupy") else np.asarray(array)


def _build_ours(library: str, backend: str | None, problem: Problem, device: str) -> Call:
    x, y, directions = (to_library(library, v, device) for v in problem.arrays)

    def call() -> Any:
        with ef.use_backend(backend) if backend else nullcontext():
            return ef.sliced_energy_gradient(x, y, projections=directions)

    if library != "jax":
        return call

    def traced(x: Any, y: Any, directions: Any) -> Any:
        with ef.use_backend("jax"):
            return ef.sliced_energy_gradient(x, y, projections=directions)

    compiled = jax_here().jit(traced).lower(x, y, directions).compile()
    return lambda: compiled(x, y, directions).block_until_ready()


def _build_torch(function: Callable[..., Any], problem: Problem, device: str) -> Call:
    return partial(function, *(to_library("torch", v, device) for v in problem.arrays))


def _build_host_floor(problem: Problem, device: str) -> Call:
    return competitors.host_floor(*problem.arrays, n_threads())


def _ours(library: str, backend: str | None, *, label: str | None = None) -> Method:
    name = "energyflow" if backend is None else f"energyflow[{label or backend}]"
    build = partial(_build_ours, library, backend)
    return Method(name, build, "sliced", (library,), backend)


def _other(name: str, function: Callable[..., Any], gives: str, *needs: str, **how: Any) -> Method:
    return Method(name, partial(_build_torch, function), gives, ("torch", *needs), **how)


_RIVALS = (
    _other("papers", competitors.papers, "sliced"),
    _other("pot", competitors.pot, "other", "ot"),
    _other("cdist", competitors.cdist, "exact"),
    # distances by a matrix product in float32, bounded below by 1e-4
    _other("geomloss", competitors.geomloss, "half", "geomloss", tolerance=5e-2),
)
_ON_CPU = (
    _ours("numpy", None),
    _ours("numpy", "numba"),
    _ours("numpy", "numpy"),
    _ours("torch", "torch"),
    _ours("jax", "jax"),
    _ours("numpy", "array-api"),
    *_RIVALS,
    Method("floor", _build_host_floor, "floor", ()),
)
_ON_CUDA = (
    _ours("torch", None),
    _ours("torch", "triton"),
    _ours("cupy", "triton", label="triton, cupy arrays"),
    _ours("torch", "torch"),
    _ours("cupy", "cupy"),
    _ours("jax", "jax"),
    _ours("torch", "array-api"),
    *_RIVALS,
    _other("floor", competitors.device_floor, "floor"),
)
METHODS = {
    device: {method.name: method for method in methods}
    for device, methods in (("cpu", _ON_CPU), ("cuda", _ON_CUDA))
}


class Oracle:
    """What gradients of one problem must be, in float64, computed when first asked for."""

    def __init__(self, problem: Problem, device: str) -> None:
        self.problem, self.device = problem, device
        self._known: dict[bool, np.ndarray] = {}

    def error(self, method: Method, gradient: np.ndarray) -> float:
        """Relative error in norm; 0 or infinity where only finiteness can be told."""
        if gradient.shape != self.problem.x.shape or not np.all(np.isfinite(gradient)):
            return float("inf")
        if method.gives in ("other", "floor"):
            return 0.0
        sliced = method.gives == "sliced"
        if sliced not in self._known:
            self._known[sliced] = self._gradient(sliced)
        expected = (0.5 if method.gives == "half" else 1.0) * self._known[sliced]
        return float(np.linalg.norm(gradient - expected) / np.linalg.norm(expected))

    def _gradient(self, sliced: bool) -> np.ndarray:
        """By the reference where that is bearable, by another backend in float64 elsewhere."""
        shape = self.problem.shape
        x, y, directions = (v.astype(np.float64) for v in self.problem.arrays)
        if sliced and shape.n**2 * shape.p <= DOUBLE_REFERENCE:
            return ef.reference.sliced_energy_gradient(x, y, projections=directions)
        backend = "torch" if self.device == "cuda" else "numpy"
        x, y, directions = (to_library(backend, v, self.device) for v in (x, y, directions))
        with ef.use_backend(backend):
            if sliced:
                return to_numpy(ef.sliced_energy_gradient(x, y, projections=directions))
            return to_numpy(ef.energy_gradient(x, y))
