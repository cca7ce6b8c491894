"""From what users have to samples of points: frames, lists, whole numbers, points on a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat as compat
import numpy as np
from energyflow_backends import (
    Array,
    Doubles,
    library_of,
    namespace,
    to_host,
)

from .._core.checks import as_floats, check_choice, check_finite, check_points, warn
from .._core.tables.columns import as_table, in_order_of, is_series, is_table, numbers_of
from .pooled import PooledPoints

_RATIO = 10.0  # of the columns' standard deviations, from which on there is a warning


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of points (n_g, d) in one unit, and what was done to bring them there.

    Attributes
    ----------
    points : tuple of arrays (n_g, d)
    columns : tuple of str, optional
        Names of the coordinates, where there are some.
    scale : str
        "none", "sd" or "rank".
    """

    points: tuple[Array, ...]
    columns: tuple[str, ...] | None
    scale: Literal["none", "sd", "rank"]


def as_samples(samples: tuple[Any, ...], scale: Any, names: Sequence[str]) -> Samples:
    """Samples as a test compares them; `names` are those of the samples in messages.

    Columns of frames are matched by name. "auto" divides them by their pooled standard deviations,
    and leaves arrays as they are.
    """
    check_choice("scale", scale, ("auto", "none", "sd", "rank"))
    columns: tuple[str, ...] | None = None
    points: list[Array] = []
    tables = [is_table(sample) for sample in samples]
    if any(tables):
        if not all(tables):
            odd = tables.index(False)
            raise TypeError(
                f"samples must be all tables or all arrays, got {type(samples[odd]).__name__} as "
                f"{names[odd]} beside the table {names[tables.index(True)]}"
            )
        read = [as_table(name, sample) for name, sample in zip(names, samples, strict=True)]
        columns = read[0].columns
        first = names[0], columns
        points = [in_order_of(first, name, t).values for name, t in zip(names, read, strict=True)]
    else:
        like = next((sample for sample in samples if library_of(sample) is not None), None)
        points = [as_sample(name, s, like) for name, s in zip(names, samples, strict=True)]
    chosen: Any = scale if scale != "auto" else ("none" if columns is None else "sd")
    if chosen != "none":
        points = _scaled(points, chosen, names)
    return Samples(tuple(points), columns, chosen)


def as_sample(name: str, sample: Any, like: Any = None) -> Array:
    """Points (n, d) in float64 of lists, columns and whole numbers; numbers (n,) lie on a line.

    like : an array beside it, see `as_floats`.
    """
    if is_series(sample):
        sample = numbers_of(name, str(sample.name), sample)
    sample = as_floats(name, sample, like)
    if library_of(sample) is not None and sample.ndim == 1:
        sample = sample[:, None]
    points: Array = sample
    return points


def warn_of_scales(pool: PooledPoints) -> None:
    """Warn where the widest columns decide alone."""
    deviations = pool.deviations()
    deviations = deviations[deviations > 0]
    if len(deviations) > 1 and deviations.max() > _RATIO * deviations.min():
        warn(
            "the standard deviations of the columns differ by a factor of "
            f"{deviations.max() / deviations.min():.3g}: the widest decide. "
            'scale="sd" divides by them, scale="none" takes columns as they are without a warning',
        )


def _scaled(points: list[Array], scale: str, names: Sequence[str]) -> list[Array]:
    """Points in units that are their own: parts of the standard deviation, or ranks."""
    for name, sample in zip(names, points, strict=True):
        check_points(name, sample)
        check_finite(name, sample)
    hosted = [to_host(sample).astype(np.float64) for sample in points]
    if len({part.shape[1:] for part in hosted}) > 1:
        return points  # an error of shapes, which pooling reports
    pooled = np.concatenate(hosted)
    if scale == "sd":
        pooled = pooled - (pooled.min(axis=0) / 2 + pooled.max(axis=0) / 2)
        extents = np.abs(pooled).max(axis=0)  # first, so that squares neither overflow nor vanish
        pooled = pooled / np.where(extents > 0, extents, 1.0)
        deviations = pooled.std(axis=0)
        pooled = pooled / np.where(deviations > 0, deviations, 1.0)
    else:
        from scipy.stats import rankdata

        pooled = rankdata(pooled, axis=0) / len(pooled)
    parts = np.split(pooled, np.cumsum([len(part) for part in hosted])[:-1])
    return [_like(part, sample) for part, sample in zip(parts, points, strict=True)]


def _like(part: Doubles, sample: Array) -> Array:
    return namespace(sample).asarray(part, dtype=sample.dtype, device=compat.device(sample))
