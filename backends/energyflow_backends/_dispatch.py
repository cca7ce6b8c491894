"""From arrays of any library to a backend and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._arrays import Array, detached, known_values, namespace
from ._base import Backend, Result
from ._projector import Projector
from ._registry import select, select_for_pairs
from .sharded.sums import need_whole_sets, shared


class NonFiniteValue(ArithmeticError):
    """The value is not finite: the data hold NaN or infinity, or the sum overflows."""


def sliced_value_and_gradient(
    x: Array,
    y: Array,
    a: Array | None,
    b: Array | None,
    projector: Projector,
    *,
    exponent: float,
    estimator: str,
    wrt: tuple[str, ...] = ("x",),
    chunk_size: int | None = None,
) -> Result:
    """Sliced energy distances (B,) and gradients (B, N, d), (B, M, d) by the backend in charge."""
    backend = select(x, y, a, b, *getattr(projector, "arrays", ()))
    in_charge = shared(backend, x)

    def run(x: Array, y: Array, a: Array | None, b: Array | None) -> Result:
        return in_charge.sliced_value_and_gradient(
            x, y, a, b, projector,
            exponent=exponent, estimator=estimator, wrt=wrt, chunk_size=chunk_size,
        )  # fmt: skip

    return _through(backend, run, x, y, a, b)


def exact_value_and_gradient(
    x: Array,
    y: Array,
    a: Array | None,
    b: Array | None,
    *,
    exponent: float,
    estimator: str,
    wrt: tuple[str, ...] = ("x",),
    chunk_size: int | None = None,
) -> Result:
    """Energy distances (B,) and gradients by sums over all pairs, by the backend in charge."""
    need_whole_sets("sums over all pairs")
    backend = select_for_pairs(x, y, a, b)

    def run(x: Array, y: Array, a: Array | None, b: Array | None) -> Result:
        return backend.exact_value_and_gradient(
            x, y, a, b, exponent=exponent, estimator=estimator, wrt=wrt, chunk_size=chunk_size
        )

    return _through(backend, run, x, y, a, b)


def _through(
    backend: Backend, run: Callable[..., Result], x: Array, *others: Array | None
) -> Result:
    adopted = (None if v is None else backend.adopt(detached(v)) for v in (x, *others))
    with np.errstate(all="ignore"):  # what is not finite is reported below, by name
        value, gx, gy = run(*adopted)
        xp = namespace(value)
        if known_values(value) and not bool(xp.all(xp.isfinite(value))):
            raise NonFiniteValue
    gradients = (None if g is None else backend.restore(g, x) for g in (gx, gy))
    return backend.restore(value, x), *gradients
