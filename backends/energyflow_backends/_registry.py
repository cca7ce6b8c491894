"""The dispatch: which backend computes with which arrays, and why.

- No library is imported to find out whether it is there; the type of the array decides.
- An automatic choice takes the first backend of the list in `_builtin.py` that can; a choice by
  name (`use_backend`, or the environment variable ENERGYFLOW_BACKEND) raises if it cannot take the
  arrays.
- No backend is imported here by its name, so that backends may use the registry in turn.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import numpy as np

from ._arrays import Array, ArrayInfo, describe, known_values
from ._base import Backend
from ._builtin import BACKENDS
from ._errors import BackendUnavailable

_log = logging.getLogger("energyflow")
_chosen: ContextVar[str | None] = ContextVar("energyflow_backend", default=None)


@cache
def backends() -> dict[str, Backend]:
    """All backends by name, in the order in which an automatic choice asks them."""
    by_name: dict[str, Backend] = {}
    for line in BACKENDS:
        module, _, subclass = line.partition(":")
        backend: Backend = getattr(import_module(module, __package__), subclass)()
        by_name[backend.name] = backend
    return by_name


@dataclass(frozen=True)
class BackendStatus:
    """One line of the table of backends."""

    name: str
    usable: bool
    version: str
    reason: str
    kernels: str = ""  # whether its kernels are compiled, where they are kept


class BackendTable(tuple[BackendStatus, ...]):
    """The backends, in the order in which they are tried; prints as a table."""

    def __repr__(self) -> str:
        head = ("backend", "usable", "version", "kernels", "reason")
        rows = ((s.name, "yes" if s.usable else "no", s.version, s.kernels, s.reason) for s in self)
        lines = [head, *rows]
        widths = [max(len(line[k]) for line in lines) for k in range(5)]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Compute with the named backend inside the ``with`` block, in this thread or task.

    Parameters
    ----------
    name : str
        One of those that `show_backends` lists, such as "numpy" or "array-api".

    Returns
    -------
    context manager
        Inside its block the backend computes; afterwards the choice is what it was before.

    Raises
    ------
    TypeError, ValueError
        If no backend has that name.
    BackendUnavailable
        If what it needs is not installed; inside the block, if it cannot take the arrays at hand.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    reason = named(name).unusable()
    if reason:
        raise BackendUnavailable(name, reason)
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def show_backends() -> BackendTable:
    """The backends: whether each can be used here, its library's version, and why not.

    Returns
    -------
    BackendTable
        A tuple of (name, usable, version, reason, kernels) records that prints as a table. The
        last says whether kernels are "compiled", as `compile_kernels` leaves them, or will be "at
        first calls". Nothing is imported to make it.
    """
    rows = []
    for backend in backends().values():
        reason = backend.unusable()
        own = backend.requires[-1] if backend.requires else "numpy"
        version = "-" if backend.missing() else _version(own)
        kernels = "" if reason else backend.kernels()
        rows.append(BackendStatus(backend.name, reason is None, version, reason or "", kernels))
    return BackendTable(rows)


def select(array: Array, *others: Array | None) -> Backend:
    """The backend for arrays like the first, if the values of all are known; else a tracing one."""
    info = describe(array)
    if not info.traced:
        for other in others:
            if not (other is None or type(other) is np.ndarray or known_values(other)):
                info = info._replace(device="traced", traced=True)
                break
    name = _chosen.get() or os.environ.get("ENERGYFLOW_BACKEND")
    return _explicit(name, info) if name else _automatic(info)


def select_for_pairs(array: Array, *others: Array | None) -> Backend:
    """The backend for sums other than sliced energy distances."""
    backend = select(array, *others)
    reason = backend.lacks_pairs()
    if reason:
        raise BackendUnavailable(backend.name, reason)
    return backend


def select_on_host() -> Backend:
    """The backend for work that is done in NumPy arrays, whatever the library of the user's: the
    one that was named, if it takes them.
    """
    info = describe(np.empty(0))
    name = _chosen.get() or os.environ.get("ENERGYFLOW_BACKEND")
    if name and not (named(name).missing() or named(name).refuses(info)):
        return named(name)
    return _automatic(info)


@cache
def _explicit(name: str, info: ArrayInfo) -> Backend:
    backend = named(name)
    reason = backend.missing() or backend.refuses(info)
    if reason is None:
        return backend
    able = [b.name for b in backends().values() if not b.unusable() and not b.refuses(info)]
    raise BackendUnavailable(
        name, reason, f"backend {name!r} cannot take {info}: {reason}; can: {', '.join(able)}"
    )


@cache
def _automatic(info: ArrayInfo) -> Backend:
    passed_over: list[str] = []
    for backend in backends().values():
        reason = backend.missing() or backend.refuses(info)
        if reason is None:
            _log.debug("%s for %s (%s)", backend.name, info, "; ".join(passed_over) or "first")
            return backend
        passed_over.append(f"{backend.name}: {reason}")
    raise BackendUnavailable("auto", "; ".join(passed_over))


def named(name: str) -> Backend:
    """The backend of that name."""
    try:
        return backends()[name]
    except KeyError:
        known = ", ".join(backends())
        raise ValueError(f"backend must be one of {known}; got {name!r}") from None


def _version(module: str) -> str:
    from importlib import metadata  # a quarter of the time of importing this package

    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:  # a distribution of another name, as CuPy's
        names = metadata.packages_distributions().get(module, [])
        return metadata.version(names[0]) if names else "unknown"
