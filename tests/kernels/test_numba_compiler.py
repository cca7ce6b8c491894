"""Compiled functions without a usable cache: no folder, a full disk, damaged files."""

import logging
import runpy
from pathlib import Path

import pytest
from energyflow_kernels.numba import compiler
from numba import config

SOURCE = """
from energyflow_kernels.numba.compiler import compiled

@compiled()
def successor(x):
    return x + 1

@compiled()
def double(x):
    return 2 * x
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
def test_with_damaged_files(tmp_path: Path, damage: str, monkeypatch, caplog) -> None:
    monkeypatch.setattr(compiler._TolerantCache, "_warned", False)
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    source = tmp_path / "source.py"
    source.write_text(SOURCE)

    def run() -> tuple[int, int]:
        """What the functions give in a process that starts: nothing is compiled in memory."""
        functions = runpy.run_path(str(source))
        return functions["successor"](1), functions["double"](4)

    assert run() == (2, 8)
    files = sorted(tmp_path.rglob("*.nb?"))
    assert len(files) == 4  # an index and the code of each
    for file in files:
        content = file.read_bytes()
        broken = {"empty": b"", "cut": content[: len(content) // 2], "foreign": b"\x80\x04N."}
        file.write_bytes(broken[damage])
    assert run() == (2, 8)
    # once a process; what another version has written Numba passes over by itself
    reported = [record for record in caplog.records if "cannot be used" in record.getMessage()]
    assert len(reported) == (0 if damage == "foreign" else 1)
