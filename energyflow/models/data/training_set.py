"""The data of a training in the units of the networks, and what settings.json says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from energyflow_backends import library_of
from torch import Tensor

from ..._core.checks import check_choice, check_count, check_flag, check_number
from ..._core.random import keyed_generator
from .arrays import as_points, check_shape, fingerprint, mean_distance
from .conditions_by_name import AnyConditions, conditions_from_json, read_conditions
from .scaling import Scaling

Pair = tuple[Tensor, Tensor | None]
_FEWEST_SHARED, _FEWEST_HELD_OUT = 20, 2  # points


@dataclass(frozen=True)
class Description:
    """What settings.json says of the data that a model learns, and of its network."""

    shape: tuple[int, ...]  # of one point
    library: str  # of the arrays: "numpy" or "torch"
    conditions: AnyConditions | None
    mean_distance: float  # between points in the units of the networks
    given_network: bool  # whether the network is the user's own
    name: str | None = None
    fingerprint: str | None = None
    n_components: int | None = None  # that are learned in place of the points

    @property
    def learned_shape(self) -> tuple[int, ...]:
        """Of a point as networks see it."""
        return self.shape if self.n_components is None else (self.n_components,)

    @property
    def condition_shape(self) -> tuple[int, ...]:
        """Of what is given with a point, as networks see it; (0,) for nothing."""
        return (0,) if self.conditions is None else self.conditions.shape

    def as_json(self) -> dict[str, Any]:
        """For settings.json."""
        return {
            "shape": list(self.shape),
            "library": self.library,
            "condition": None if self.conditions is None else self.conditions.as_json(),
            "spread": self.mean_distance,
            "given_network": self.given_network,
            "data": self.name,
            "fingerprint": self.fingerprint,
            "n_components": self.n_components,
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Description:
        """Read the result of `as_json`.

        Raises
        ------
        AttributeError, KeyError, TypeError, ValueError, RecursionError
            Entries are missing or wrong.
        """
        conditions, n_components = entries["condition"], entries.get("n_components")
        distance = entries["spread"]
        if not 0 <= check_number("spread", distance) < math.inf:
            raise ValueError(f"spread must be at least 0, got {distance}")
        return cls(
            check_shape("shape", entries["shape"], 1, 3),
            check_choice("library", entries["library"], ("numpy", "torch")),
            None if conditions is None else conditions_from_json(conditions),
            distance,
            check_flag("given_network", entries["given_network"]),
            entries["data"],
            entries["fingerprint"],
            None if n_components is None else check_count("n_components", n_components),
        )


@dataclass(frozen=True)
class TrainingSet:
    """Points (n, *shape) and conditions (n, *) as networks see them."""

    points: Tensor
    condition: Tensor | None
    scaling: Scaling
    description: Description

    @classmethod
    def of(
        cls, data: Any, condition: Any, *, standardised: bool, given_network: bool, name: str | None
    ) -> TrainingSet:
        """Read what a user gives; see `Description`."""
        if not isinstance(name, str | None):
            raise TypeError(f"name must be text, got {type(name).__name__}")
        points = as_points("data", data)
        conditions, encoded = None, None
        if condition is not None:
            conditions, encoded = read_conditions(condition, len(points))
        scaling = Scaling.standard(points) if standardised else Scaling.of(points)
        scaled = scaling.apply(points)
        description = Description(
            tuple(points.shape[1:]),
            "torch" if library_of(data) == "torch" else "numpy",
            conditions,
            mean_distance(scaled),
            given_network,
            name,
            fingerprint(points, encoded),
        )
        return cls(scaled, encoded, scaling, description)

    def whitened(self) -> TrainingSet:
        """Vectors with the identity as their covariance in the units of the networks."""
        points = self.scaling.undo(self.points)
        return self._scaled(points, self.scaling.whitened(points))

    def in_components(self, share: float) -> TrainingSet:
        """Coordinates along principal axes, the fewest that keep a share of the variance."""
        points = self.scaling.undo(self.points)
        return self._scaled(points, self.scaling.in_components(points, share))

    def in_units(self, scaling: Scaling) -> TrainingSet:
        """The same by another scaling."""
        return self._scaled(self.scaling.undo(self.points), scaling)

    def _scaled(self, points: Tensor, scaling: Scaling) -> TrainingSet:
        scaled = scaling.apply(points)
        found = None if scaling.components is None else scaled.shape[1]
        description = replace(
            self.description, mean_distance=mean_distance(scaled), n_components=found
        )
        return replace(self, points=scaled, scaling=scaling, description=description)

    def shared(self, share: float, seed: int, of_a_class: int) -> tuple[TrainingSet, Pair | None]:
        """Without a share of the points, drawn at random, which is held out.

        So many of each class stay, and nothing is held out where it would be fewer than two.
        """
        n, conditions = len(self.points), self.description.conditions
        if n < _FEWEST_SHARED or not share:
            return self, None
        held = torch.zeros(n, dtype=torch.bool)
        order = keyed_generator(seed, "validation").permutation(n)
        held[order[: int(share * n)]] = True
        classes = None
        if conditions is not None and self.condition is not None:
            classes = conditions.split(self.condition)[0]
        if classes is not None:
            left = torch.bincount(classes[~held], minlength=int(classes.max()) + 1)
            held &= left[classes] >= of_a_class
        if int(held.sum()) < _FEWEST_HELD_OUT:
            return self, None
        (mine, mine_given), (theirs, theirs_given) = (
            (self.points[rows], None if self.condition is None else self.condition[rows])
            for rows in (~held, held)
        )
        return replace(self, points=mine, condition=mine_given), (theirs, theirs_given)

    def held_out(self, data: Any, condition: Any) -> Pair:
        """Held-out points with their conditions, as networks see them."""
        points = as_points("held_out", data)
        if tuple(points.shape[1:]) != self.description.shape:
            raise ValueError(
                f"held_out must have points of shape {self.description.shape}, "
                f"got {tuple(points.shape[1:])}"
            )
        conditions = self.description.conditions
        if (condition is None) != (conditions is None):
            raise ValueError("held_out_condition must be given with condition, and only then")
        encoded = None
        if conditions is not None:
            name = "held_out_condition (of held_out, like condition)"
            encoded = conditions.encode(condition, len(points), name)
        return self.scaling.apply(points), encoded
