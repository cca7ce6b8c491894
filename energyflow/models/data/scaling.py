"""From a user's data and conditions to tensors of one scale, and back."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from energyflow_backends import library_of
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..._core.checks import check_choice, check_count, check_each, check_number, check_positive

Kind = Literal["labels", "vectors", "maps"]
_LABEL_WEIGHT = 10.0
_LAST_LABEL = 9999
_MOST_NUMBERS = 2**28  # of a point
_MOST_MOMENTS = 4096  # numbers of a point whose covariance is factorised
_LARGEST = torch.finfo(torch.float32).max / 4  # differences of samples are float32 too


def as_points(name: str, data: Any) -> Tensor:
    """Points (n, d) or images (n, C, H, W) on the CPU, finite, at least two.

    They are float32, or float64 where they came so: then a far offset goes before digits do.
    """
    tensor = _tensor(name, data)
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must have a real floating dtype, got {tensor.dtype}")
    if tensor.ndim not in (2, 4) or tensor.shape[0] < 2 or 0 in tensor.shape:
        raise ValueError(
            f"{name} must have shape (n, d) or (n, C, H, W) with n at least 2, "
            f"got {tuple(tensor.shape)}"
        )
    points = _finite(name, _wide(tensor).contiguous())
    if not points.abs().max() <= _LARGEST:
        raise ValueError(
            f"{name} must not exceed {_LARGEST:.2g}, got {points.abs().max().item():.2g}"
        )
    return points


@dataclass(frozen=True)
class Scaling:
    """(data - offset) / scale, with equal units in all directions."""

    offset: Tensor
    scale: Tensor

    @classmethod
    def standard(cls, points: Tensor) -> Scaling:
        """To mean 0 in each coordinate (images: one for all pixels) and mean square 1."""
        mean = points.mean(0 if points.ndim == 2 else (0, 1, 2, 3))
        scale = (points - mean).double().square().mean().sqrt().to(points)
        return cls(mean, scale if scale > 0 else torch.ones(()))

    @classmethod
    def of(cls, points: Tensor) -> Scaling:
        """Into the unit box; vectors have an offset for each coordinate, images one for all."""
        dims = 0 if points.ndim == 2 else (0, 1, 2, 3)
        low, high = points.amin(dims), points.amax(dims)
        scale = (high - low).amax()
        return cls(low, scale if scale > 0 else torch.ones(()))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Scaling:
        """Read what `tensors` gave, for points of that shape."""
        offset, scale = tensors["data.offset"], tensors["data.scale"]
        wanted = shape if len(shape) == 1 else ()
        for name, value, form in (("offset", offset, wanted), ("scale", scale, ())):
            if not value.is_floating_point() or tuple(value.shape) != form:
                raise ValueError(
                    f"data.{name} must be floating numbers of shape {form}, "
                    f"got {value.dtype} of shape {tuple(value.shape)}"
                )
            _finite(f"data.{name}", value)
        if not scale > 0:
            raise ValueError(f"data.scale must be positive, got {float(scale):g}")
        return cls(offset, scale)

    def apply(self, points: Tensor) -> Tensor:
        """To the units of the networks, as float32."""
        return ((points - self.offset.to(points.device)) / self.scale.to(points.device)).float()

    def undo(self, points: Tensor) -> Tensor:
        """Back to the units of the data, as float32."""
        return (points * self.scale.to(points.device) + self.offset.to(points.device)).float()

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights."""
        return {"data.offset": self.offset, "data.scale": self.scale}


