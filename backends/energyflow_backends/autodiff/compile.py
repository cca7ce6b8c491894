"""Functions that `torch.compile` calls as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def not_compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, for `torch.compile` to break its graph at and call with real tensors.

    Its kernels and its random numbers on the host cannot be traced; with ``fullgraph=True`` torch
    raises.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_compiling():
            untraced: Callable[P, R] = torch.compiler.disable(function)
            return untraced(*args, **kwargs)
        return function(*args, **kwargs)

    return run
