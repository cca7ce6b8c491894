"""Where well-spread sets of directions come from: a table, the user's cache, or the optimiser."""

from __future__ import annotations

import math
import os
import sys
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from energyflow_backends import Doubles

from .._core.files import atomic_write
from .._core.reading import opened
from .spread_sets import well_spread

TABLE = Path(__file__).with_name("spread_table.npz")
TABLE_DIMENSIONS = (3, 4, 5, 6, 7, 8, 10)
TABLE_SIZES = (50, 64, 100, 128, 200, 256, 500, 512, 1000)

_FORMAT = 1  # of the cache; one more whenever the optimiser changes
_MAX_SET = 1000  # pairs that the optimiser holds: 8 MiB of each kind
_MAX_NUMBERS = 2**17  # n d of a set: some ten seconds of optimising
_FINE = 32767  # coordinates in the table are whole multiples of 1 / 32767


def set_size(n: int, d: int) -> int:
    """How many of n directions are spread together.

    Beyond the limits, sets of about equal size are joined; in high dimensions, frames of d.
    """
    if d <= 2:
        return n
    largest = min(_MAX_SET, _MAX_NUMBERS // d)
    if largest < 2 * d:
        return min(n, d)
    if n <= largest:
        return n
    parts = math.ceil(n / largest)
    shipped = (n // k for k in range(parts, 4 * parts) if n % k == 0 and in_table(n // k, d))
    return next(shipped, math.ceil(n / parts))


def in_table(n: int, d: int) -> bool:
    """Whether the package ships the set of n directions in R^d."""
    return d in TABLE_DIMENSIONS and n in TABLE_SIZES


def ready(n: int, d: int) -> bool:
    """Whether n directions in R^d are made of sets that the package ships, the last one too."""
    size = set_size(n, d)
    return all(in_table(k, d) for k in {size, n % size or size})


@lru_cache(maxsize=32)
def spread_set(n: int, d: int) -> Doubles:
    """The set of n > d unit directions in R^d, read-only."""
    directions = _table()[f"{d}x{n}"] / _FINE if in_table(n, d) else _cached(n, d)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions.flags.writeable = False
    return directions


def write_table(path: Path = TABLE) -> None:
    """Compute the table that the package ships: about a minute."""
    sets = {
        f"{d}x{n}": np.rint(well_spread(n, d) * _FINE).astype(np.int16)
        for d in TABLE_DIMENSIONS
        for n in TABLE_SIZES
    }
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **sets)


@cache
def _table() -> dict[str, Doubles]:
    with np.load(TABLE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def cache_folder() -> Path:
    """The folder that the system's customs give to caches of this user."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "energyflow"


def _cached(n: int, d: int) -> Doubles:
    """Read a set from the cache; compute and keep it where it is not there, or damaged."""
    try:
        path = cache_folder() / f"spread-{_FORMAT}-{d}x{n}.float64"
    except RuntimeError:  # this user has no home
        return well_spread(n, d)
    cached = _read(path, (n, d))
    if cached is not None:
        return cached
    directions = well_spread(n, d)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(directions.tobytes())
    except OSError:  # a cache that cannot be written costs time, no more
        pass
    return directions


def _read(path: Path, shape: tuple[int, int]) -> Doubles | None:
    """Bare numbers, since readers of richer formats fail in many ways where a file is damaged."""
    try:
        with opened(path) as handle:
            if path.stat().st_size != 8 * math.prod(shape):
                return None
            numbers: Doubles = np.fromfile(handle)
    except OSError:
        return None
    if numbers.size != math.prod(shape):
        return None
    directions = numbers.reshape(shape)
    with np.errstate(over="ignore", invalid="ignore"):
        unit = np.abs(np.linalg.norm(directions, axis=1) - 1) < 1e-6  # False for NaN
    return directions if bool(np.all(unit)) else None
