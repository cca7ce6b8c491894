"""Atomic writes, settings as JSON and TOML, and arrays in the formats of the command line."""

import csv
import errno
import io
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from energyflow_backends import HostArray

from .reading import opened, opened_archive, read_array, split_key
from .tables.csv_files import read_csv_table

_PART = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.part(\.[^.]*)?")
_LONGEST_TOML = 2**22
_MAPPED_FROM = 2**24  # bytes
# The reader of TOML takes quadratic time for them.
_LONG_KEY = re.compile(
    rb"""(?<![\w-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}"""
)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write bytes atomically: to a new file beside `path`, which gets that name when complete.

    After an error the new file is removed, and the old content of `path` is unchanged. A link at
    `path` is replaced by the file; `follow_link` is for those that are to be followed. `.name` of
    the handle is a real path with the suffix of `path`, for writers that need one.
    """
    with _beside(path) as (part, target):
        with part.open("xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(target)


def follow_link(path: str | os.PathLike[str]) -> Path:
    """The file to write when users name a path themselves: of a link, the file it links to."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, "links in a circle", str(path))
    return target


def check_writable(path: Path) -> None:
    """Check before long work that `atomic_write` may write there; the folder is made.

    Raises
    ------
    OSError
        If it may not; the message names the path that is in the way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path) as (part, _):
        part.touch(exist_ok=False)


@contextmanager
def _beside(path: str | os.PathLike[str]) -> Iterator[tuple[Path, Path]]:
    """A new name beside a path where a file may be written, and that path, which errors name."""
    target = Path(os.path.realpath(Path(path).parent)) / Path(path).name
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    if not target.is_symlink() and target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder stands in the way", str(target))
    if not target.is_symlink() and target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(target))
    part = target.with_name(f".{target.stem}.{os.urandom(4).hex()}.part{target.suffix}")
    try:
        yield part, target
    except OSError as error:
        # the error of a full disk has no name, others have that of the new file
        if error.errno is not None and error.filename in (None, str(part)):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        if part.exists():  # a read-only disk refuses to remove even a file that is not there
            part.unlink()


def parts(folder: Path, name: str = "") -> list[Path]:
    """Incomplete files that killed writers left in the folder; those of one name if it is given."""
    content = folder.iterdir() if folder.is_dir() else ()
    matches = ((path, _PART.fullmatch(path.name)) for path in content)
    return [path for path, match in matches if match is not None and name in ("", match["name"])]


def remove_parts(folder: Path, name: str = "") -> None:
    """Remove the incomplete files of killed writers from the folder, see `parts`."""
    for part in parts(folder, name):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill beside `path`; it gets that name once it is complete (atomic).

    What killed writers of the same folder have left is removed. Errors name files as they would be
    in `path`.
    """
    path = Path(os.path.abspath(path))
    remove_parts(path.parent, path.name)
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        part.mkdir(parents=True)
        yield part
        part.rename(path)
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        file = str(path) if error.filename is None else str(error.filename)
        if error.errno is not None and (error.filename is None or part.name in file):
            named = file.replace(part.name, path.name)
            raise OSError(error.errno, error.strerror, named) from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON, atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text, atomically."""
    with atomic_write(path) as handle:
        handle.write(text.encode())
    return path


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows of comma-separated text, below a header."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    return text.getvalue()


def write_array(path: Path, array: HostArray) -> Path:
    """Write one array to a .npy file, atomically."""
    with atomic_write(path) as handle:
        np.save(handle, array, allow_pickle=False)
    return path


def write_arrays(path: Path, arrays: Mapping[str, HostArray]) -> Path:
    """Write arrays by their names to a .npz file, atomically."""
    with atomic_write(path) as handle:
        np.savez(handle, allow_pickle=False, **arrays)
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read an object of JSON.

    Raises
    ------
    OSError, ValueError
        If the file is missing or holds something else; the message names it.
    """
    try:
        with opened(path) as handle:
            content = json.load(handle)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object of JSON, got {type(content).__name__}")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """Read tables of TOML.

    Raises
    ------
    OSError, ValueError
        If the file is missing or holds something else; the message names it.
    """
    with opened(path) as handle:
        content = handle.read(_LONGEST_TOML + 1)
    try:
        if len(content) > _LONGEST_TOML:
            raise ValueError(f"it is longer than {_LONGEST_TOML} bytes")
        if _LONG_KEY.search(content):
            raise ValueError("a key has more than 32 parts")
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected TOML: {error}") from None


def load_array(spec: str | os.PathLike[str]) -> HostArray:
    """Read one array of real numbers from `file.npy`, `file.npz`, `file.npz:key` or `file.csv`.

    A CSV file is comma-separated, without gaps, and gives two dimensions; a first line without any
    number is a header, whose names differ. Integers become float64, floats keep their precision.
    Pickled objects are refused, and so are sizes that the file cannot hold. A .npy file of 16 MiB
    or more is mapped into memory rather than read.

    Raises
    ------
    FileNotFoundError, OSError, ValueError
        If the file cannot be read as such; the message names it, what was expected and what came.
    """
    path, key = split_key(os.fspath(spec))
    suffix = path.suffix.lower()
    if suffix == ".npz":
        array = _read_npz(path, key)
    elif suffix == ".npy":
        with opened(path) as handle:
            size = path.stat().st_size
            array = read_array(handle, size, str(path), mapped_from=_MAPPED_FROM)
    elif suffix == ".csv":
        array = read_csv_table(path).values
    else:
        raise ValueError(f"{path}: expected a .npy, .npz or .csv file, got {path.suffix!r}")
    return array.astype(np.float64) if array.dtype.kind in "biu" else array


def _read_npz(path: Path, key: str | None = None) -> HostArray:
    with opened_archive(path) as archive:
        names = list(archive.names)
        if key is None and len(names) != 1:
            raise ValueError(
                f"{path} holds {len(names)} arrays ({', '.join(names)}): choose one as {path}:KEY"
            )
        chosen = names[0] if key is None else key
        if chosen not in names:
            raise ValueError(f"{path} has no array {chosen!r}; it holds {', '.join(names)}")
        return archive.read(chosen)
