"""How kernels are compiled."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(*fastmath: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile to run without the GIL, and without a cache where no folder can be written.

    Parameters
    ----------
    *fastmath : str
        What LLVM may do to sums, such as "reassoc" (take them in another, fixed, order, so as to
        use vectors) and "contract" (fuse a product and a sum).
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
        try:
            return njit(function, cache=True, **options)  # type: ignore[no-any-return]
        except RuntimeError:
            return njit(function, **options)  # type: ignore[no-any-return]

    return decorate
