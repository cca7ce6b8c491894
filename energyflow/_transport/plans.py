"""Transport plans as lists of pairs, and plans that stay inside groups of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from energyflow_backends import Doubles
from numpy.typing import NDArray

Places: TypeAlias = NDArray[np.intp]
_UNEQUAL = 1e-5  # of a group's mass: rounding of weights in float32


@dataclass(frozen=True)
class Plan:
    """What goes where: `mass` from the points `rows` of one set to `columns` of the other."""

    rows: Places
    columns: Places
    mass: Doubles

    @classmethod
    def of(cls, dense: NDArray[Any]) -> Plan:
        """The pairs with mass of a plan (N, M)."""
        rows, columns = np.nonzero(dense)
        return cls(rows, columns, dense[rows, columns].astype(np.float64))

    def within(self, rows: Places, columns: Places, share: float) -> Plan:
        """The same plan between these points of larger sets, which carry a share of all mass."""
        return Plan(rows[self.rows], columns[self.columns], self.mass * share)


def plan_in_groups(
    plan: Callable[[Places, Places, Doubles, Doubles], Plan],
    groups: tuple[Places, Places],
    a: Doubles,
    b: Doubles,
) -> Plan:
    """One plan of plans inside each group; the mean over groups by their mass.

    Raises
    ------
    ValueError
        A group does not have the same mass on both sides.
    """
    parts = []
    for group in np.union1d(*groups):
        rows, columns = (np.flatnonzero(numbers == group) for numbers in groups)
        share, other = float(a[rows].sum()), float(b[columns].sum())
        if abs(share - other) > _UNEQUAL * max(share, other):
            raise ValueError(
                f"both sets must give each condition the same mass, got {share:g} and {other:g} "
                f"for group {group}; conditions that differ need a finite beta"
            )
        if share > 0 and other > 0:
            inner = plan(rows, columns, a[rows] / share, b[columns] / other)
            parts.append(inner.within(rows, columns, share))
    rows, columns, mass = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("rows", "columns", "mass")
    )
    order = np.argsort(rows, kind="stable")
    return Plan(rows[order], columns[order], mass[order])


def groups_of_equal(y_x: Doubles, y_z: Doubles) -> tuple[Places, Places]:
    """Numbers of groups, (N,) and (M,), of equal rows of the conditions."""
    both = np.concatenate([y_x, y_z]) + 0.0  # -0 is 0
    number = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return number[: len(y_x)], number[len(y_x) :]
