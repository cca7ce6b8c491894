"""Conditions of one kind: labels, vectors or maps, as networks see them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._core.checks import check_choice, check_count, check_each, check_number, check_positive
from .arrays import as_tensor, check_finite, check_shape, dtype_of, widened

_LAST_LABEL = 9999
_DIMENSIONS = {"labels": 1, "vectors": 1, "maps": 3}


@dataclass(frozen=True)
class Conditions:
    """What a model knows of its conditions: their kind, shape and scale.

    Labels become unit vectors, others are moved to mean 0 and mean squared entry 1. classes are
    the labels that occur, in order; None where these are 0, 1, ..., shape[0] - 1.
    """

    kind: Literal["labels", "vectors", "maps"]
    shape: tuple[int, ...]  # as networks see them
    mean: float = 0.0
    scale: float = 1.0
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, tuple(_DIMENSIONS))
        check_shape("shape", self.shape, _DIMENSIONS[self.kind])
        if not math.isfinite(check_number("mean", self.mean)):
            raise ValueError(f"mean must be finite, got {self.mean}")
        check_positive("scale", self.scale)
        if self.classes is not None:
            labels = check_each("classes", self.classes, _check_label)
            if list(labels) != sorted(set(labels)) or len(labels) != self.shape[0]:
                raise ValueError(f"classes must be {self.shape[0]} labels in order")

    @classmethod
    def of(cls, condition: Any, count: int, name: str = "condition") -> tuple[Conditions, Tensor]:
        """Read the conditions of `count` points; give them encoded as well."""
        tensor = as_tensor(name, condition)
        if tensor.shape[:1] != (count,):
            raise ValueError(
                f"{name} must have one entry for each of the {count} points of data, "
                f"got shape {tuple(tensor.shape)}"
            )
        if not tensor.is_floating_point():
            if tensor.ndim != 1 or tensor.min() < 0 or tensor.max() > _LAST_LABEL:
                raise ValueError(
                    f"{name} of integers must be labels (n,) from 0 to {_LAST_LABEL}, "
                    f"got shape {tuple(tensor.shape)}"
                )
            classes = tuple(np.unique(tensor.numpy()).tolist())
            gaps = classes != tuple(range(len(classes)))
            conditions = cls("labels", (len(classes),), classes=classes if gaps else None)
        elif tensor.ndim in (2, 4) and 0 not in tensor.shape:
            wide = check_finite(name, tensor).double()
            mean = float(wide.mean())
            scale = float((wide - mean).square().mean().sqrt()) or 1.0
            if not math.isfinite(scale):
                raise ValueError(f"{name} must be smaller, got {float(wide.abs().max()):.2g}")
            kind: Literal["vectors", "maps"] = "vectors" if tensor.ndim == 2 else "maps"
            conditions = cls(kind, tuple(tensor.shape[1:]), mean, scale)
        else:
            raise ValueError(
                f"{name} must be labels (n,), vectors (n, m) or maps (n, C, H, W), "
                f"got shape {tuple(tensor.shape)}"
            )
        return conditions, conditions.encode(tensor, count, name)

    @property
    def described(self) -> str:
        """What was learned, in messages."""
        return self.kind

    def encode(self, condition: Any, count: int, name: str = "condition") -> Tensor:
        """Conditions of `count` points as networks see them; a single one is repeated."""
        tensor = as_tensor(name, condition)
        given = tuple(tensor.shape)
        if tensor.ndim == (0 if self.kind == "labels" else len(self.shape)):
            tensor = tensor.expand(count, *tensor.shape)
        if self.kind == "labels":
            if tensor.is_floating_point() or tuple(tensor.shape) != (count,):
                raise ValueError(
                    f"{name} must be a label or {count} labels, "
                    f"got {dtype_of(tensor)} of shape {given}"
                )
            return functional.one_hot(self._places(tensor, name), self.shape[0]).float()
        if tuple(tensor.shape) != (count, *self.shape):
            raise ValueError(
                f"{name} must have shape {self.shape} or {(count, *self.shape)}, got {given}"
            )
        return ((widened(check_finite(name, tensor)) - self.mean) / self.scale).float()

    def split(self, encoded: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Encoded conditions (n, *) as classes (n,) and as continuous numbers (n, m)."""
        if self.kind == "labels":
            return encoded.argmax(1), None
        return None, encoded.flatten(1)

    def _places(self, labels: Tensor, name: str) -> Tensor:
        """Where the labels stand among the classes."""
        count = self.shape[0]
        known = torch.arange(count) if self.classes is None else torch.tensor(self.classes)
        places = torch.searchsorted(known, labels.contiguous()).clamp(max=count - 1)
        unknown = labels[known[places] != labels]
        if len(unknown):
            valid = f"from 0 to {count - 1}" if self.classes is None else f"among {self.classes}"
            raise ValueError(f"{name} must be labels {valid}, got {int(unknown[0])}")
        return places

    def as_json(self) -> dict[str, Any]:
        """For settings.json."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in known.items()}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Conditions:
        """Read the result of `as_json`."""
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in entries.items()
        }
        return cls(**values)


def _check_label(name: str, value: Any) -> int:
    return check_count(name, value, minimum=0, maximum=_LAST_LABEL)
