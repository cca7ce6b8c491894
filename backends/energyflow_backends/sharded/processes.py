"""The processes that share a computation, and what they exchange by torch.distributed."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, describe, library_of, namespace
from .process_group import process_group

WHAT = ("slices", "particles")
_WRITABLE = ("numpy", "torch")  # others promise that arrays never change
_GLOO = ("gloo/transport", "pair closure")  # in messages about connections that end


@dataclass(frozen=True, eq=False)
class Sharding:
    """What is shared, and among which processes: this one is `rank` of `size`."""

    what: str
    group: Any

    @cached_property
    def rank(self) -> int:
        """Number of this process, from 0 on."""
        import torch.distributed as dist

        return int(dist.get_rank(self.group))

    @cached_property
    def size(self) -> int:
        """How many processes there are."""
        import torch.distributed as dist

        return int(dist.get_world_size(self.group))

    @property
    def parted(self) -> bool:
        """Whether each process holds a part of the points."""
        return self.what == "particles"

    def bounds(self, n: int) -> list[int]:
        """Where the parts of n things begin, and where the last one ends."""
        return [n * k // self.size for k in range(self.size + 1)]

    def part(self, n: int) -> slice:
        """Those of n things that fall to this process."""
        return slice(*self.bounds(n)[self.rank : self.rank + 2])

    # -- collectives: every process must call them, in the same order

    def summed(self, *arrays: Array) -> list[Array]:
        """The sums over the processes, on each of them; the arrays may be overwritten."""
        return self._reduced(arrays, "SUM")

    def largest(self, *arrays: Array) -> list[Array]:
        """The maxima over the processes, number by number; the arrays may be overwritten."""
        return self._reduced(arrays, "MAX")

    def any(self, *flags: bool) -> list[bool]:
        """Whether a flag is true in one of the processes, for each flag."""
        return list(map(any, zip(*self.numbers(list(map(int, flags))), strict=True)))

    def numbers(self, mine: Sequence[int]) -> list[list[int]]:
        """The whole numbers, below 2^63, that each process gives: as many on each."""
        import torch
        import torch.distributed as dist

        given = torch.tensor(mine, dtype=torch.int64, device=self._device)
        gathered = [torch.empty_like(given) for _ in range(self.size)]
        dist.all_gather(gathered, given, group=self.group)
        return [tensor.tolist() for tensor in gathered]

    def agreed(self, mine: Mapping[str, object], *own: int) -> list[list[int]]:
        """The whole numbers `own` of each process; a ValueError on all where `mine` differs."""
        text = "\n".join(f"{name}: {value}" for name, value in mine.items()).encode()
        digest = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
        rows = self.numbers([digest, len(text), *own])
        if any(row[0] != digest for row in rows):
            length = max(row[1] for row in rows)
            texts = map(bytes, self.numbers(list(text.ljust(length))))
            given = [text.decode().rstrip().split("\n") for text in texts]
            same = set(given[0]).intersection(*given[1:])
            differences: dict[str, str] = {}
            for rank, lines in enumerate(given):
                differing = ", ".join(line for line in lines if line not in same)
                differences.setdefault(differing, f"{differing} in process {rank}")
            raise ValueError(f"processes must agree, got {'; '.join(differences.values())}")
        return [row[2:] for row in rows]

    def exchanged(self, pieces: Sequence[Array], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """What each process has for this one, of the given shapes.

        `pieces` are what this process has for each, of one dtype.
        """
        import torch
        import torch.distributed as dist

        mine = [as_tensor(piece) for piece in pieces]
        give, take = [piece.numel() for piece in mine], [math.prod(shape) for shape in shapes]
        sent, came = (mine[0].new_empty(sum(counts)) for counts in (give, take))
        for place, piece in zip(torch.split(sent, give), mine, strict=True):
            place.view(piece.shape).copy_(piece)
        dist.all_to_all_single(came, sent, take, give, group=self.group)
        parts = zip(torch.split(came, take), shapes, strict=True)
        return [as_array(part.view(shape), pieces[0]) for part, shape in parts]

    def gathered(self, rows: Array) -> Array | None:
        """The rows (N, ...) of all processes, one after the other, on the first one."""
        import torch
        import torch.distributed as dist

        kind = describe(rows)
        mine = as_tensor(rows).contiguous()
        same = {"array": f"{kind.library} {kind.dtype}", "shape of rows": tuple(rows.shape[1:])}
        counts = [count for (count,) in self.agreed(same, rows.shape[0])]
        first = dist.get_global_rank(self.group, 0)
        if self.rank > 0:
            dist.send(mine, first, self.group)
            return None
        whole = torch.empty((sum(counts), *mine.shape[1:]), dtype=mine.dtype, device=mine.device)
        pieces = torch.split(whole, counts)
        pieces[0].copy_(mine)
        for k in range(1, self.size):
            dist.recv(pieces[k], dist.get_global_rank(self.group, k), self.group)
        return as_array(whole, rows)

    def _reduced(self, arrays: Sequence[Array], operation: str) -> list[Array]:
        import torch.distributed as dist

        kind = getattr(dist.ReduceOp, operation)
        totals = [
            as_tensor(array).contiguous()
            if library_of(array) in _WRITABLE
            else as_tensor(array).clone()
            for array in arrays
        ]
        works = [dist.all_reduce(total, kind, self.group, async_op=True) for total in totals]
        for work in works:
            work.wait()
        return [as_array(total, like) for total, like in zip(totals, arrays, strict=True)]

    @property
    def _device(self) -> str:
        """Where small numbers can be sent from."""
        import torch.distributed as dist

        return "cpu" if "cpu" in dist.get_backend_config(self.group) else "cuda"


_current: ContextVar[Sharding | None] = ContextVar("energyflow_sharding", default=None)


def sharding() -> Sharding | None:
    """How work is shared here, or None where it is not."""
    return _current.get()


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    here = _current.get()
    return here is None or here.rank == 0


@contextmanager
def sharded(what: str, *, group: Any, timeout: float) -> Iterator[None]:
    """Share the work inside the ``with`` block among processes; see `energyflow.distributed`."""
    if what not in WHAT:
        raise ValueError(f"what must be one of {', '.join(WHAT)}; got {what!r}")
    with process_group(group, timeout) as members:
        token = _current.set(None if members is None else Sharding(what, members))
        try:
            yield
        finally:
            _current.reset(token)


def summed(array: Array) -> Array:
    """The sum over the processes, where each holds a part of the points; else the array."""
    here = _current.get()
    return array if here is None or not here.parted else here.summed(array)[0]


def largest(array: Array) -> Array:
    """The maxima over the processes, where each holds a part of the points; else the array."""
    here = _current.get()
    return array if here is None or not here.parted else here.largest(array)[0]


def count_of_all(n: int) -> int:
    """How many points there are, of which this process holds n."""
    here = _current.get()
    return n if here is None or not here.parted else sum(m for (m,) in here.numbers([n]))


def any_process(*flags: bool) -> list[bool]:
    """Whether a flag is true in one of the processes that share the work, for each flag."""
    here = _current.get()
    return list(flags) if here is None else here.any(*flags)


def lost(error: BaseException) -> bool:
    """Whether an error means that another process has ended, or did not answer in time."""
    dist = sys.modules.get("torch.distributed")
    if dist is None or not dist.is_available():
        return False
    gloo = isinstance(error, RuntimeError) and any(text in str(error) for text in _GLOO)
    return gloo or isinstance(error, dist.DistError)


def agree(mine: Mapping[str, object]) -> None:
    """Wait for all processes that share the work; a ValueError where they do not hold the same."""
    here = _current.get()
    if here is not None:
        here.agreed(mine)


def as_tensor(array: Array) -> Any:
    """The array as a tensor, without a copy where that can be; a TypeError for other things."""
    import torch
    import torch.utils.dlpack

    library = library_of(array)
    if library == "numpy":
        native = array.dtype.newbyteorder("=")
        try:
            return torch.from_numpy(np.require(array, native, ("A", "W")))
        except TypeError:
            raise TypeError(
                f"processes send each other numbers and booleans, got {array.dtype}"
            ) from None
    return array if library == "torch" else torch.utils.dlpack.from_dlpack(array)


def as_array(tensor: Any, like: Array) -> Array:
    """The tensor in the library of `like`, without a copy where that can be."""
    library = library_of(like)
    if library == "numpy":
        shared: NDArray[Any] = tensor.numpy()
        return shared
    if library != "torch":
        return namespace(like).from_dlpack(tensor)
    same: Array = tensor
    return same
