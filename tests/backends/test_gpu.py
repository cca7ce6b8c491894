"""Every GPU path against the reference, on a machine that has a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import energyflow as ef
from benchmarks.methods import jax_here, to_library, to_numpy

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("torch sees no GPU", allow_module_level=True)

TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
PATHS = (
    ("torch", "triton"), ("cupy", "triton"), ("torch", "torch"), ("cupy", "cupy"), ("jax", "jax"),
    ("torch", "array-api"),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One problem: sizes, what the data look like, and which estimator."""

    name: str
    n: int
    m: int
    d: int
    p: int
    weights: bool = False
    ties: bool = False
    estimator: str = "V"

    def arrays(self, dtype: str) -> tuple[np.ndarray, ...]:
        """x, y, directions, a, b; ties come from integer points with repeats and signed zeros."""
        rng = np.random.default_rng([self.n, self.m, self.d, self.p])
        x, y = rng.standard_normal((self.n, self.d)), rng.standard_normal((self.m, self.d)) + 0.5
        if self.ties:
            x, y = np.round(x), np.round(y)
        directions = ef.sample_projections(self.p, self.d, method="iid", rng=1)
        a, b = rng.random(self.n) + 0.1, rng.random(self.m) + 0.1
        arrays = x, y, directions, a / a.sum(), b / b.sum()
        return tuple(v.astype(dtype) for v in arrays)


