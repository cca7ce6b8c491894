"""Several conditions at once, each by its name: labels beside continuous ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .conditions import Conditions

_LABEL_WEIGHT = 10.0


@dataclass(frozen=True)
class ConditionsByName:
    """Conditions that come as a dict of arrays; networks see them side by side in one vector.

    Labels stay unit vectors and each continuous condition has its own scale, as if it were alone.
    """

    parts: Mapping[str, Conditions]
    kind: ClassVar[str] = "several"

    @classmethod
    def of(cls, condition: Mapping[str, Any], count: int) -> tuple[ConditionsByName, Tensor]:
        """Read the conditions of `count` points; give them encoded as well."""
        if not condition:
            raise ValueError("condition must have at least one entry, got an empty dict")
        parts, encoded = {}, []
        for name, values in condition.items():
            if not isinstance(name, str):
                raise TypeError(f"condition must have names for keys, got {name!r}")
            parts[name], code = Conditions.of(values, count, _entry(name))
            if parts[name].kind in ("series", "maps"):
                raise ValueError(
                    f"{_entry(name)} must be labels (n,) or vectors (n, m) where there are "
                    f"several, got shape {tuple(code.shape)}"
                )
            encoded.append(code)
        return cls(parts), torch.cat(encoded, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """As networks see them."""
        return (sum(self._sizes),)

    @property
    def described(self) -> str:
        """What was learned, in messages."""
        return ", ".join(self.parts)

    def encode(self, condition: Any, count: int, name: str = "condition") -> Tensor:
        """Conditions of `count` points as networks see them; single ones are repeated."""
        if not isinstance(condition, Mapping):
            raise TypeError(
                f"{name} must be a dict of {self.described}, got {type(condition).__name__}"
            )
        if condition.keys() != self.parts.keys():
            given = ", ".join(map(str, condition))
            raise ValueError(f"{name} must have the entries {self.described}, got {given}")
        codes = [
            part.encode(condition[n], count, _entry(n, name)) for n, part in self.parts.items()
        ]
        return torch.cat(codes, 1)

    def split(self, encoded: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Encoded conditions (n, m) as classes (n,), one for each combination of labels, and as
        continuous numbers.
        """
        codes = torch.split(encoded, self._sizes, 1)
        pairs = [part.split(code) for part, code in zip(self.parts.values(), codes, strict=True)]
        labels = [classes for classes, _ in pairs if classes is not None]
        numbers = [values for _, values in pairs if values is not None]
        combined = None
        if labels:
            combined = torch.unique(torch.stack(labels, 1), dim=0, return_inverse=True)[1]
        return combined, torch.cat(numbers, 1) if numbers else None

    @property
    def _sizes(self) -> list[int]:
        return [math.prod(part.shape) for part in self.parts.values()]

    def as_json(self) -> dict[str, Any]:
        """For settings.json."""
        return {"kind": self.kind, "parts": {n: part.as_json() for n, part in self.parts.items()}}


AnyConditions = Conditions | ConditionsByName


def read_conditions(condition: Any, count: int) -> tuple[AnyConditions, Tensor]:
    """What a model learns of the conditions of `count` points, and these encoded."""
    if isinstance(condition, Mapping):
        return ConditionsByName.of(condition, count)
    return Conditions.of(condition, count)


def conditions_from_json(entries: Any) -> AnyConditions:
    """Read the result of `as_json`.

    Raises
    ------
    KeyError, TypeError, ValueError
        Entries are missing or wrong.
    """
    if not isinstance(entries, Mapping):
        raise TypeError(f"condition must be a dict, got {type(entries).__name__}")
    if entries["kind"] != ConditionsByName.kind:
        return Conditions.from_json(entries)
    parts = dict(entries["parts"])
    return ConditionsByName({name: Conditions.from_json(part) for name, part in parts.items()})


def weight_in_flows(weight: float | str, conditions: AnyConditions | None) -> float | str:
    """The factor of encoded conditions in a flow: "auto" weighs unit vectors of labels by 10."""
    labels = conditions is not None and conditions.kind == "labels"
    return _LABEL_WEIGHT if weight == "auto" and labels else weight


def _entry(name: str, argument: str = "condition") -> str:
    """One of several conditions, in messages."""
    return f'{argument}["{name}"]'