@dataclass(frozen=True)
class Noise:
    """What samples start from: uniform on the unit box, or normal with the data's moments."""

    mean: Tensor | None = None  # (d,)
    factor: Tensor | None = None  # (k, d), of the covariance

    @classmethod
    def of(cls, kind: str, points: Tensor) -> Noise:
        """The noise of that kind for points in the units of the networks."""
        if kind == "uniform":
            return cls()
        flat = points.flatten(1).double()
        if flat.shape[1] > _MOST_MOMENTS:
            raise ValueError(
                f'start "normal" is for points of at most {_MOST_MOMENTS} numbers, '
                f"got {flat.shape[1]}"
            )
        mean = flat.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(flat.T).reshape(len(mean), -1))
        return cls(mean.float(), (vectors * values.clamp(min=0).sqrt()).T.float().contiguous())

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], size: int) -> Noise:
        """Read what `tensors` gave, for points of so many numbers."""
        mean, factor = tensors.get("data.noise_mean"), tensors.get("data.noise_factor")
        if mean is None or factor is None:
            return cls()
        if tuple(mean.shape) != (size,) or factor.ndim != 2 or factor.shape[1] != size:
            raise ValueError(
                f"noise must have a mean ({size},) and a factor (k, {size}), "
                f"got {tuple(mean.shape)} and {tuple(factor.shape)}"
            )
        return cls(mean.float(), factor.float())

    def draw(self, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """Points (n, *shape)."""
        if self.mean is None or self.factor is None:
            return torch.from_numpy(rng.random((n, *shape), np.float32))
        normal = torch.from_numpy(rng.standard_normal((n, len(self.factor)), np.float32))
        return (self.mean.cpu() + normal @ self.factor.cpu()).reshape(n, *shape)

    def tensors(self) -> dict[str, Tensor]:
        """For a file of weights; nothing for uniform noise."""
        if self.mean is None or self.factor is None:
            return {}
        return {"data.noise_mean": self.mean, "data.noise_factor": self.factor}


@dataclass(frozen=True)
class Conditions:
    """What a model knows of its conditions: their kind, shape and scale.

    Labels become unit vectors, others are moved to mean 0 and mean squared entry 1. classes are
    the labels that occur, in order; None where these are 0, 1, ..., shape[0] - 1.
    """

    kind: Kind
    shape: tuple[int, ...]  # as networks see them
    mean: float = 0.0
    scale: float = 1.0
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("labels", "vectors", "maps"))
        check_shape("shape", self.shape, {"labels": 1, "vectors": 1, "maps": 3}[self.kind])
        if not math.isfinite(check_number("mean", self.mean)):
            raise ValueError(f"mean must be finite, got {self.mean}")
        check_positive("scale", self.scale)
        if self.classes is not None:
            labels = check_each("classes", self.classes, _label)
            if list(labels) != sorted(set(labels)) or len(labels) != self.shape[0]:
                raise ValueError(f"classes must be {self.shape[0]} labels in order")

    @classmethod
    def of(cls, condition: Any, count: int, name: str = "condition") -> tuple[Conditions, Tensor]:
        """Read the conditions of `count` points; give them encoded as well."""
        tensor = _tensor(name, condition)
        if tensor.shape[:1] != (count,):
            raise ValueError(
                f"{name} must have one entry for each of the {count} points, "
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
            found = cls("labels", (len(classes),), classes=classes if gaps else None)
        elif tensor.ndim in (2, 4):
            wide = _finite(name, tensor).double()
            mean = float(wide.mean())
            scale = float((wide - mean).square().mean().sqrt()) or 1.0
            if not math.isfinite(scale):
                raise ValueError(f"{name} must be smaller, got {float(wide.abs().max()):.2g}")
            kind: Kind = "vectors" if tensor.ndim == 2 else "maps"
            found = cls(kind, tuple(tensor.shape[1:]), mean, scale)
        else:
            raise ValueError(
                f"{name} must be labels (n,), vectors (n, m) or maps (n, C, H, W), "
                f"got shape {tuple(tensor.shape)}"
            )
        return found, found.encode(tensor, count, name)

    @property
    def described(self) -> str:
        """What was learned, in messages."""
        return self.kind

    def encode(self, condition: Any, count: int, name: str = "condition") -> Tensor:
        """Conditions of `count` points as networks see them; a single one is repeated."""
        tensor = _tensor(name, condition)
        given = tuple(tensor.shape)
        single = 0 if self.kind == "labels" else len(self.shape)
        if tensor.ndim == single:
            tensor = tensor.expand(count, *tensor.shape)
        if self.kind == "labels":
            if tensor.is_floating_point() or tuple(tensor.shape) != (count,):
                raise ValueError(
                    f"{name} must be a label or {count} labels, got {tensor.dtype} of shape {given}"
                )
            return functional.one_hot(self._places(tensor, name), self.shape[0]).float()
        if tuple(tensor.shape) != (count, *self.shape):
            raise ValueError(
                f"{name} must have shape {self.shape} or {(count, *self.shape)}, got {given}"
            )
        return ((_wide(_finite(name, tensor)) - self.mean) / self.scale).float()

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
        strange = labels[known[places] != labels]
        if len(strange):
            told = f"from 0 to {count - 1}" if self.classes is None else f"among {self.classes}"
            raise ValueError(f"{name} must be labels {told}, got {int(strange[0])}")
        return places

    def weight(self, asked: float | str) -> float | str:
        """The factor of the encoded conditions in the flow."""
        return _LABEL_WEIGHT if asked == "auto" and self.kind == "labels" else asked

    def as_json(self) -> dict[str, Any]:
        """For settings.json."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in known.items()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Conditions:
        """What `as_json` gave."""
        listed: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in found.items()
        }
        return cls(**listed)


def check_shape(name: str, shape: Any, *lengths: int) -> tuple[int, ...]:
    """Sides of vectors or images that are not beyond all that is trained."""
    sides = check_each(name, shape, check_count)
    if len(sides) not in lengths or math.prod(sides) > _MOST_NUMBERS:
        raise ValueError(
            f"{name} must have {' or '.join(map(str, lengths))} entries, and no more than "
            f"{_MOST_NUMBERS} numbers, got {sides}"
        )
    return sides


def _label(name: str, value: Any) -> int:
    return check_count(name, value, minimum=0, maximum=_LAST_LABEL)


def fingerprint(*tensors: Tensor | None) -> str:
    """Of the bytes of data: a run goes on only with the data it began with."""
    total = 0
    for tensor in tensors:
        if tensor is not None:
            total = zlib.crc32(repr(tuple(tensor.shape)).encode(), total)
            total = zlib.crc32(tensor.contiguous().numpy().tobytes(), total)
    return f"{total:08x}"


def mean_distance(points: Tensor) -> float:
    """Between different points, of at most a thousand of them."""
    some = points[:: -(-len(points) // 1000)].flatten(1)
    return float(torch.cdist(some, some).sum() / (len(some) * max(len(some) - 1, 1)))


def given_back(points: Tensor, library: str) -> Tensor | NDArray[np.float32]:
    """As a tensor, or as a NumPy array."""
    return points if library == "torch" else points.cpu().numpy()


def _tensor(name: str, data: Any) -> Tensor:
    """Numbers as torch has them: whole ones as int64, others of a floating dtype."""
    if isinstance(data, Tensor):
        tensor = data.detach().cpu()
    elif library_of(data) is None and not isinstance(data, int | np.integer):
        raise TypeError(f"{name} must be a NumPy array or a tensor, got {type(data).__name__}")
    else:
        array = np.array(data)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
        plain = np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
        tensor = torch.asarray(array.astype(plain, copy=False))
    if tensor.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {tensor.dtype}")
    return tensor if tensor.is_floating_point() else tensor.long()


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _finite(name: str, tensor: Tensor) -> Tensor:
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite numbers")
    return tensor
