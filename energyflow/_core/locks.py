"""A lock on a folder or a file, which one process holds at a time."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_log = logging.getLogger(__name__)
_NOT_OFFERED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # by some network disks


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a folder that is there, or of a file that is there or will be.

    However the process ends, the lock goes with it, and with the last of its children that were
    forked meanwhile: one that outlives it still holds the lock. Where the system or the disk offers
    no locks, nothing is held, and the log says so once.

    Raises
    ------
    BlockingIOError
        Another process, or another thread of this one, holds it: the message says which.
    OSError
        Nothing may be written in the folder, or beside the file.
    """
    if fcntl is None:
        _say_that_nothing_is_held()
        yield
        return
    path = target / LOCK if target.is_dir() else target.with_name(f".{target.name}{LOCK}")
    handle = _held(path, target)
    try:
        with suppress(OSError):  # a full disk: the name is a help for others only
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        # while it is held, so that nobody waits for a removed file; not that of another folder
        if _is_at(path, handle):
            path.unlink(missing_ok=True)
        os.close(handle)


def _held(path: Path, target: Path) -> int:
    """A handle of the lock's file, locked; errors name what it is the lock of."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            place = target if target.is_dir() else target.parent
            raise OSError(error.errno, error.strerror, str(place)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 300).decode(errors="replace") or "another process"
            os.close(handle)
            kind = "folder" if target.is_dir() else "file"
            raise BlockingIOError(
                errno.EAGAIN, f"the {kind} is in use by {holder}", str(target)
            ) from None
        except OSError as error:
            if error.errno not in _NOT_OFFERED:
                os.close(handle)
                raise
            _say_that_nothing_is_held()
        if _is_at(path, handle):
            return handle
        os.close(handle)  # its holder has removed the file meanwhile


@cache
def _say_that_nothing_is_held() -> None:
    _log.warning(
        "there are no locks on this system or disk: take care that no other process trains in the "
        "same folder or writes to the same file"
    )


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
