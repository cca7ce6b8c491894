"""Conditions of one kind: labels, vectors or maps, as networks see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._core.checks import check_choice, check_count, check_each, check_number, check_positive
from .arrays import as_tensor, check_finite, check_shape, dtype_of, widened

_LAST_LABEL = 9999
_DIMENSIONS = {"labels": 1, "vectors": 1, "series": 2, "maps": 3}
_KINDS: dict[int, Literal["vectors", "series", "maps"]] = {2: "vectors", 3: "series", 4: "maps"}


@dataclass(frozen=True)
class Conditions:
    """What a model knows of its conditions: their kind, shape and scale.

    Labels become unit vectors. Of vectors each number is moved to mean 0 and standard deviation 1
    by itself, with a mean and a scale for each, and so is each column of series or sets; maps share
    one of both, for mean 0 and mean squared entry 1, and so do vectors in runs of before. classes
    are the labels that occur, in order; None where these are 0, 1, ..., shape[0] - 1.
    """

    kind: Literal["labels", "vectors", "series", "maps"]
    shape: tuple[int, ...]  # as networks see them
    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, tuple(_DIMENSIONS))
        check_shape("shape", self.shape, _DIMENSIONS[self.kind])
        self._check_units("mean", self.mean, _check_real)
        self._check_units("scale", self.scale, check_positive)
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
        elif tensor.ndim in _KINDS and 0 not in tensor.shape:
            conditions = cls(_KINDS[tensor.ndim], tuple(tensor.shape[1:]), *_units(name, tensor))
        else:
            raise ValueError(
                f"{name} must be labels (n,), vectors (n, m), series (n, k, m) or maps "
                f"(n, C, H, W), got shape {tuple(tensor.shape)}"
            )
        return conditions, conditions.encode(tensor, count, name)

    @property
    def described(self) -> str:
        """What was learned, in messages."""
        return self.kind

    def resized(self, size: tuple[int, ...]) -> Conditions:
        """The same of maps of another height and width."""
        return replace(self, shape=(self.shape[0], *size))

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
        mean, scale = (
            torch.tensor(side, dtype=torch.float64) if isinstance(side, tuple) else side
            for side in (self.mean, self.scale)
        )
        return ((widened(check_finite(name, tensor)) - mean) / scale).float()

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

    def _check_units(self, name: str, value: Any, check: Callable[[str, Any], float]) -> None:
        """A number for all, or of vectors and series one for each column."""
        if not isinstance(value, tuple):
            check(name, value)
        elif (
            self.kind not in ("vectors", "series")
            or len(check_each(name, value, check)) != self.shape[-1]
        ):
            raise ValueError(f"{name} must be one number, or of vectors {self.shape[-1]} numbers")

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


def _units(name: str, tensor: Tensor) -> tuple[Any, Any]:
    """Mean and scale of vectors and series (..., m), tuples; of maps, a number for both."""
    wide = check_finite(name, tensor).double()
    if wide.ndim == 4:
        mean = wide.mean()
        scale = (wide - mean).square().mean().sqrt()
    else:
        wide = wide.reshape(-1, wide.shape[-1])
        mean = wide[0] + (wide - wide[0]).mean(0)  # exact where all are equal
        scale = (wide - mean).square().mean(0).sqrt()
    if not bool(torch.isfinite(scale).all()):
        raise ValueError(f"{name} must be smaller, got {float(wide.abs().max()):.2g}")
    scale = torch.where(scale > 0, scale, 1.0)
    if tensor.ndim == 4:
        return float(mean), float(scale)
    return tuple(mean.tolist()), tuple(scale.tolist())


def _check_real(name: str, value: Any) -> float:
    if not math.isfinite(check_number(name, value)):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def _check_label(name: str, value: Any) -> int:
    return check_count(name, value, minimum=0, maximum=_LAST_LABEL)
