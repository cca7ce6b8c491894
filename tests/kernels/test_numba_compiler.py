"""Compiled functions without a usable cache: no folder, a full disk, damaged files."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from energyflow_kernels.numba import compiler

SCRIPT = """
import numpy as np
from energyflow_kernels.numba.rows import energy_rows
value, *_ = energy_rows(np.array([[0.0, 1.0]]), np.array([[2.0]]))
print(float(value[0]))
"""


def test_without_a_folder(monkeypatch):
    njit = compiler.njit

    def refusing(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(function, **options)

    monkeypatch.setattr(compiler, "njit", refusing)
    assert compiler.compiled()(lambda x: x + 1)(2) == 3


def test_on_a_full_disk(monkeypatch, caplog):
    def full(self, signature, result):
        raise OSError(28, "No space left on device")

    function = compiler.compiled()(lambda x: x + 2)
    monkeypatch.setattr(type(function._cache._cache), "save_overload", full)
    monkeypatch.setattr(compiler._TolerantCache, "_warned", False)
    other = compiler.compiled()(lambda x: x + 3)
    with caplog.at_level(logging.WARNING, logger="energyflow"):
        assert function(2) == 4
        assert other(2) == 5
        assert function(2.0) == 4.0
    (record,) = caplog.records  # once a process
    assert "No space left on device" in record.getMessage()
    assert "NUMBA_CACHE_DIR" in record.getMessage()


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign"])
def test_with_damaged_files(tmp_path: Path, damage: str) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip

    assert run().stdout == "2.5\n"
    files = sorted(tmp_path.rglob("*.nb?"))
    assert files
    for file in files:
        content = file.read_bytes()
        broken = {"empty": b"", "cut": content[: len(content) // 2], "foreign": b"\x80\x04N."}
        file.write_bytes(broken[damage])
    again = run()
    assert again.stdout == "2.5\n"
    # once a process; what another version has written Numba passes over by itself
    assert again.stderr.count("cannot be used") == (0 if damage == "foreign" else 1)
