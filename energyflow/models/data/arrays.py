"""Users' arrays and tensors as tensors on the CPU, and back."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import torch
from energyflow_backends import Floats, library_of
from numpy.typing import NDArray
from torch import Tensor

from ..._core.checks import as_numbers, check_count, check_each

_MOST_NUMBERS = 2**28  # of a point
_LARGEST = torch.finfo(torch.float32).max / 4  # differences of samples are float32 too


def as_points(name: str, data: Any, least: int = 2) -> Tensor:
    """Points (n, d) or images (n, C, H, W) on the CPU, finite, at least so many.

    They are float32, or float64 where the data are, or are whole numbers: a far offset is
    subtracted before digits are lost. Images (n, H, W) have one channel.
    """
    tensor = as_tensor(name, data)
    if not tensor.is_floating_point():
        tensor = tensor.double()
    if tensor.ndim == 3:
        tensor = tensor[:, None]
    if tensor.ndim not in (2, 4) or tensor.shape[0] < least or 0 in tensor.shape:
        raise ValueError(
            f"{name} must have shape (n, d), (n, H, W) or (n, C, H, W) with n at least {least}, "
            f"got {tuple(tensor.shape)}"
        )
    points = check_finite(name, widened(tensor).contiguous())
    if not points.abs().max() <= _LARGEST:
        raise ValueError(
            f"{name} must not exceed {_LARGEST:.2g}, got {points.abs().max().item():.2g}"
        )
    return points


def as_tensor(name: str, data: Any) -> Tensor:
    """Numbers on the CPU: integers as int64, others of a floating dtype."""
    if isinstance(data, Tensor):
        tensor = data.detach().cpu()
    elif isinstance(data, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must be a plain array, got MaskedArray: drop or fill what is masked"
        )
    elif isinstance(data, list | tuple):
        tensor = torch.from_numpy(_of_list(name, data))
    elif library_of(data) is None and not isinstance(data, int | np.integer):
        raise TypeError(
            f"{name} must be a NumPy array or a tensor, such as np.array([0.5]), "
            f"got {type(data).__name__}"
        )
    else:
        array = np.array(data)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
        if array.dtype.kind != "f":
            tensor = torch.asarray(_as_integers(name, array))
        else:
            plain = np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
            tensor = torch.asarray(array.astype(plain, copy=False))
    if tensor.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {dtype_of(tensor)}")
    return tensor if tensor.is_floating_point() else tensor.long()


def _of_list(name: str, values: Any) -> NDArray[Any]:
    """Numbers in nested lists as an array: integers as int64, others as float64."""
    numbers = as_numbers(name, values)
    kinds = np.asarray(values).dtype.kind
    return numbers.astype(np.int64) if kinds in "biu" else numbers


def _as_integers(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must hold integers below 2**63, got {array.max()}")
    return array.astype(np.int64)


def dtype_of(tensor: Tensor) -> str:
    """The name of the dtype, without that of the library."""
    return str(tensor.dtype).removeprefix("torch.")


def given_back(points: Tensor, library: str) -> Tensor | Floats:
    """As a tensor, or as a NumPy array."""
    return points if library == "torch" else points.cpu().numpy()


def widened(tensor: Tensor) -> Tensor:
    """As float32, or float64 where it is that already."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def check_finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor; a ValueError if numbers are NaN or infinite."""
    bad = ~torch.isfinite(tensor)
    if bad.any():
        index = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"{name} must be finite, got {int(bad.sum())} NaN or infinite numbers, "
            f"the first at index {index}"
        )
    return tensor


def check_shape(name: str, shape: Any, *lengths: int) -> tuple[int, ...]:
    """Sides of vectors or images that are not beyond all that is trained."""
    sides = check_each(name, shape, check_count)
    if len(sides) not in lengths or math.prod(sides) > _MOST_NUMBERS:
        raise ValueError(
            f"{name} must have {' or '.join(map(str, lengths))} entries, and no more than "
            f"{_MOST_NUMBERS} numbers, got {sides}"
        )
    return sides


def fingerprint(*tensors: Tensor | None) -> str:
    """Checksum of the data: a run is resumed only with the data that it started with."""
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
