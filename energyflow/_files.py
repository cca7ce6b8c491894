"""Files that are whole or absent, JSON, and arrays in the formats the command line takes."""

import errno
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias, cast

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file beside `path` for writing bytes; give it that name once it is complete.

    After an error the new file is removed, and what stood at `path` before still stands there.
    `.name` of the handle is a real path with the suffix of `path`, for writers that want one.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder stands in the way", str(target))
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise OSError(errno.EINVAL, "not a regular file", str(target))
    part = target.with_name(f".{target.stem}.{os.urandom(4).hex()}.part{target.suffix}")
    try:
        with part.open("xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON, whole or not at all."""
    with replacing(path) as handle:
        handle.write((json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read an object of JSON.

    Raises
    ------
    OSError, ValueError
        The file is not there, or holds something else; it is named.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object of JSON, got {type(content).__name__}")
    return content


def load_array(spec: str | os.PathLike[str]) -> Array:
    """Read one array of real numbers from `file.npy`, `file.npz`, `file.npz:key` or `file.csv`.

    A CSV file is comma-separated and gives two dimensions; a first line without any number is
    taken for a header. Integers become float64, floats keep their precision. Pickled objects are
    refused.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file, what was expected and what came.
    """
    path, key = _split_key(os.fspath(spec))
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: expected a .npy, .npz or .csv file, got {path.suffix!r}")
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    array = _read_npz(path, key) if reader is _read_npz else reader(path)
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise ValueError(f"{spec}: expected real numbers, got an array of dtype {array.dtype}")
    return array


def _split_key(spec: str) -> tuple[Path, str | None]:
    """`runs/a.npz:key` is a file and a key; every other spelling is a file alone."""
    file, colon, key = spec.rpartition(":")
    if colon and file.lower().endswith(".npz"):
        return Path(file), key
    return Path(spec), None


def _read_npy(path: Path) -> Array:
    with path.open("rb") as handle:
        return _read_npy_stream(handle, str(path))


def _read_npz(path: Path, key: str | None = None) -> Array:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if key is None and len(members) != 1:
                raise ValueError(
                    f"{path} holds {len(members)} arrays ({', '.join(members)}): "
                    f"choose one as {path}:KEY"
                )
            chosen = next(iter(members)) if key is None else key
            if chosen not in members:
                raise ValueError(f"{path} has no array {chosen!r}; it holds {', '.join(members)}")
            with archive.open(members[chosen]) as handle:
                return _read_npy_stream(handle, f"{path}:{chosen}")
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        # the last two: encrypted members, and ways of compressing that zipfile does not know
        raise ValueError(f"{path}: expected a .npz archive: {_line(error)}") from error


def _read_npy_stream(stream: IO[bytes], name: str) -> Array:
    try:
        return cast(Array, np.lib.format.read_array(stream, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{name}: expected an array in NumPy's format: {_line(error)}") from error


def _read_csv(path: Path) -> Array:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected comma-separated text, got bytes: {error}") from error
    rows = [line for line in lines if line.strip()]
    if rows and not any(_is_number(field) for field in rows[0].split(",")):
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{path}: expected rows of numbers, got none")
    try:
        return np.loadtxt(rows, delimiter=",", ndmin=2, quotechar='"', comments=None)
    except ValueError as error:
        raise ValueError(f"{path}: expected rows of numbers: {_line(error)}") from error


def _is_number(field: str) -> bool:
    try:
        float(field.strip().strip('"'))
    except ValueError:
        return False
    return True


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
