"""Compiled functions that only compiled functions call, made callable from Python."""

from collections.abc import Callable
from typing import Any


def from_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled function that calls `function`, which is of the kind `inner`."""
    from numba import njit

    called: Callable[..., Any] = njit(lambda *arguments: function(*arguments))
    return called
