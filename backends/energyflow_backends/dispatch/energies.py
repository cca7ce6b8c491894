"""Energy distances and gradients: from arrays of any library to a backend, and back."""

from __future__ import annotations

import numpy as np

from .._arrays import seems_finite
from .._base import Backend
from .._errors import NonFiniteValue
from .._point_sets import PointSets, Request, Result
from .._projector import Projector, arrays_of
from .._registry import select, select_for_pairs
from ..sharded.processes import sharding
from ..sharded.sums import need_whole_sets, shared


def sliced_value_and_gradient(sets: PointSets, projector: Projector, request: Request) -> Result:
    """Sliced energy distances (B,) and gradients (B, N, d), (B, M, d) by the backend in charge."""
    backend = select(*sets, *arrays_of(projector))
    here = sharding()
    in_charge = backend if here is None else shared(backend, here, sets.x)
    with np.errstate(all="ignore"):  # what is not finite is reported below, by name
        result = in_charge.sliced_value_and_gradient(adopted(backend, sets), projector, request)
        return restored(backend, result, sets)


def exact_value_and_gradient(sets: PointSets, request: Request) -> Result:
    """Energy distances (B,) and gradients by sums over all pairs, by the backend in charge."""
    need_whole_sets("sums over all pairs")
    backend = select_for_pairs(*sets)
    with np.errstate(all="ignore"):
        result = backend.exact_value_and_gradient(adopted(backend, sets), request)
        return restored(backend, result, sets)


def adopted(backend: Backend, sets: PointSets) -> PointSets:
    """The sets in arrays that the backend computes with."""
    x, y, a, b = sets
    adopt = backend.adopt
    return PointSets(
        adopt(x), adopt(y), None if a is None else adopt(a), None if b is None else adopt(b)
    )


def restored(backend: Backend, result: Result, sets: PointSets) -> Result:
    """The result in the library of the sets; raises NonFiniteValue if a value is not finite."""
    value, gx, gy = result
    if not seems_finite(value):
        raise NonFiniteValue
    restore, like = backend.restore, sets.x
    return (
        restore(value, like),
        None if gx is None else restore(gx, like),
        None if gy is None else restore(gy, like),
    )
