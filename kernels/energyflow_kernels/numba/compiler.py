"""How kernels are compiled, and kept in a cache that may fail."""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import binding
from numba import njit
from numba.extending import intrinsic

# Of the widest vectors that this processor multiplies; Numba keeps its cache apart by processor.
VECTOR_BYTES = 64 if binding.get_host_cpu_features().get("avx512f") else 32

_log = logging.getLogger("energyflow")
_FAULTS = (  # of files that are missing, empty, cut or of other versions
    OSError, EOFError, ValueError, IndexError, ImportError, AttributeError, pickle.PickleError,
)  # fmt: skip


class _TolerantCache:
    """Numba's cache of one function; one that cannot be read or written is not used any more.

    A full disk or a quota fails at the first write, a file that is empty or cut at the first read.
    Both are reported once a process, and the function is compiled in memory.
    """

    _warned = False

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """What was compiled for these types, or None."""
        return self._tried(self._cache.load_overload, signature, context)

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what was compiled for these types."""
        self._tried(self._cache.save_overload, signature, result)

    def _tried(self, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except _FAULTS as fault:
            folder = Path(self._cache.cache_path)
            self._cache.disable()
            if not _TolerantCache._warned:
                _TolerantCache._warned = True
                _log.warning(
                    "the cache of compiled functions in %s cannot be used (%s: %s): functions are "
                    "compiled in each process. Remove damaged files there, or set NUMBA_CACHE_DIR "
                    "to a folder that can be written",
                    folder, type(fault).__name__, fault,
                )  # fmt: skip
            return None


def compiled(*fastmath: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile to run without the GIL, and without a cache where no folder can be written.

    Parameters
    ----------
    *fastmath : str
        What LLVM may do to sums, such as "reassoc" (take them in another, fixed, order, so as to
        use vectors) and "contract" (fuse a product and a sum).
    """
    return _decorator(fastmath)


def inner(*fastmath: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`compiled` for functions that compiled functions alone call: Python has no way in.

    A way in, which takes Python's objects apart, is compiled for a third of a short function's
    time.
    """
    return _decorator(fastmath, no_cpython_wrapper=True)


def _decorator(
    fastmath: tuple[str, ...], **options: bool
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        every: dict[str, Any] = {
            "nogil": True,
            "error_model": "numpy",
            "fastmath": set(fastmath),
            "no_cfunc_wrapper": True,  # nobody calls from C
            **options,
        }
        try:
            dispatcher = njit(function, cache=True, **every)
        except RuntimeError:  # Numba found no folder for a cache
            return njit(function, **every)  # type: ignore[no-any-return]
        dispatcher._cache = _TolerantCache(dispatcher._cache)
        return dispatcher  # type: ignore[no-any-return]

    return decorate


def generated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Instructions that a function writes for LLVM, to be called from compiled code."""
    return intrinsic(function)


def rows_apart(builder: Any, start: Any, step: Any, n: int) -> list[Any]:
    """Pointers to n rows that are `step` numbers apart, for `generated` functions."""
    rows = [start]
    for _ in range(1, n):
        rows.append(builder.gep(rows[-1], [step]))
    return rows
