"""From what users have to samples of points: frames, lists, whole numbers, points on a line."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import array_api_compat as compat
import numpy as np
from energyflow_backends import (
    Array,
    Doubles,
    dtype_name,
    known_values,
    library_of,
    namespace,
    to_host,
)

from .._core.checks import as_numbers, check_choice, check_finite, check_points
from .._core.tables import as_table, in_order_of, is_table

_RATIO = 10.0  # of the columns' spreads, beyond which a warning is worth it
_SEEN = 10_000  # points of each sample that a warning looks at
_WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


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
    scale: str


def as_samples(samples: tuple[Any, ...], scale: str) -> Samples:
    """Samples as the test compares them.

    Columns of frames are matched by name. "auto" divides them by their pooled standard deviations
    and leaves arrays as they are, with a warning where the spreads of their columns differ by more
    than ten times.
    """
    check_choice("scale", scale, ("auto", "none", "sd", "rank"))
    tables = [is_table(sample) for sample in samples]
    columns: tuple[str, ...] | None = None
    points: list[Array] = []
    if any(tables):
        if not all(tables):
            odd = tables.index(False)
            raise TypeError(
                f"samples must be all tables or all arrays, got {type(samples[odd]).__name__} as "
                f"samples[{odd}] beside a table"
            )
        read = [as_table(f"samples[{k}]", sample) for k, sample in enumerate(samples)]
        columns = read[0].columns
        points = [in_order_of(columns, f"samples[{k}]", t).values for k, t in enumerate(read)]
    else:
        points = [as_sample(f"samples[{k}]", sample) for k, sample in enumerate(samples)]
    chosen = scale if scale != "auto" else ("none" if columns is None else "sd")
    if chosen != "none":
        points = _scaled(points, chosen)
    elif scale == "auto":
        _warn_of_spreads(points)
    return Samples(tuple(points), columns, chosen)


def as_sample(name: str, sample: Any) -> Array:
    """Points (n, d): lists and whole numbers become float64, numbers (n,) points on a line."""
    if isinstance(sample, list | tuple):
        sample = as_numbers(name, sample)
    elif _is_whole(sample):
        xp = namespace(sample)
        sample = xp.astype(sample, xp.float64)
    if library_of(sample) is not None and sample.ndim == 1:
        sample = sample[:, None]
    points: Array = sample
    return points


def _is_whole(sample: Any) -> bool:
    """Whether an array holds whole numbers that are known."""
    if library_of(sample) is None or isinstance(sample, np.ma.MaskedArray | np.matrix):
        return False
    return dtype_name(sample) in _WHOLE and known_values(sample)


def _scaled(points: list[Array], scale: str) -> list[Array]:
    for number, sample in enumerate(points):
        check_points(f"samples[{number}]", sample)
        check_finite(f"samples[{number}]", sample)
    hosted = [to_host(sample).astype(np.float64) for sample in points]
    if len({part.shape[1:] for part in hosted}) > 1:
        return points  # told when the points are pooled
    pooled = np.concatenate(hosted)
    if scale == "sd":
        pooled = pooled - (pooled.min(axis=0) / 2 + pooled.max(axis=0) / 2)
        spread = pooled.std(axis=0)
        pooled = pooled / np.where(spread > 0, spread, 1.0)
    else:
        from scipy.stats import rankdata

        pooled = rankdata(pooled, axis=0) / len(pooled)
    parts = np.split(pooled, np.cumsum([len(part) for part in hosted])[:-1])
    return [_like(part, sample) for part, sample in zip(parts, points, strict=True)]


def _like(part: Doubles, sample: Array) -> Array:
    return namespace(sample).asarray(part, dtype=sample.dtype, device=compat.device(sample))


def _warn_of_spreads(points: list[Array]) -> None:
    """Warn where one column decides; quietly pass over what the test itself refuses."""
    if any(library_of(v) is None or v.ndim != 2 or v.shape[0] == 0 for v in points):
        return
    if any("complex" in dtype_name(v) or dtype_name(v) == "object" for v in points):
        return
    if not all(known_values(v) for v in points) or len({v.shape[1] for v in points}) != 1:
        return
    if points[0].shape[1] < 2:
        return
    with np.errstate(all="ignore"):
        parts = [to_host(v[: min(v.shape[0], _SEEN), :]) for v in points]
        pooled = np.concatenate(parts, dtype=np.float64)
        size = np.abs(pooled).max()
        spread = (pooled / (size or 1.0)).std(axis=0)
    spread = spread[spread > 0]
    if len(spread) > 1 and spread.max() > _RATIO * spread.min():
        warnings.warn(
            f"the spreads of the columns differ by a factor of {spread.max() / spread.min():.3g}: "
            'the widest decide. scale="sd" divides by their standard deviations, scale="none" '
            "leaves them without this warning",
            stacklevel=5,
        )
