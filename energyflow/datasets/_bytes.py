"""Bytes of files, plain or gzip-compressed: as many as a header claims, and never more."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from .._core import reading as _reading

GZIP = b"\x1f\x8b"
_PIECE = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed where it begins as a gzip file does."""
    with _reading.opened(path) as raw:
        compressed = raw.read(2) == GZIP
        raw.seek(0)
        try:
            if compressed:
                with gzip.open(raw) as stream:
                    yield cast(IO[bytes], stream)
            else:
                yield raw
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path}: expected a whole gzip file: {error}") from error


def head(path: Path, count: int = 16) -> bytes:
    """The first bytes of the content, fewer where the file is shorter."""
    with opened(path) as stream:
        return stream.read(count)


def capacity(path: Path) -> int:
    """How many bytes of content the file may hold at most."""
    size = path.stat().st_size
    with _reading.opened(path) as raw:
        return _reading.capacity(size) if raw.read(2) == GZIP else size


def read_claimed(stream: IO[bytes], count: int, path: Path, what: str) -> bytearray:
    """Read the `count` bytes that a header claims, which must be all that is left."""
    most = capacity(path)
    if count > most:
        raise ValueError(
            f"{path}: its header claims {what}, {count} bytes, but the file holds at most {most}"
        )
    content = bytearray()
    while len(content) < count:
        piece = stream.read(min(_PIECE, count - len(content)))
        if not piece:
            raise ValueError(
                f"{path}: its header claims {what}, {count} bytes, but only {len(content)} follow"
            )
        content += piece
    if stream.read(1):
        raise ValueError(f"{path}: its header claims {what}, {count} bytes, but more follow")
    return content
