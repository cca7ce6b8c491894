"""Reading files from anywhere: regular files only, held to their sizes, never executed.

What a file claims to hold is compared with its size before memory is taken. Compressed content
may become `capacity` bytes, which is 256 MiB or, beyond that, 100 times the size of the file.
"""

from __future__ import annotations

import errno
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast

import numpy as np
from energyflow_backends import HostArray

NUMBERS = "biuf"  # kinds of dtypes
NPY = np.lib.format.MAGIC_PREFIX
ZIP = b"PK\x03\x04"
MOST_FROM_ONE_BYTE = 1032  # of a deflate stream: zlib's technical details

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, OverflowError, RuntimeError,
    NotImplementedError, struct.error,
)  # fmt: skip
_ALWAYS_ALLOWED = 2**28
_MOST_TIMES = 100
_LONGEST_HEADER = 10_000
_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}  # of the header, by the version of the format
# What NumPy writes for plain arrays. Its own reader lets Python's parser loose on the text.
_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[^'\\]*)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,19}(?:, ?\d{1,19})*,?)?)\),? ?\}\s*",
    re.ASCII,
)
_DTYPE = re.compile(r"[<>|=]?[a-zA-Z]\d{0,9}", re.ASCII)


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes: pipes and devices may have no end.

    Raises
    ------
    OSError
        If there is no such file, or it is of another kind, or cannot be read; it is named.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    if not file.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    try:
        with file.open("rb") as handle:
            yield handle
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def naming(origin: object) -> Iterator[None]:
    """Put the origin before messages of errors in the block that do not name it."""
    try:
        yield
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        if str(origin) in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{origin}: {error}") from error


def split_key(spec: str) -> tuple[Path, str | None]:
    """`runs/a.npz:key` is a file and a key; every other spelling is a path alone."""
    file, colon, key = spec.rpartition(":")
    if colon and file.lower().endswith(".npz"):
        return Path(file), key
    return Path(spec), None


def capacity(packed: int, most: int = MOST_FROM_ONE_BYTE) -> int:
    """How many bytes so many compressed ones may become, where one can become `most`."""
    return min(packed * most, max(_ALWAYS_ALLOWED, packed * _MOST_TIMES))


def read_array(
    stream: IO[bytes], size: int, name: str, kinds: str = NUMBERS, *, mapped_from: float = math.inf
) -> HostArray:
    """Read an array in NumPy's format whose header claims what the stream of `size` bytes holds.

    kinds: of dtypes, as NumPy abbreviates them. Objects, records and dates are refused.
    mapped_from: bytes from which the array is mapped into memory for reading, where the stream is
    a file by itself.

    Raises
    ------
    ValueError
        If there is none, of another kind, or the header claims more or less; `name` is named.
    """
    try:
        shape, dtype, order = _read_header(stream)
        if dtype.kind not in kinds:
            wanted = "real numbers" if kinds == NUMBERS else f"a dtype of the kinds {kinds}"
            raise ValueError(f"expected {wanted}, got an array of dtype {dtype}")
        claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
        if claimed != there or not dtype.itemsize:
            raise ValueError(
                f"its header claims an array of shape {shape} and dtype {dtype}, "
                f"{claimed} bytes, but {there} follow"
            )
        if claimed >= mapped_from:
            file = cast(BinaryIO, stream)
            return np.memmap(file, dtype, "r", stream.tell(), shape, order)
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError) as error:
        reason = one_line(error)
        raise ValueError(f"{name}: expected an array in NumPy's format: {reason}") from error


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], Literal["C", "F"]]:
    version = np.lib.format.read_magic(stream)
    if version not in _LENGTHS:
        raise ValueError(f"version {version} is not for arrays of numbers")
    packed = stream.read(struct.calcsize(_LENGTHS[version]))
    try:
        (length,) = struct.unpack(_LENGTHS[version], packed)
    except struct.error:
        raise ValueError(f"its header ends after {len(packed)} bytes of its length") from None
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header claims {length} bytes, more than that of any plain array")
    text = stream.read(length)
    if len(text) < length:
        raise ValueError(f"its header claims {length} bytes, but only {len(text)} follow")
    header = _HEADER.fullmatch(text.decode("latin-1"))
    if header is None:
        raise ValueError(f"its header is not that of a plain array: {text.rstrip()[:80]!r}")
    if header["dtype"] == "|O":
        raise ValueError("it holds objects, which would have to be unpickled")
    try:
        dtype = np.dtype(header["dtype"]) if _DTYPE.fullmatch(header["dtype"]) else None
    except TypeError:
        dtype = None
    if dtype is None:
        raise ValueError(f"expected real numbers, got the dtype {header['dtype']!r}")
    shape = tuple(map(int, re.findall(r"\d+", header["shape"])))
    return shape, dtype, "F" if header["fortran"] == "True" else "C"


class Archive:
    """The arrays of a .npz file by their names."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, size: int) -> None:
        self.names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        self._archive = archive
        self._path = path
        self._size = size

    def read(self, name: str, kinds: str = NUMBERS) -> HostArray:
        """One of the arrays, see `read_array`."""
        info = self.names[name]
        spec = f"{self._path}:{name}"
        packed = min(info.compress_size, self._size)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            most = capacity(packed)
        elif info.compress_type == zipfile.ZIP_STORED:
            most = packed
        else:
            raise ValueError(f"{spec}: expected to be deflated or stored, as NumPy does it")
        if info.file_size > most:
            raise ValueError(
                f"{spec}: claims {info.file_size} bytes, but {packed} bytes of the archive may "
                f"become at most {most}"
            )
        with _unzipping(self._path, ValueError):
            stream = self._archive.open(info)
        with _unzipping(self._path), stream:
            return read_array(stream, info.file_size, spec, kinds)


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Open a .npz file.

    Raises
    ------
    OSError, ValueError
        If it is missing or no such archive; it is named.
    """
    with opened(path) as raw:
        with _unzipping(path, ValueError):
            archive = zipfile.ZipFile(raw)
        with archive:
            yield Archive(archive, path, path.stat().st_size)


@contextmanager
def _unzipping(path: Path, *more: type[Exception]) -> Iterator[None]:
    """Turn damage, encryption and features that Python's zipfile lacks into ValueErrors."""
    kinds: tuple[type[Exception], ...] = (*_DAMAGE, *more)
    try:
        yield
    except kinds as error:
        raise ValueError(f"{path}: expected a whole .npz archive: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).partition("\n")[0]
