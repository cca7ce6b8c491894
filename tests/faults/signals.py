"""Processes that are killed or interrupted, at a write or at any time, and what files hold then."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import NoReturn

import numpy as np

from energyflow._core.locks import LOCK

_MOMENTS = {
    "os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "remove", "os.rmdir": "remove",
}  # fmt: skip
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Told = Callable[[int, str, int | None], None]
Digests = dict[tuple[str, int, int, int], str]  # by name, inode, size and time of change


def watch(told: Told) -> None:
    """Call `told` before each write of this process; this cannot be taken off again.

    told: gets the number of the write, from 1 on, its kind (open, fsync, rename, remove, mkdir),
    and of fsync the descriptor.
    """
    count, busy = 0, False

    def tell(moment: str, descriptor: int | None = None) -> None:
        nonlocal count, busy
        if busy:  # a write of `told` itself
            return
        count, busy = count + 1, True
        try:
            told(count, moment, descriptor)
        finally:
            busy = False

    def hook(event: str, given: tuple) -> None:
        if event in _MOMENTS:
            tell(_MOMENTS[event])
        elif event == "open" and (given[2] or 0) & _TO_WRITE:
            tell("open")

    fsync = os.fsync

    def told_fsync(descriptor: int) -> None:
        tell("fsync", descriptor)
        fsync(descriptor)

    os.fsync = told_fsync
    sys.addaudithook(hook)


def strike(at: int, number: signal.Signals, struck: Path) -> None:
    """Send this process a signal before one of its writes; `struck` keeps the kind of the write.

    A kill before an fsync loses half of the bytes that the file was to hold.
    """

    def told(count: int, moment: str, descriptor: int | None) -> None:
        if count != at:
            return
        struck.write_text(moment)
        file = Path(f"/proc/self/fd/{descriptor}")
        if number == signal.SIGKILL and file.is_file():
            os.truncate(file, file.stat().st_size // 2)
        os.kill(os.getpid(), number)

    watch(told)


class Forked:
    """A child of this process, which has one thread, that runs something in a folder."""

    def __init__(self, body: Callable[[], int], folder: Path, log: Path) -> None:
        self._status: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            self._run(body, folder, log)

    def _run(self, body: Callable[[], int], folder: Path, log: Path) -> NoReturn:
        status = 70
        try:
            os.chdir(folder)
            with log.open("ab") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            status = body()
        except KeyboardInterrupt:  # between the work and its end
            status = 130
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    @property
    def pid(self) -> int:
        return self._pid

    def send_signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def poll(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        while (status := self._wait(0)) is None:
            pass
        return status

    def _wait(self, how: int) -> int | None:
        if self._status is None and (found := os.waitpid(self._pid, how))[0]:
            self._status = os.waitstatus_to_exitcode(found[1])
        return self._status


def struck_after(
    process: Forked | Popen[bytes], folder: Path, seconds: float, number: signal.Signals
) -> int:
    """Signal a process so many seconds after it began to change a folder; its exit status."""
    await_change(process, folder)
    time.sleep(seconds)
    if process.poll() is None:
        process.send_signal(number)
    return process.wait()


def await_change(process: Forked | Popen[bytes], folder: Path) -> None:
    """Wait until a process makes or changes a folder, or ends."""

    def stamp() -> int | None:
        return folder.stat().st_mtime_ns if folder.exists() else None

    before = stamp()
    while stamp() == before and process.poll() is None:
        time.sleep(0.001)


def contents(folder: Path, known: Digests | None = None) -> dict[str, str]:
    """A digest of what each file of a folder holds, but for seconds, the lock of a process that
    works there, and files still in the making.

    known: digests of files that need not be read again, which are added to.

    Raises
    ------
    ValueError
        A file is no whole one of its kind.
    """
    digests, known = {}, {} if known is None else known
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and ".part" not in name and path.name != LOCK:
            state = path.stat()
            key = name, state.st_ino, state.st_size, state.st_mtime_ns
            if key not in known:
                digest = hashlib.sha256()
                for part in _parts(path):
                    digest.update(part)
                known[key] = digest.hexdigest()
            digests[name] = known[key]
    return digests


def _parts(path: Path) -> Iterator[bytes]:
    from PIL import Image
    from safetensors import SafetensorError

    readers = {
        ".json": _json, ".npz": _arrays, ".npy": _arrays, ".csv": _rows,
        ".safetensors": _tensors, ".png": _picture,
    }  # fmt: skip
    if path.suffix not in readers:
        raise ValueError(f"{path}: no kind of file that is written here")
    broken = (
        ValueError, EOFError, KeyError, OSError, SyntaxError, zipfile.BadZipFile, SafetensorError,
        Image.DecompressionBombError,
    )  # fmt: skip
    try:
        yield from readers[path.suffix](path)
    except broken as error:
        raise ValueError(f"{path}: {error!r}") from error


def _json(path: Path) -> Iterator[bytes]:
    content = json.loads(path.read_bytes())
    content.pop("seconds", None)
    yield json.dumps(content, sort_keys=True).encode()


def _arrays(path: Path) -> Iterator[bytes]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    else:
        arrays = {"": np.load(path, allow_pickle=False)}
    for name in sorted(set(arrays) - {"history_seconds"}):
        yield name.encode() + repr(arrays[name].shape).encode() + arrays[name].tobytes()


def _rows(path: Path) -> Iterator[bytes]:
    text = path.read_text()
    rows = list(csv.reader(io.StringIO(text)))
    if not text.endswith("\n") or len({len(row) for row in rows}) != 1:
        raise ValueError("cut short")
    kept = [k for k, name in enumerate(rows[0]) if name != "seconds"]
    yield repr([[row[k] for k in kept] for row in rows]).encode()


def _tensors(path: Path) -> Iterator[bytes]:
    from safetensors.numpy import load_file

    for name, array in sorted(load_file(path).items()):
        yield name.encode() + repr(array.shape).encode() + array.tobytes()


def _picture(path: Path) -> Iterator[bytes]:
    from PIL import Image

    with Image.open(path) as image:
        yield repr(image.size).encode() + image.tobytes()
