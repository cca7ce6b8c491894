"""Which backend is taken, why, and how a choice is made by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from energyflow_backends import describe
from energyflow_backends._registry import select
from energyflow_kernels import cache

import energyflow as ef

X = np.random.default_rng(0).normal(size=(8, 3))


def test_table() -> None:
    table = ef.show_backends()
    by_name = {status.name: status for status in table}
    assert by_name["numpy"].usable
    assert by_name["array-api"].usable
    assert {"torch", "jax", "cupy"} <= set(by_name)
    for status in table:
        assert status.usable != bool(status.reason)
        assert status.name in repr(table)


def test_table_imports_nothing() -> None:
    code = (
        "import sys, energyflow as ef; repr(ef.show_backends());"
        "print({'torch', 'jax', 'numba', 'cupy', 'triton'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_compiled_kernels_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    if not {s.name: s for s in ef.show_backends()}["numba"].usable:
        pytest.skip("numba is an extra")

    def kernels() -> str:
        return {status.name: status.kernels for status in ef.show_backends()}["numba"]

    assert kernels() == "at first calls"
    cache.mark_filled(tmp_path / "kernels")
    assert kernels() == "compiled"
    monkeypatch.setattr(cache, "version", lambda package: "0.0")
    assert kernels() == "at first calls"


@pytest.mark.slow  # a minute of compiling
def test_compiled_kernels_are_all_that_calls_need(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="numba is an extra")
    calls = """
import numpy as np, energyflow as ef
for dtype in ("float32", "float64"):
    x = np.random.default_rng(0).normal(size=(9000, 2)).astype(dtype)
    y = x[:300] + np.ones(2, dtype)
    w = np.full(300, 1 / 300, dtype)
    for r in (1.0, 1.5):
        for b in (None, w):
            for estimator in ("V", "U"):
                how = {"exponent": r, "estimator": estimator}
                ef.sliced_energy_value_and_gradient(y + 9, y, w, b, 3, rng=0, **how)
                ef.energy_distance(y, y + 1, w, b, **how)
    ef.sliced_energy_distance(x, y, n_projections=3, slicing="hadamard", rng=0)
    for p in (1, 1.5, 2):
        ef.sliced_wasserstein_distance(x, y, p=p, n_projections=3, rng=0)
    for kernel in ("energy", "riesz", "gauss", "laplace", "matern"):
        ef.kernel_sum(x[:100], y, kernel=kernel, method="direct")
        ef.mmd_squared(x[:100], y, kernel=kernel)
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def kept(code: str) -> dict[Path, int]:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        return {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nbc")}

    compiled = kept("import energyflow as ef; ef.compile_kernels()")
    assert compiled
    assert kept(calls) == compiled


def test_the_documentation_lists_the_backends() -> None:
    page = Path(__file__).parents[2] / "docs/api/backends.md"
    names = re.findall(r"^\| `(.+?)` \|", page.read_text(), re.MULTILINE)
    assert sorted(names) == sorted(status.name for status in ef.show_backends())


def test_arrays_in_ordinary_memory_are_viewed() -> None:
    import jax.numpy as jnp
    import torch

    with ef.use_backend("numpy"):
        for array in (torch.asarray(X), jnp.asarray(X)):
            backend = select(array)
            assert backend.name == "numpy"
            view = backend.adopt(array)
            assert not view.flags.owndata
        assert np.shares_memory(backend.adopt(X), X)


def test_a_choice_that_cannot_serve_raises_and_lists_those_that_can() -> None:
    with (
        ef.use_backend("torch"),
        pytest.raises(
            ef.BackendUnavailable, match=r"'torch' cannot take numpy float64 on cpu.*num"
        ),
    ):
        ef.energy_distance(X, X)
    with (
        pytest.raises(ValueError, match=r"backend must be one of .* got 'fast'"),
        ef.use_backend("fast"),
    ):
        pass


def test_a_missing_library_raises_at_once() -> None:
    missing = [status for status in ef.show_backends() if not status.usable]
    if not missing:
        pytest.skip("every library is installed")
    for status in missing:
        with pytest.raises(ef.BackendUnavailable) as caught, ef.use_backend(status.name):
            pass
        assert caught.value.name == status.name
        assert caught.value.reason == status.reason


def test_choices_nest_and_end_and_stay_in_their_thread() -> None:
    with ef.use_backend("array-api"):
        with ef.use_backend("numpy"):
            assert select(X).name == "numpy"
        assert select(X).name == "array-api"
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(select(X).name))
        thread.start()
        thread.join()
        assert seen != ["array-api"]
    assert select(X).name != "array-api"


def test_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGYFLOW_BACKEND", "array-api")
    assert select(X).name == "array-api"
    with ef.use_backend("numpy"):
        assert select(X).name == "numpy"


def test_errors_survive_pickling() -> None:
    import pickle

    error = ef.BackendUnavailable("jax", "jax is not installed")
    again = pickle.loads(pickle.dumps(error))
    assert (again.name, again.reason, str(again)) == (error.name, error.reason, str(error))
    lost = pickle.loads(pickle.dumps(ef.FlowDiverged(3, X)))
    assert lost.step == 3


def test_description() -> None:
    import jax
    import jax.numpy as jnp

    assert str(describe(X)) == "numpy float64 on cpu"
    seen = []
    jax.jit(lambda u: seen.append(describe(u)) or u)(jnp.asarray(X))
    assert seen[0].traced
    assert not seen[0].on_cpu
