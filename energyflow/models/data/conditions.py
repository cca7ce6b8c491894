"""Several conditions at once, each by its name: labels beside continuous ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from .scaling import Conditions


@dataclass(frozen=True)
class SeveralConditions:
    """Conditions that come as a dict of arrays; networks see them side by side in one vector.

    Labels stay unit vectors and each continuous condition has its own scale, as if it were alone.
    """

    parts: Mapping[str, Conditions]
    kind: Literal["several"] = field(default="several", init=False)

    @classmethod
    def of(cls, condition: Mapping[str, Any], count: int) -> tuple[SeveralConditions, Tensor]:
        """Read the conditions of `count` points; give them encoded as well."""
        if not condition:
            raise ValueError("condition must have at least one entry, got an empty dict")
        parts, encoded = {}, []
        for name, values in condition.items():
            if not isinstance(name, str):
                raise TypeError(f"condition must have names for keys, got {name!r}")
            parts[name], code = Conditions.of(values, count, told(name))
            if parts[name].kind == "maps":
                raise ValueError(
                    f"{told(name)} must be labels (n,) or vectors (n, m) where there are several, "
                    f"got shape {tuple(code.shape)}"
                )
            encoded.append(code)
        return cls(parts), torch.cat(encoded, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """As networks see them."""
        return (sum(math.prod(part.shape) for part in self.parts.values()),)

    @property
    def described(self) -> str:
        """What was learned, in messages."""
        return ", ".join(self.parts)

    def encode(self, condition: Any, count: int) -> Tensor:
        """Conditions of `count` points as networks see them; single ones are repeated."""
        if not isinstance(condition, Mapping):
            raise TypeError(
                f"condition must be a dict of {self.described}, got {type(condition).__name__}"
            )
        if condition.keys() != self.parts.keys():
            given = ", ".join(map(str, condition))
            raise ValueError(f"condition must have the entries {self.described}, got {given}")
        codes = [
            part.encode(condition[name], count, told(name)) for name, part in self.parts.items()
        ]
        return torch.cat(codes, 1)

    def split(self, encoded: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Encoded conditions (n, m) as classes (n,), one for each combination of labels, and as
        continuous numbers.
        """
        labels, numbers = [], []
        codes = torch.split(encoded, [math.prod(part.shape) for part in self.parts.values()], 1)
        for part, code in zip(self.parts.values(), codes, strict=True):
            groups, kept = part.split(code)
            labels += [] if groups is None else [groups]
            numbers += [] if kept is None else [kept]
        combined = None
        if labels:
            combined = torch.unique(torch.stack(labels, 1), dim=0, return_inverse=True)[1]
        return combined, torch.cat(numbers, 1) if numbers else None

    def weight(self, asked: float | str) -> float | str:
        """The factor of the encoded conditions in the flow."""
        return asked

    def as_json(self) -> dict[str, Any]:
        """For settings.json."""
        return {
            "kind": self.kind,
            "parts": {name: part.as_json() for name, part in self.parts.items()},
        }


AnyConditions = Conditions | SeveralConditions


def read_conditions(condition: Any, count: int) -> tuple[AnyConditions, Tensor]:
    """What a model learns of the conditions of `count` points, and these encoded."""
    if isinstance(condition, Mapping):
        return SeveralConditions.of(condition, count)
    return Conditions.of(condition, count)


def revived(found: Any) -> AnyConditions:
    """What `as_json` gave.

    Raises
    ------
    KeyError, TypeError, ValueError
        Entries are missing or wrong.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"condition must be a dict, got {type(found).__name__}")
    if found["kind"] != "several":
        return Conditions.from_json(found)
    parts = dict(found["parts"])
    return SeveralConditions({name: Conditions.from_json(part) for name, part in parts.items()})


def told(name: str) -> str:
    """One of several conditions, in messages."""
    return f'condition["{name}"]'
