"""Each method at each CPU shape under pytest-benchmark: first the gradient, then its time."""

from __future__ import annotations

from functools import cache

import pytest

from . import shapes
from .machine import use_threads
from .methods import METHODS, Oracle, to_numpy


@pytest.fixture(scope="module", autouse=True)
def _same_threads() -> None:
    use_threads(None)


@cache
def _oracle(shape: shapes.Shape) -> Oracle:
    return Oracle(shapes.problem(shape), "cpu")


@pytest.mark.filterwarnings("default")  # of other packages
@pytest.mark.parametrize("name", METHODS["cpu"])
@pytest.mark.parametrize("shape", shapes.CPU, ids=str)
def test_gradient(benchmark, shape: shapes.Shape, name: str) -> None:
    method, oracle = METHODS["cpu"][name], _oracle(shape)
    reason = method.unusable(oracle.problem, "cpu")
    if reason:
        pytest.skip(reason)
    call = method.build(oracle.problem, "cpu")
    error = oracle.error(method, to_numpy(call()))
    assert error <= method.tolerance
    benchmark.group = str(shape)
    benchmark.extra_info["relative_error"] = error
    benchmark.pedantic(call, rounds=5, warmup_rounds=1)
