"""A little of everything where homes, caches, locales and disks are not as they should be."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from disks import mounted

pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("torch", reason="torch is an extra")

SMOKE = Path(__file__).with_name("smoke.py")
TOP = SMOKE.parents[2]
_POWERS = "--bounding-set=-dac_override,-dac_read_search,-fowner"
C = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

pytestmark = pytest.mark.slow


def smoke(
    folder: Path, *words: str, top: Path = TOP, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with the library at `top`, and no HOME but one that is given."""
    path = os.pathsep.join(str(top / name) for name in (".", "backends", "kernels"))
    environment = {k: v for k, v in os.environ.items() if k != "HOME"} | environment
    command = [*before, sys.executable, *words, str(SMOKE)]
    return subprocess.run(
        command, cwd=folder, env={**environment, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("-O",), ("-OO",), ("-W", "error")], ids=" ".join)
def test_without_a_home_and_in_an_old_locale(tmp_path, words) -> None:
    ran = smoke(tmp_path, *words, **C)
    assert ran.stdout.endswith("all is well\n"), ran.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """A cache of kernels that is filled."""
    folder = tmp_path_factory.mktemp("compiled")
    assert smoke(folder, NUMBA_CACHE_DIR=str(folder / "cache")).returncode == 0
    return folder / "cache"


@pytest.mark.parametrize("damage", ["empty", "half", "other bytes"])
def test_a_damaged_cache_of_kernels_is_made_anew(tmp_path, compiled, damage: str) -> None:
    cache = shutil.copytree(compiled, tmp_path / "cache")
    for file in sorted(cache.rglob("*.nb*"))[::4]:  # others need not be compiled
        half = file.read_bytes()[: file.stat().st_size // 2]
        file.write_bytes({"empty": b"", "half": half, "other bytes": b"x" * 99}[damage])
    (tmp_path / "run").mkdir()
    ran = smoke(tmp_path / "run", NUMBA_CACHE_DIR=str(cache))
    assert ran.stdout.endswith("all is well\n"), ran.stderr


def test_an_installation_and_a_home_that_may_not_be_written(tmp_path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.geteuid() != 0:
        pytest.skip("needs setpriv, as root")
    library, run = tmp_path / "library", tmp_path / "run"
    for name in ("energyflow", "backends", "kernels"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TOP / name, library / name, ignore=ignore)
    for path in (library, *library.rglob("*")):
        path.chmod(0o555)
    run.mkdir()
    before = (setpriv, _POWERS, "--inh-caps=-all")
    ran = smoke(run, before=before, top=library, HOME=str(library), XDG_CACHE_HOME="")
    assert ran.stdout.endswith("all is well\n"), ran.stderr
    assert not list(library.rglob("__pycache__"))


@pytest.mark.parametrize("size", ["4k", "64k"])
def test_a_full_disk_is_named(tmp_path, size: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, f"size={size}"):
        ran = smoke(disk)
        assert ran.returncode == 1
        assert f"[Errno {errno.ENOSPC}] No space left on device: '{disk}" in ran.stderr
        assert not list(disk.rglob("*.part*"))
