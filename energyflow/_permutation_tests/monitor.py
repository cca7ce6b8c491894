"""A fitted reference, against which new batches are tested one after another."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import chain, islice
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import energyflow_backends as backends
import numpy as np
from energyflow_backends import Doubles, known_values, to_host
from numpy.typing import NDArray

from .._core.checks import check_choice, check_count, check_finite, check_number, check_points
from .._core.files import follow_link, write_arrays
from .._core.random import Rng, as_source
from .._core.reading import opened_archive
from .._core.tables.columns import as_table, in_order_of, is_table
from .._slices.directions import SLICINGS, sampled_projector
from .._slices.slicing import SlicingName
from .samples import as_sample
from .several import pvalue

_FORMAT = 1
_FARTHEST = 1e150  # units of the reference: sums of distances stay finite
_MOST = 10**7  # slices, relabellings
_HELD = 2**28  # bytes of relabellings at once
_BYTES_EACH = 32  # of a point in a relabelling: its place, drawn and stacked, and its numbers
_ROUNDING = 1e-12  # of the mean distance in the reference, below which a difference is rounding


@dataclass(frozen=True)
class BatchTest:
    """The test of one batch against the reference of an `EnergyMonitor`.

    Attributes
    ----------
    number : int
        Of the batch, from 1.
    statistic : float
        Sliced energy distance between the reference and the batch, after scaling.
    pvalue : float
        Of this batch by itself.
    level : float
        What the p-value is compared with: alpha / n_batches.
    alarm : bool
        Whether the p-value is at most the level.
    """

    number: int
    statistic: float
    pvalue: float
    level: float
    alarm: bool


class EnergyMonitor:
    r"""A fitted reference, against which many new batches are tested by their energy distance.

    Each batch has a permutation test of its own, `energy_test` by slices. Levels are corrected by
    Bonferroni: a batch raises an alarm where its p-value is at most

    .. math:: \alpha / n_{\mathrm{batches}} ,

    so that the probability of one false alarm or more among the planned batches is at most alpha,
    although all are compared with one reference. Further batches are refused.

    Parameters
    ----------
    reference : array (N, d) or (N,), or a data frame
        Points that are as they should be.
    n_batches : int
        Number of batches that will be tested.
    alpha : float
        Probability of a false alarm in all of them, between 0 and 1.
    n_resamples : int, optional
        Random relabellings of each test; 5 n_batches / alpha when not given. There can be no alarm
        unless 1 / (1 + n_resamples) is at most the level.
    n_projections : int
        Number of slices P.
    slicing : str
        How directions are drawn, a name as in `sliced_energy_distance`.
    scale : "sd" or "none"
        Whether columns are divided by their standard deviations in the reference.
    rng : int, generator or None
        Where directions and relabellings come from. None draws fresh entropy.

    Raises
    ------
    TypeError, ValueError
        As `energy_test`; also numbers out of range.

    Notes
    -----
    The reference is projected and sorted once, O(P N (d + log N)), and takes 20 P N bytes. A batch
    of m points costs O(P (N + R m log m)) for R relabellings, however large the reference is beyond
    that, and takes at most 256 MiB of them at a time.

    With "sd" the units are those of the reference, whatever the labels: p-values are exact for
    "none", and for "sd" up to the part of the batch in all points.

    References
    ----------
    Székely, Rizzo, "Testing for equal distributions in high dimension", InterStat 2004.
    """

    def __init__(
        self,
        reference: Any,
        *,
        n_batches: int = 100,
        alpha: float = 0.05,
        n_resamples: int | None = None,
        n_projections: int = 128,
        slicing: SlicingName = "auto",
        scale: Literal["none", "sd", "rank"] = "sd",
        rng: Rng = None,
    ) -> None:
        self.n_batches = check_count("n_batches", n_batches)
        self.alpha = check_number("alpha", alpha)
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
        if n_resamples is None:
            n_resamples = math.ceil(5 * self.n_batches / self.alpha)
        self.n_resamples = check_count("n_resamples", n_resamples, maximum=_MOST)
        self.n_projections = check_count("n_projections", n_projections, maximum=_MOST)
        self.slicing = check_choice("slicing", slicing, SLICINGS)
        self.scale = check_choice("scale", scale, ("sd", "none"))
        self.tested = 0
        source = as_source(rng)
        self._seed = int(rng if isinstance(rng, Integral) else source.host(0, 0).integers(2**31))
        self.columns: tuple[str, ...] | None = None
        if is_table(reference):
            table = as_table("reference", reference)
            self.columns, self._reference = table.columns, table.values
        else:
            self._reference = _points("reference", reference)
        self._fit()

    @property
    def level(self) -> float:
        """What p-values are compared with."""
        return self.alpha / self.n_batches

    def __repr__(self) -> str:
        n, d = self._reference.shape
        return (
            f"EnergyMonitor({n} points in {d} dimensions, {self.tested} of {self.n_batches} "
            f"batches tested at {self.level:.3g} each)"
        )

    def score(self, batch: Any) -> float:
        """The sliced energy distance between the reference and a batch (m, d), without a test.

        Raises
        ------
        TypeError, ValueError
            As `test`.
        """
        rows = self._rows(batch)
        return float(self._energies(rows, self._own_places(rows))[0]) * self._length

    def test(self, batch: Any) -> BatchTest:
        """Test a batch (m, d) of new points, the next of those that were planned.

        Raises
        ------
        TypeError
            The batch is not of the kind of the reference.
        ValueError
            Its shape or its columns do not fit, a number is NaN or infinite, or all planned batches
            have been tested.
        """
        if self.tested == self.n_batches:
            raise ValueError(
                f"batch must be one of the {self.n_batches} that were planned, all of which have "
                "been tested: fit a monitor with more n_batches"
            )
        rows = self._rows(batch)
        rng = as_source(self._seed).host(1 + self.tested, 0)
        n, m = len(self._reference), rows.shape[1]
        draws = range(self.n_resamples)
        drawn = (rng.choice(n + m, m, replace=False, shuffle=False) for _ in draws)
        subsets = chain(self._own_places(rows), drawn)
        at_once = max(1, _HELD // (_BYTES_EACH * m))
        computed = []
        while block := list(islice(subsets, at_once)):
            computed.append(self._energies(rows, np.stack(block)))
        energies = np.concatenate(computed)  # (1 + R,)
        p = pvalue(energies, self._rounding)
        self.tested += 1
        return BatchTest(
            self.tested, float(energies[0]) * self._length, p, self.level, p <= self.level
        )

    def save(self, path: str | Path) -> Path:
        """Write the reference, the settings and the number of batches tested to a .npz file.

        A link is followed.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        state = {
            "format": _FORMAT, "columns": self.columns, "n_batches": self.n_batches,
            "alpha": self.alpha, "n_resamples": self.n_resamples,
            "n_projections": self.n_projections, "slicing": self.slicing, "scale": self.scale,
            "tested": self.tested, "seed": self._seed,
        }  # fmt: skip
        arrays = {"reference": self._reference, "state": np.array(json.dumps(state))}
        return write_arrays(follow_link(path), arrays)

    @classmethod
    def load(cls, path: str | Path) -> EnergyMonitor:
        """Read what `save` wrote; the next batch has the result that it would have had.

        Raises
        ------
        OSError, ValueError
            If the file cannot be read, or is not a saved monitor.
        """
        try:
            with opened_archive(Path(path)) as archive:
                missing = [name for name in ("reference", "state") if name not in archive.names]
                if missing:
                    raise ValueError(f"it has no {', '.join(missing)}")
                reference = archive.read("reference")
                state = json.loads(str(archive.read("state", "U")))
            if not isinstance(state, dict) or state.pop("format", None) != _FORMAT:
                raise ValueError(f"its format is not {_FORMAT}")
            columns, tested = state.pop("columns"), state.pop("tested")
            monitor = cls(reference, rng=state.pop("seed"), **state)
            monitor.tested = check_count("tested", tested, 0, monitor.n_batches)
            if columns is not None:
                monitor.columns = tuple(map(str, columns))
                if len(monitor.columns) != monitor._reference.shape[1]:
                    raise ValueError(f"it has {len(columns)} names for {reference.shape}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{path} is not a saved monitor: {error}") from None
        return monitor

    def _fit(self) -> None:
        """Choose units and directions, and sort the reference."""
        low, high = self._reference.min(axis=0), self._reference.max(axis=0)
        self._middle = low / 2 + high / 2
        extents = high / 2 - low / 2
        units = np.where(extents > 0, extents, 1.0)
        if self.scale == "sd":
            deviations = ((self._reference - self._middle) / units).std(axis=0)
            units, self._length = units * np.where(deviations > 0, deviations, 1.0), 1.0
        else:
            self._length = float(units.max())
            units = np.full_like(units, self._length)
        self._units = units
        d, source = self._reference.shape[1], as_source(self._seed)
        self._projector = sampled_projector(self.n_projections, d, self.slicing, source)
        rows = self._projected(self._reference)
        self._rounding = _ROUNDING * float(np.abs(rows).mean()) * self._projector.constant(1.0)
        self._sorted = backends.SortedRows(rows)

    def _energies(self, rows: Doubles, places: Any) -> Doubles:
        """Sliced energy distances of subsets of the pooled points, in the unit of length."""
        energies = self._sorted.subset_energies(rows, places)
        return energies * (self._projector.constant(1.0) / self._projector.n_projections)

    def _own_places(self, rows: Doubles) -> NDArray[np.int64]:
        """The batch as a subset of the pooled points, (1, m)."""
        n = len(self._reference)
        return np.arange(n, n + rows.shape[1])[None]

    def _rows(self, batch: Any) -> Doubles:
        """Projections of a batch, whose columns may come in any order."""
        if is_table(batch) != (self.columns is not None):
            kind = "an array" if self.columns is None else "a table"
            raise TypeError(f"batch must be {kind} as the reference is, got {type(batch).__name__}")
        if self.columns is not None:
            table = in_order_of(("reference", self.columns), "batch", as_table("batch", batch))
            return self._projected(table.values)
        points = _points("batch", batch)
        if points.shape[1] != self._reference.shape[1]:
            raise ValueError(
                f"batch must have shape (m, {self._reference.shape[1]}), got {points.shape}"
            )
        return self._projected(points)

    def _projected(self, points: Doubles) -> Doubles:
        with np.errstate(over="ignore"):
            scaled = (points - self._middle) / self._units
        if not (np.abs(scaled) < _FARTHEST).all():
            raise ValueError("batch must lie near enough to the reference for finite distances")
        return np.ascontiguousarray(self._projector.project(scaled[None])[0])


def _points(name: str, given: Any) -> Doubles:
    """Points (n, d) on the host."""
    points = as_sample(name, given)
    check_points(name, points)
    if points.ndim != 2:
        raise ValueError(f"{name} must have shape (n, d) or (n,), got {tuple(points.shape)}")
    if not known_values(points):
        raise TypeError(f"{name} must have values: a test cannot be traced")
    check_finite(name, points)
    return to_host(points).astype(np.float64)
