"""Disks that are full, or may not be written."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, how: str) -> Iterator[None]:
    """A small disk of its own at a folder, where this user may mount one."""
    mount = shutil.which("mount")
    done = None if mount is None else subprocess.run(
        [mount, "-t", "tmpfs", "-o", how, "tmpfs", folder], capture_output=True, check=False
    )  # fmt: skip
    if done is None or done.returncode:
        pytest.skip("this user may not mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def short_files(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
