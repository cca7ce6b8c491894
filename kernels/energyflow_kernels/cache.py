"""Whether all kernels for CPUs are compiled on this machine, found out without importing Numba."""

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_SOURCES = Path(__file__).parent / "numba"


def is_filled() -> bool:
    """Whether `mark_filled` was called for these sources, and for this Python and Numba."""
    name = _mark()
    return any(next(folder.glob(name), None) for folder in _folders() if folder.is_dir())


def mark_filled(folder: Path) -> None:
    """Note in the folder where Numba keeps what it compiled that nothing is missing there."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    (Path(given) if given else folder).joinpath(_mark()).touch()


def _folders() -> list[Path]:
    """Where Numba keeps what it compiled: in the folder that is named, else here or in the home."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return [Path(given)]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    return [_SOURCES / "__pycache__", *(home.glob("numba_*") if home.is_dir() else ())]


def _mark() -> str:
    """The name of a file: other sources, Pythons, versions of Numba and processors have others."""
    try:
        numba = version("numba")
    except PackageNotFoundError:
        numba = ""
    seen = [platform.python_version(), platform.machine(), numba]
    for source in sorted(_SOURCES.rglob("*.py")):
        status = source.stat()
        seen.append(f"{source.name} {status.st_mtime_ns} {status.st_size}")
    return f"energyflow-{hashlib.sha256(repr(seen).encode()).hexdigest()[:16]}.compiled"
