"""The group of processes that share work: the program's own, or one that is made and kept."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from importlib.util import find_spec
from typing import Any


@contextmanager
def process_group(group: Any, timeout: float) -> Iterator[Any]:
    """The group that is given, the default one, or the one that is kept; None for one process."""
    _check(group)
    dist = _initialised()
    if dist is not None and (group is not None or _kept.in_use or not _kept.alive):
        yield dist.group.WORLD if group is None else group
    elif int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield None
    else:
        with _kept.lent(timeout) as kept:
            yield kept


def _check(group: Any) -> None:
    """A process group of torch that this process belongs to, or None."""
    dist = sys.modules.get("torch.distributed")
    kind = getattr(dist, "ProcessGroup", None)
    if group is not None and (kind is None or not isinstance(group, kind)):
        raise TypeError(
            "group must be a torch.distributed.ProcessGroup that this process belongs to, or None, "
            f"got {type(group).__name__}"
        )


def _initialised() -> Any:
    """torch.distributed if there is a default group, without importing it; else None."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_available() and dist.is_initialized() else None


class _Kept:
    """The default group that the variables of torchrun describe, from its first use to the exit.

    Another one is made in its place after an error, and for another timeout. Each finds the other
    processes under a name of its own in the store: what a store held before is never read again.
    """

    def __init__(self) -> None:
        self.in_use = False
        self._group: Any = None
        self._timeout = 0.0
        self._meeting: tuple[Any, int, int] | None = None  # store, rank, size
        self._made = 0

    @property
    def alive(self) -> bool:
        """Whether it is the default group now."""
        dist = _initialised()
        return dist is not None and self._group is not None and dist.group.WORLD is self._group

    @contextmanager
    def lent(self, timeout: float) -> Iterator[Any]:
        """The group for a block; a block that fails ends it, so that no other process waits."""
        with ExitStack() as if_it_fails:
            if_it_fails.callback(self._end)
            self._make(timeout)
            self.in_use = True
            yield self._group
            self.in_use = False
            if_it_fails.pop_all()

    def _make(self, timeout: float) -> None:
        if self.alive and timeout == self._timeout:
            return
        self._end()
        if find_spec("torch") is None:
            raise ModuleNotFoundError("several processes need torch: pip install -e '.[torch]'")
        import torch
        import torch.distributed as dist

        with_gpus = torch.cuda.is_available() and dist.is_nccl_available()
        if with_gpus:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        patience = timedelta(seconds=timeout)
        if self._meeting is None:
            meetings = dist.rendezvous("env://", timeout=patience)  # type: ignore[attr-defined]
            self._meeting = next(iter(meetings))
            atexit.register(self._end)
        store, rank, size = self._meeting
        store.set_timeout(patience)
        self._made += 1
        name = f"energyflow/{self._made}"
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if with_gpus else "gloo",
            store=dist.PrefixStore(name, store),  # type: ignore[attr-defined]
            rank=rank, world_size=size, timeout=patience,
        )  # fmt: skip
        self._group, self._timeout = dist.group.WORLD, timeout

    def _end(self) -> None:
        self.in_use = False
        if self.alive:
            with suppress(RuntimeError):  # of NCCL, whose other processes are gone
                sys.modules["torch.distributed"].destroy_process_group()
        self._group = None


_kept = _Kept()
