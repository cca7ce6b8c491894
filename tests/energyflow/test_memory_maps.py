"""Memory-mapped files are read where they lie: no copy is made of them."""

from __future__ import annotations

import tracemalloc
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest

import energyflow as ef
from energyflow._cli import app
from energyflow._core import files as _files

pytest.importorskip("numba", reason="numba is not installed")


@pytest.fixture
def maps(tmp_path: Path, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 files, (300, 5) and (200, 5)."""
    for name, n in (("x", 300), ("y", 200)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(n, 5)).astype(np.float32))
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    return x, y


@pytest.fixture
def reached(monkeypatch) -> list[np.ndarray]:
    """The points that the kernel was called with."""
    from energyflow_kernels.numba import sliced as numba_sliced

    seen: list[np.ndarray] = []
    true = numba_sliced.sliced_energy

    def spy(x, y, *rest, **how):
        seen.extend((x, y))
        return true(x, y, *rest, **how)

    monkeypatch.setattr(numba_sliced, "sliced_energy", spy)
    return seen


def owner(array: np.ndarray) -> object:
    """Whose memory an array views."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def test_distances_read_the_files(maps, reached) -> None:
    x, y = maps
    ef.sliced_energy_distance(x, y, rng=0)
    value, gradient = ef.sliced_energy_value_and_gradient(x, y, rng=0)
    assert len(reached) == 4
    assert all(np.shares_memory(*pair) for pair in zip(reached, maps * 2, strict=True))
    assert gradient.dtype == value.dtype == np.float32
    plain = ef.sliced_energy_gradient(np.array(x), np.array(y), rng=0)
    np.testing.assert_array_equal(gradient, plain)


def test_flows_read_their_target(maps, reached) -> None:
    x, y = maps
    flow = ef.ParticleFlow(y, n_projections=8, rng=0)
    flow.run(np.array(x), 3, progress=False)
    assert all(np.shares_memory(target, y) for target in reached[1::2])


def test_the_command_line_reads_files(maps, reached, monkeypatch, capsys) -> None:
    x, y = maps
    monkeypatch.setattr(_files, "_MAPPED_FROM", 1)
    app(["distance", str(x.filename), str(y.filename), "--json"], standalone_mode=False)
    assert all(isinstance(owner(points), mmap) for points in reached)
    assert '"n_x": 300' in capsys.readouterr().out


def test_a_test_does_not_copy_its_samples(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = []
    for name in ("x.npy", "y.npy"):
        np.save(tmp_path / name, rng.normal(size=(2**18, 16)).astype(np.float32))
        samples.append(np.load(tmp_path / name, mmap_mode="r"))
    how = {"n_resamples": 1, "n_projections": 1, "rng": 0}
    ef.energy_test(*(sample[:6000] for sample in samples), **how)
    tracemalloc.start()
    ef.energy_test(*samples, **how)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * sum(sample.nbytes for sample in samples)
