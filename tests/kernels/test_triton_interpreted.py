"""Triton kernels against their naive twins, interpreted on the CPU.

The interpreter must be chosen before Triton is imported, so they run in a process of their own.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
triton = pytest.importorskip("triton", reason="triton is not installed")

HERE = Path(__file__).parent


def version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


@pytest.mark.skipif(
    version(triton.__version__) < (3, 7) and version(np.__version__) >= (2, 4),
    reason="the interpreter of Triton before 3.7 does not work with NumPy 2.4",
)
def test_kernels_in_the_interpreter() -> None:
    plain = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    files = [
        str(HERE / f"_triton_interpreted_{group}.py") for group in ("rows", "sliced", "hadamard")
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *files],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(HERE)},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