CASES = (
    Case("one point a side", 1, 1, 2, 4),
    Case("short rows, d = 1", 257, 300, 1, 1),
    Case("short rows, d = 2", 1000, 777, 2, 12),
    Case("short rows, d = 2, weights", 1000, 777, 2, 12, weights=True),
    Case("short rows, d = 2, U", 1000, 777, 2, 12, estimator="U"),
    Case("short rows, d = 2, ties", 1000, 777, 2, 12, ties=True),
    Case("short rows, d = 2, ties, weights", 1000, 777, 2, 12, weights=True, ties=True),
    Case("short rows, d = 64", 513, 1024, 64, 12),
    Case("short rows, d = 64, weights, U", 513, 1024, 64, 12, weights=True, estimator="U"),
    Case("long rows, d = 2", 5001, 4099, 2, 3),
    Case("long rows, d = 2, ties", 5001, 4099, 2, 3, ties=True),
    Case("long rows, d = 2, ties, weights", 5001, 4099, 2, 3, weights=True, ties=True),
    Case("long rows, d = 64", 5001, 4099, 64, 3),
    Case("long rows, d = 64, weights, U", 5001, 4099, 64, 3, weights=True, estimator="U"),
    Case("short rows against long ones", 64, 9000, 3, 3),
)
STEADY = (
    Case("short rows", 1000, 1000, 2, 200),
    Case("short rows by products", 1000, 1000, 100, 200),
    Case("long rows", 20000, 20000, 2, 50),
    Case("long rows by products", 20000, 20000, 100, 50),
)
MOVED = (
    Case("short rows", 500, 400, 2, 16),
    Case("short rows by products", 500, 400, 64, 16),
    Case("long rows", 9000, 8000, 2, 8),
    Case("long rows by products", 9000, 8000, 64, 8),
)
paths = pytest.mark.parametrize(
    ("library", "backend"), PATHS, ids=[" arrays by ".join(path) for path in PATHS]
)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _cases(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def _ready(library: str, backend: str) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    if library == "jax" and jax_here().default_backend() != "gpu":
        pytest.skip(f"jax runs on {jax_here().default_backend()}")
    status = {s.name: s for s in ef.show_backends()}[backend]
    if not status.usable:
        pytest.skip(status.reason)


@cache
def _expected(case: Case, dtype: str) -> tuple[float, np.ndarray]:
    x, y, directions, a, b = (v.astype(np.float64) for v in case.arrays(dtype))
    weights = (a / a.sum(), b / b.sum()) if case.weights else ()
    how = {"projections": directions, "estimator": case.estimator}
    value = ef.reference.sliced_energy_distance(x, y, *weights, **how)
    return value, ef.reference.sliced_energy_gradient(x, y, *weights, **how)


def _computed(case: Case, dtype: str, library: str, backend: str) -> tuple[Any, Any]:
    x, y, directions, a, b = (to_library(library, v, "cuda") for v in case.arrays(dtype))
    weights = (a, b) if case.weights else ()
    with ef.use_backend(backend):
        return ef.sliced_energy_value_and_gradient(
            x, y, *weights, projections=directions, estimator=case.estimator
        )


def _apart(got: np.ndarray, expected: np.ndarray) -> float:
    """Distance in norm, relative to what is expected."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    size = np.linalg.norm(expected)
    return float(np.linalg.norm(got - expected) / (size if size > 0 else 1.0))


@paths
@dtypes
@_cases(CASES)
def test_equals_reference(record_property, case, dtype, library, backend) -> None:
    _ready(library, backend)
    value, gradient = (to_numpy(v) for v in _computed(case, dtype, library, backend))
    expected_value, expected_gradient = _expected(case, dtype)
    assert str(gradient.dtype) == dtype
    errors = _apart(value, expected_value), _apart(gradient, expected_gradient)
    record_property("error", max(errors))
    assert max(errors) <= TOLERANCE[dtype]


@paths
@dtypes
@pytest.mark.parametrize(
    ("n", "m", "d", "p"),
    [(513, 700, 50, 64), (5001, 4099, 100, 70), (300, 257, 784, 1100), (99, 65, 3000, 4100)],
)
def test_hadamard_slices_equal_those_on_the_host(
    record_property, n, m, d, p, dtype, library, backend
) -> None:
    _ready(library, backend)
    x, y, *_ = (v.astype(dtype) for v in Case("", n, m, d, 1).arrays("float64"))

    def computed(library: str, backend: str, dtype: str) -> tuple[Any, Any]:
        points = (to_library(library, v.astype(dtype), "cuda") for v in (x, y))
        with ef.use_backend(backend):
            return ef.sliced_energy_value_and_gradient(
                *points, None, None, p, slicing="hadamard", rng=1
            )

    expected = computed("numpy", "numpy", "float64")
    got = computed(library, backend, dtype)
    error = max(_apart(to_numpy(g), e) for g, e in zip(got, expected, strict=True))
    record_property("error", error)
    assert error <= TOLERANCE[dtype]


@paths
@dtypes
@_cases(STEADY)
def test_same_bits_twice(case, dtype, library, backend) -> None:
    _ready(library, backend)
    first, second = (_computed(case, dtype, library, backend) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert to_numpy(one).tobytes() == to_numpy(other).tobytes()


@paths
def test_equal_sets_have_no_gradient(library, backend) -> None:
    _ready(library, backend)
    x, _, directions, *_ = STEADY[0].arrays("float32")
    other = x[::-1].copy()
    x, other, directions = (to_library(library, v, "cuda") for v in (x, other, directions))
    with ef.use_backend(backend):
        value, gradient = ef.sliced_energy_value_and_gradient(x, other, projections=directions)
    assert float(value) == 0
    assert not to_numpy(gradient).any()


def _tensors(case: Case) -> tuple[Any, Any, Any]:
    return tuple(to_library("torch", v, "cuda") for v in case.arrays("float32")[:3])


def _agrees(record_property: Callable[[str, float], None], got: Any, expected: Any) -> None:
    error = _apart(to_numpy(got), to_numpy(expected))
    record_property("error", error)
    assert error <= TOLERANCE["float32"]


@_cases(MOVED)
def test_torch_compile(record_property, case) -> None:
    _ready("torch", "triton")
    x, y, directions = _tensors(case)

    def gradient(x: Any) -> Any:
        return ef.sliced_energy_gradient(x, y, projections=directions)

    _agrees(record_property, torch.compile(gradient)(x), gradient(x))


@_cases(MOVED)
def test_torch_compile_of_kernels_without_a_graph_break(record_property, case) -> None:
    _ready("torch", "triton")
    from energyflow_kernels.triton.sliced import sliced_energy

    x, y, directions = _tensors(case)

    def gradient(x: Any) -> Any:
        return sliced_energy(2 * x, y, directions)[1] + 1

    _agrees(record_property, torch.compile(gradient, fullgraph=True)(x), gradient(x))


@_cases(MOVED)
def test_cuda_graph_follows_new_points(record_property, case) -> None:
    _ready("torch", "triton")
    x, y, directions = _tensors(case)

    def gradient() -> Any:
        return ef.sliced_energy_gradient(x, y, projections=directions)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        gradient()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = gradient()
    x.copy_(x.flip(0) * 0.5 - 1)
    graph.replay()
    torch.cuda.synchronize()
    _agrees(record_property, captured, gradient())


@_cases(MOVED)
def test_autograd(record_property, case) -> None:
    _ready("torch", "triton")
    x, y, directions = _tensors(case)
    points = x.clone().requires_grad_()
    ef.sliced_energy_distance(points, y, projections=directions).backward()
    _agrees(record_property, points.grad, ef.sliced_energy_gradient(x, y, projections=directions))
