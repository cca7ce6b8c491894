"""Type checkers accept what the library takes, and find what it refuses."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
RIGHT = """
import numpy as np
import energyflow as ef

x = np.zeros((5, 2))
ef.energy_distance(x, x, estimator="U")
ef.energy_distance([1.0, 2.0], [1, 2])
ef.energy_distance([[1.0, 2.0]], x, [1.0])
ef.sliced_energy_distance(x, x, slicing="hadamard", rng=0)
ef.sliced_energy_distance(x, x, slicing=ef.HadamardSlicing())
ef.mmd_squared(x, x, kernel="gauss", estimator="linear")
ef.kernel_sum(x, x, kernel=ef.kernels.Gauss(2.0), method="direct")
ef.energy_test(x, x, method="exact", scale="rank")
ef.ParticleFlow([[0, 0], [1, 1]]).run(x, 1)
ef.independence_test(x, x, method="sliced", slicing="iid")
"""
WRONG = [
    'ef.energy_distance("hello", 3)',
    "ef.energy_distance(x, None)",
    'ef.energy_distance(x, x, estimator="W")',
    'ef.energy_distance(["a", "b"], x)',
    'ef.sliced_energy_distance(x, x, slicing="nonsense")',
    'ef.sliced_energy_distance(x, x, n_projections="many")',
    'ef.mmd_squared(x, x, kernel="gaus")',
    'ef.kernel_sum(x, x, method="fast")',
    'ef.energy_test(x, x, scale="std")',
    'ef.MMDFlow(x, method="fast")',
    'ef.conditional_coupling(x, x, x, x, method="emd")',
]


@pytest.mark.timeout(600)
def test_mypy_finds_what_is_refused_and_nothing_else(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api", reason="mypy is in the group lint")
    lines = [*RIGHT.splitlines(), *WRONG]
    script = tmp_path / "script.py"
    script.write_text("\n".join(lines) + "\n")
    own = os.pathsep.join(map(str, (TOP, TOP / "backends", TOP / "kernels")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", own)
        patch.chdir(TOP)
        out, err, _ = api.run(["--config-file", "pyproject.toml", str(script)])
    found = re.findall(r"script\.py:(\d+): error: .*\[arg-type\]", out)
    first = len(lines) - len(WRONG) + 1
    assert sorted(set(map(int, found))) == list(range(first, len(lines) + 1)), out + err
    assert len(found) == out.count("error:"), out
