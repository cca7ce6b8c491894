"""Bounds of parameters: numbers, or the support of a prior of SciPy or torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from energyflow_backends import Doubles, Floats, library_of, to_host

from ..._core.checks import as_numbers

_WANTED = (
    "(low, high), each a number or an array (d,), a distribution of scipy.stats or torch, or a "
    "sequence of distributions"
)


@dataclass(frozen=True, eq=False)
class Bounds:
    """Parameters lie between low and high, (d,) or one for all; -inf and inf where there is none.

    Raises
    ------
    ValueError
        If shapes differ, numbers are NaN, or no number lies between.
    """

    low: Doubles
    high: Doubles

    def __post_init__(self) -> None:
        if self.low.shape != self.high.shape or self.low.ndim > 1 or not self.low.size:
            raise ValueError(
                "bounds must be numbers or arrays (d,) of one length, "
                f"got shapes {self.low.shape} and {self.high.shape}"
            )
        if not (self.low < self.high).all():  # nor is NaN
            raise ValueError(f"bounds must have low < high, got {self.low} and {self.high}")
        if (self.low == np.inf).any() or (self.high == -np.inf).any():
            raise ValueError("bounds must have a finite number between low and high")
        with np.errstate(over="ignore"):
            finite = np.isfinite(self.low) & np.isfinite(self.high)
            if np.isinf(self.high - self.low)[finite].any():
                raise ValueError("bounds must be closer: high - low exceeds float64")

    @classmethod
    def of(cls, bounds: Any) -> Self:
        """Read what a user gives: ``(low, high)``, a distribution, or one for each parameter.

        Raises
        ------
        TypeError, ValueError
            If it is none of these, or a distribution has no box for its support; or if lists
            ``[[a, b], [c, d]]`` may as well be pairs (low, high) of each parameter.
        """
        if hasattr(bounds, "support"):
            low, high = _support(bounds)
            return cls(*map(np.atleast_1d, _together(low, high)))
        if not isinstance(bounds, Sequence | np.ndarray) or isinstance(bounds, str | bytes):
            raise TypeError(f"bounds must be {_WANTED}, got {type(bounds).__name__}")
        if any(hasattr(part, "support") for part in bounds):
            if others := [part for part in bounds if not hasattr(part, "support")]:
                raise TypeError(
                    "bounds must be distributions throughout where one is: stats.uniform(low, "
                    f"high - low) in place of a pair, got {type(others[0]).__name__}"
                )
            parts = [cls.of(part) for part in bounds]
            return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("low", "high")))
        if len(bounds) != 2:
            raise ValueError(f"bounds must be {_WANTED}, got {len(bounds)} entries")
        sides = _together(*bounds)
        if not isinstance(bounds, tuple) or all(isinstance(part, tuple) for part in bounds):
            _check_no_pairs(np.stack(sides) if sides[0].shape == sides[1].shape else sides[0])
        return cls(*sides)

    def of_columns(self, d: int) -> tuple[Doubles, Doubles]:
        """Lower and upper bounds of each of d parameters."""
        if self.low.shape not in ((), (1,), (d,)):
            raise ValueError(f"bounds must be of the {d} parameters, got {len(self.low)} of them")
        low, high = (np.broadcast_to(side, (d,)).copy() for side in (self.low, self.high))
        return low, high


def _check_no_pairs(given: Doubles) -> None:
    """Refuse what may as well be pairs (low, high) of two parameters, as in scipy.optimize."""
    if given.shape != (2, 2) or (given == given.T).all() or not (given[:, 0] < given[:, 1]).all():
        return
    lows, highs = given.T.tolist()
    raise ValueError(
        "bounds must be (lows, highs), and not a pair of each parameter, got "
        f"{given.tolist()}, which may be either: for pairs write bounds=({lows}, {highs}), else "
        f"bounds=({given[0].tolist()}, {given[1].tolist()})"
    )


def _together(low: Any, high: Any) -> tuple[Doubles, Doubles]:
    """Both as arrays of one shape."""
    sides = [as_numbers("bounds", _plain(side)) for side in (low, high)]
    if () in (sides[0].shape, sides[1].shape):
        sides = [side.copy() for side in np.broadcast_arrays(*sides)]
    return sides[0], sides[1]


def _plain(side: Any) -> Any:
    return to_host(side) if library_of(side) is not None else side


def _support(distribution: Any) -> tuple[Any, Any]:
    """Both ends of the support of a distribution of SciPy (a method) or of torch."""
    support = distribution.support
    if callable(support):  # pragma: no branch - a constraint of torch is not
        low, high = support()
        return low, high
    shape = tuple(distribution.batch_shape) + tuple(distribution.event_shape)
    low, high = (np.broadcast_to(side, shape or (1,)) for side in _box(support))
    return low.ravel(), high.ravel()


def _box(constraint: Any) -> tuple[Floats, Floats]:
    """Both ends of a constraint of torch."""
    if hasattr(constraint, "base_constraint"):
        return _box(constraint.base_constraint)
    if hasattr(constraint, "cseq"):  # of several distributions, side by side
        lengths = getattr(constraint, "lengths", [1] * len(constraint.cseq))
        sides = [
            [np.broadcast_to(side, (length,)) for side in _box(part)]
            for part, length in zip(constraint.cseq, lengths, strict=True)
        ]
        low, high = (np.concatenate(side) for side in zip(*sides, strict=True))
        return low, high
    ends = [getattr(constraint, f"{side}_bound", None) for side in ("lower", "upper")]
    if ends == [None, None] and not str(constraint).startswith("Real"):
        raise TypeError(f"bounds must be of a distribution on a box, got support {constraint}")
    return _end(ends[0], -np.inf), _end(ends[1], np.inf)


def _end(bound: Any, otherwise: float) -> Doubles:
    return np.asarray(otherwise if bound is None else _plain(bound), np.float64)
