"""The tasks that make up a sliced energy distance of Dask arrays, for any of Dask's schedulers.

Nothing is computed here but the directions. Tasks project chunks of points on a group of slices,
gather whole rows for some slices at a time, compute these by the backend of the host, and project
the slopes of each chunk back. A group begins when the one before has ended, and reads the points
anew, so that neither points nor rows of other groups are kept in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed

from .._point_sets import PointSets, Request, Result
from .._projector import Projector
from .._registry import named, select_on_host
from .._typing import Native
from .recompute import recomputed

_SUM_OFF = 1e-2  # a sum of weights may be, as that of weights in half precision
_tasks = partial(da.blockwise, concatenate=True, align_arrays=False)


def distance(
    sets: PointSets,
    groups: list[Projector],
    scale: float,
    dtype: np.dtype[Any],
    per_task: int,
    request: Request,
) -> Result:
    """One pair of sets (N, d) and (M, d): their value () and gradients."""
    points: list[Native] = [sets.x, sets.y]
    weights: list[Native] = [sets.a, sets.b]
    whole = [v if v.numblocks[1] == 1 else v.rechunk({0: "auto", 1: -1}) for v in points]
    weights = [
        None if w is None else w.rechunk((v.chunks[0],))
        for w, v in zip(weights, whole, strict=True)
    ]
    plan = _Plan(weights, _middle(whole[0]), scale, dtype, per_task, request)
    sums: list[Native] = [None, None, None]
    for group in groups:
        done = [v for v in sums if v is not None]
        here = recomputed(whole, done) if done else whole
        new = _group(here, group, plan)
        sums = [p if q is None else p + q for p, q in zip(new, sums, strict=True)]
    value, gx, gy = sums
    return value, gx, gy


def _middle(x: Native) -> Any:
    """Where the first points lie if that is far from the origin, else 0, as a delayed value.

    Whatever is near these points is projected without loss of precision. The middle of all points
    would have to be known before any of them is projected, and so they would be read twice.
    """
    first = next(k for k, size in enumerate(x.chunks[0]) if size)
    return delayed(_middle_of)(x.blocks[first])


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is the same for all groups of slices."""

    weights: Sequence[Native]  # of x and of y
    middle: Any  # what is taken off the points, a delayed value
    scale: float
    dtype: np.dtype[Any]
    per_task: int  # slices whose whole rows a task gathers
    request: Request


def _group(points: Sequence[Native], projector: Projector, plan: _Plan) -> list[Native]:
    """The sums over the slices of one projector, times scale."""
    dtype, scale, request = plan.dtype, plan.scale, plan.request
    host, rays, count = select_on_host().name, delayed(projector), projector.n_projections
    rows = [
        _tasks(
            _project, "pn", v, "nd", new_axes={"p": count}, dtype=dtype, meta=np.empty((0, 0)),
            host=host, rays=rays, middle=plan.middle, kept=dtype,
        ).rechunk({0: plan.per_task})  # (P, N): whole rows are gathered by the next tasks
        for v in points
    ]  # fmt: skip
    operands: list[Any] = []
    for array, axes in zip((*rows, *plan.weights), ("pn", "pm", "n", "m"), strict=True):
        operands += [array, None if array is None else axes]
    solved = _tasks(
        _solve, "p", *operands, dtype=object, meta=np.empty(0),
        host=host, options=request._asdict(),  # Dask looks into tuples
    )  # fmt: skip
    value = _tasks(_part, "p", solved, "p", dtype=np.float64, meta=np.empty(0), place=0)
    sums: list[Native] = [value.sum() * scale, None, None]
    for place, name, v in zip((1, 2), ("x", "y"), points, strict=True):
        if name not in request.wrt:
            continue
        slopes = _tasks(
            _part, "pn", solved, "p", new_axes={"n": v.shape[0]}, dtype=dtype,
            meta=np.empty((0, 0)), place=place,
        )  # fmt: skip
        # first only cut, then only joined: no task holds many whole rows
        slopes = slopes.rechunk({1: v.chunks[0]}, method="tasks").rechunk({0: -1}, method="tasks")
        sums[place] = _tasks(
            _project_back, "nd", slopes, "pn", new_axes={"d": v.shape[1]}, dtype=dtype,
            meta=np.empty((0, 0)), host=host, rays=rays, scale=scale,
        )  # fmt: skip
    return sums


# -- tasks, on NumPy arrays ----------------------------------------------------------------------


def _middle_of(points: Any) -> Any:
    with np.errstate(all="ignore"):
        low, high = points.min(axis=0), points.max(axis=0)
        middle = low / 2 + high / 2
        far = abs(middle).max() > 2 * (high - low).max()
    return middle if far else np.zeros_like(middle)


def _project(points: Any, *, host: str, rays: Projector, middle: Any, kept: Any) -> Any:
    """Points (n, d) to rows (P, n)."""
    with np.errstate(all="ignore"):
        return named(host).project(rays, (points.astype(kept, copy=False) - middle)[None])[0]


def _solve(
    xs: Any, ys: Any, a: Any, b: Any, *, host: str, options: dict[str, Any]
) -> tuple[Any, ...]:
    """Values (P,) of whole rows (P, N) and (P, M), and slopes; all NaN in rows that are not finite.

    So are those of weights that are negative or do not sum to one. No error is raised: nobody may
    be there to see it.
    """
    weights = (
        None if w is None else np.broadcast_to(w, rows.shape) for w, rows in ((a, xs), (b, ys))
    )
    with np.errstate(all="ignore"):
        value: Native
        slopes: list[Native]
        value, *slopes = named(host).rows(PointSets(xs, ys, *weights), Request(**options))
        if not all(w is None or (w.min() >= 0 and abs(w.sum() - 1) < _SUM_OFF) for w in (a, b)):
            value = np.full_like(value, np.nan)
    for slope in slopes:
        if slope is not None:
            slope[~np.isfinite(value)] = np.nan
    return value, *slopes


def _part(solved: tuple[Any, ...], *, place: int) -> Any:
    return solved[place]


def _project_back(slopes: Any, *, host: str, rays: Projector, scale: float) -> Any:
    """Rows (P, n) to sums over the slices (n, d)."""
    return named(host).project_back(rays, slopes[None])[0] * slopes.dtype.type(scale)
