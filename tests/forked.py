"""Processes that are forked from one which has imported everything: they start in no time."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "ENERGYFLOW")}


def forked(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], folder: Path
) -> list[str]:
    """Call a function of a module in processes at the same time, one for each tuple of arguments.

    All must end well, with one thread each and warnings as errors. What they printed lies in
    `folder` while they run, and is given back.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["_forkserver"])
    printed = [folder / f"printed{k}" for k, _ in enumerate(calls)]
    with_threads = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(THREADS)  # the server keeps what stands here when it starts
    try:
        processes = [
            context.Process(target=_called, args=(path, function, call))
            for path, call in zip(printed, calls, strict=True)
        ]
        for process in processes:
            process.start()
    finally:
        for name, before in with_threads.items():
            os.environ.pop(name) if before is None else os.environ.update({name: before})
    for process in processes:
        process.join()
    texts = [path.read_text() for path in printed]
    assert [process.exitcode for process in processes] == [0] * len(calls), "\n".join(texts)
    return texts


def _called(path: Path, function: Callable[..., Any], call: tuple[Any, ...]) -> None:
    with path.open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.environ.update(THREADS)
    warnings.simplefilter("error")
    try:
        function(*call)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
