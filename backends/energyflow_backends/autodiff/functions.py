"""Values and sums as nodes of torch's graph, or under the transformations of torch and JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

from .._arrays import Array, library_of, transformed_by_torch
from .._point_sets import Result
from .._projector import Projector, arrays_of

Compute = Callable[..., Result]  # (x, y, *others, wrt=, held=)
Sums = Callable[..., Array]  # (x, y, w, held=)
Pull = Callable[..., Array]  # (name, x, y, w, outer, held=)

DIFFERENTIABLE = ("torch", "jax")  # libraries with automatic differentiation


def differentiable_value(
    compute: Compute, x: Array, y: Array, *others: Array | None, held: Projector | None = None
) -> Array:
    """The value of ``compute(x, y, *others, wrt=..., held=held)``, differentiable in x and y.

    x is (*batch, N, d), y (*batch, M, d), the `others` broadcast to (*batch, N) or (*batch, M);
    `compute` takes every batch shape. What it uses of `held` is not differentiated.
    """
    rules = _rules(library_of(x))
    if rules is None:
        return compute(x, y, *others, wrt=(), held=held)[0]
    value: Array = rules.value(compute, x, y, *others, held=held)
    return value


def differentiable_sums(
    sums: Sums, pull: Pull, x: Array, y: Array, w: Array, held: Projector | None = None
) -> Array:
    """The sums (*batch, N) that ``sums(x, y, w, held=held)`` gives, differentiable as above.

    ``pull(name, x, y, w, outer, held=held)`` is the gradient of sum_i outer_i s_i with respect to
    the set that is named, "x" or "y".
    """
    rules = _rules(library_of(x))
    if rules is None:
        return sums(x, y, w, held=held)
    total: Array = rules.sums(sums, pull, x, y, w, held)
    return total


def without_graph(
    run: Callable[..., Any], *arrays: Array | None, held: Projector | None = None
) -> Any:
    """``run(*arrays, held=held)``, arrays or tuples; `run` gets tensors that hold their numbers."""
    run = partial(run, held=held)
    if any(transformed_by_torch(v) for v in (*arrays, *arrays_of(held))):
        return _rules("torch").without_graph(run, *arrays, held=held)
    return run(*arrays)


@cache
def _rules(library: str | None) -> Any:
    """The module of gradients for arrays of a library, or None where there is no such thing."""
    return import_module(f".{library}", __package__) if library in DIFFERENTIABLE else None
