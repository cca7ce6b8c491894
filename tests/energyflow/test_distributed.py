"""Sums and flows that processes share: those of one process, whatever their number."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _distributed_rank import CASES, run_all
from forked import forked

import energyflow as ef

pytest.importorskip("torch", reason="torch is an extra")


def tolerance(name: str) -> float:
    """Of norms: additions in another order; in float32 other products, too, but of Numba's."""
    if "float32" not in name:
        return 1e-12
    return 1e-6 if name == "float32" and importlib.util.find_spec("numba") else 1e-3


def run(size: int, folder: Path) -> list[dict[str, np.ndarray]]:
    """What each of so many processes found."""
    forked(run_all, [(rank, size, folder) for rank in range(size)], folder)
    return [dict(np.load(folder / f"results{rank}.npz")) for rank in range(size)]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[int, list[dict[str, np.ndarray]]]:
    return {size: run(size, tmp_path_factory.mktemp(f"{size}")) for size in (2, 4)}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_one_process(found, name: str) -> None:
    if name in ("jax", "array-api-strict"):
        pytest.importorskip(name.replace("-", "_"), reason=f"{name} is not installed")
    for k, one in enumerate(map(np.asarray, CASES[name]())):
        for size, ranks in found.items():
            for what in ("slices", "particles"):
                shared = ranks[0][f"{what}/{name}/{k}"]
                assert (shared.shape, shared.dtype) == (one.shape, one.dtype)
                error = np.linalg.norm(shared - one) / np.linalg.norm(one)
                assert error <= tolerance(name), (size, what, k)


def test_values_are_the_same_bits_in_all_processes(found) -> None:
    for ranks in found.values():
        for other in ranks[1:]:
            assert all(np.array_equal(ranks[0][name], value) for name, value in other.items())
            assert any(name.startswith("particles") for name in other)


def test_one_process_is_not_shared_and_needs_no_torch() -> None:
    program = (
        "import sys, numpy as np, energyflow as ef\n"
        "x = np.ones((3, 2))\n"
        "with ef.distributed.sharded('particles'):\n"
        "    assert ef.distributed.shard(x) is x is ef.distributed.gather(x)\n"
        "    assert ef.sliced_energy_distance(x, x) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_must_be_known() -> None:
    with pytest.raises(ValueError, match="what must be one of slices, particles"), \
            ef.distributed.sharded("points"):  # fmt: skip
        pass
    with pytest.raises(ValueError, match="timeout must be positive"):
        ef.distributed.sharded(timeout=0)
