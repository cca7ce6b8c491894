"""No value, mode of the processor or change of the input leads a kernel outside its arrays."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOP = HERE.parents[1]
MUTATIONS = {  # what would break the bounds, in a copy of the kernels
    "ties are those that were counted, not those that were found": (
        "row_kernels.py",
        "ties = _tied(z, counts[:ties])",
        "_tied(z, counts[:ties])",
    ),
    "as many ties are written as there are": (
        "row_kernels.py",
        "z[k] == z[k + 1] and count < places.size",
        "z[k] == z[k + 1]",
    ),
    "the last point of a row has a next one": (
        "row_kernels.py",
        "for k in range(z.size - 1):\n        gap",
        "for k in range(z.size):\n        gap",
    ),
    "leaves have room for a part of their pairs": (
        "riesz_tree.py",
        "work = np.empty((3, leaf * leaf))",
        "work = np.empty((3, leaf * leaf // 8))",
    ),
    "a group of equal points continues behind the last one": (
        "row_kernels.py",
        "if k == n or z[k] != here:",
        "if z[k] != here:",
    ),
    "the last block of points is shorter than the others": (
        "pairs/blocks.py",
        "n_j = min(SIDE, j_stop - j)",
        "n_j = SIDE",
    ),
}


def run(
    *words: str, kernels: Path = TOP / "kernels", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own, with the kernels of a folder."""
    path = os.pathsep.join([str(kernels), str(TOP / "backends"), str(TOP)])
    return subprocess.run(
        [sys.executable, str(HERE / "_memory_safety.py"), *words],
        env={**os.environ, "PYTHONPATH": path, "ENERGYFLOW_NUM_THREADS": "2", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_flushed_subnormal_numbers() -> None:
    pytest.importorskip("torch", reason="torch flushes subnormal numbers")
    ran = run("quick", "flush")
    assert ran.stdout == "in bounds\n", ran.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("checked", ["0", "1"])
@pytest.mark.parametrize("words", [(), ("flush",), ("race",), ("flush", "race")], ids="+".join)
def test_hostile_numbers(tmp_path: Path, words: tuple[str, ...], checked: str) -> None:
    ran = run(*words, NUMBA_BOUNDSCHECK=checked, NUMBA_CACHE_DIR=str(tmp_path))
    assert ran.stdout == "in bounds\n", ran.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_broken_bounds_are_found(tmp_path: Path, mutation: str) -> None:
    shutil.copytree(TOP / "kernels", tmp_path / "kernels")
    name, right, wrong = MUTATIONS[mutation]
    file = tmp_path / "kernels" / "energyflow_kernels" / "numba" / name
    source = file.read_text()
    assert source.count(right) == 1
    file.write_text(source.replace(right, wrong))
    ran = run(
        "quick", "flush", kernels=tmp_path / "kernels", NUMBA_BOUNDSCHECK="1",
        NUMBA_CACHE_DIR=str(tmp_path / "cache"),
    )  # fmt: skip
    assert ran.returncode != 0
