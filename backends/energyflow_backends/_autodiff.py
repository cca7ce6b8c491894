"""Values and sums as nodes of torch's graph, or under the transformations of torch and JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._arrays import Array, library_of, transformed_by_torch
from ._base import Result

Compute = Callable[..., Result]  # (x, y, *others, wrt)
Sums = Callable[..., Array]  # (x, y, w)
Pull = Callable[..., Array]  # (name, x, y, w, outer)


def differentiable_value(
    compute: Compute, x: Array, y: Array, *others: Array | None, fixed: Array | None = None
) -> Array:
    """The value of ``compute(x, y, *others, wrt=...)``, differentiable with respect to x and y.

    x is (*batch, N, d), y (*batch, M, d), the `others` broadcast to (*batch, N) or (*batch, M);
    `compute` serves every batch shape. `fixed` is an array that `compute` uses by itself.
    """
    library = library_of(x)
    if library == "torch":
        from . import _autodiff_torch

        return _autodiff_torch.value(compute, x, y, *others, fixed=fixed)
    if library == "jax":
        from . import _autodiff_jax

        return _autodiff_jax.value(compute, x, y, *others, fixed=fixed)
    return compute(x, y, *others, wrt=())[0]


def differentiable_sums(
    sums: Sums, pull: Pull, x: Array, y: Array, w: Array, fixed: Array | None = None
) -> Array:
    """The sums (*batch, N) that ``sums(x, y, w)`` gives, differentiable as above.

    ``pull(name, x, y, w, outer)`` is the gradient of sum_i outer_i s_i with respect to the set
    that is named, "x" or "y".
    """
    library = library_of(x)
    if library == "torch":
        from . import _autodiff_torch

        return _autodiff_torch.sums(sums, pull, x, y, w, fixed)
    if library == "jax":
        from . import _autodiff_jax

        return _autodiff_jax.sums(sums, pull, x, y, w, fixed)
    return sums(x, y, w)


def without_graph(
    run: Callable[..., Any], *arrays: Array | None, fixed: Array | None = None
) -> Any:
    """``run(*arrays)``, arrays or tuples of them; `run` gets tensors that hold their numbers."""
    if any(transformed_by_torch(v) for v in (*arrays, fixed)):
        from . import _autodiff_torch

        return _autodiff_torch.without_graph(run, *arrays, fixed=fixed)
    return run(*arrays)
