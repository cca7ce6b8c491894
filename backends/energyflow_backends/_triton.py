"""Triton: the fused GPU path, for torch tensors and, over DLPack, CuPy arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ._arrays import Array, ArrayInfo, library_of
from ._base import Result
from ._fused import FusedBackend
from ._projector import Projector
from ._torch import TorchBackend

_DRIVER_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


class TritonBackend(FusedBackend, TorchBackend):
    """One launch for short rows; a library sort and one launch for long ones."""

    name: ClassVar[str] = "triton"
    requires: ClassVar[tuple[str, ...]] = ("torch", "triton")

    def unusable(self) -> str | None:
        """Triton and torch must be there, and a GPU: torch knows, or else its driver's files do."""
        torch = sys.modules.get("torch")
        if torch is None:
            found = any(Path(file).exists() for file in _DRIVER_FILES)
        else:
            found = torch.cuda.is_available()
        return self.missing() or (None if found else "no GPU was found")

    def refuses(self, info: ArrayInfo) -> str | None:
        """Arrays on a CUDA or ROCm device, of torch or CuPy."""
        if info.library not in ("torch", "cupy"):
            return f"{info.library} arrays are not torch tensors or CuPy arrays"
        if info.library == "torch" and not info.device.startswith("cuda"):
            return f"the data are on {info.device}, not on a GPU"
        if info.dtype not in ("float32", "float64"):
            return f"the kernels take float32 and float64, not {info.dtype}"
        return None

    def adopt(self, array: Array) -> Array:
        """The tensor, or a view of a CuPy array as one."""
        if library_of(array) == "torch":
            return array
        from torch.utils.dlpack import from_dlpack

        return from_dlpack(array)

    def restore(self, array: Array, like: Array) -> Array:
        """The tensor, or a view of it as a CuPy array."""
        if library_of(like) == "torch":
            return array
        import cupy

        return cupy.from_dlpack(array)

    def slices(self, projector: Projector, like: Array) -> Any:
        """A matrix, or a Hadamard projector's signs where its transforms fit into registers."""
        signs, picked = (getattr(projector, name, None) for name in ("signs", "picked"))
        if signs is None or picked is None:
            return super().slices(projector, like)
        from energyflow_kernels.triton.hadamard import HadamardSlices, takes

        signs = signs(like)
        if not takes(signs.shape[-1]):
            return None
        return HadamardSlices(signs, tuple(_index(rows, like) for rows in picked))

    def sliced_energy(
        self, x: Array, y: Array, slices: Any, *rest: Any, scale: float, **how: Any
    ) -> Result:
        """Projection, comparison, gradient and back-projection."""
        from energyflow_kernels.triton.sliced import sliced_energy

        value, *gradients = sliced_energy(x, y, slices, *rest, **how)
        gx, gy = (None if g is None else g.mul_(scale) for g in gradients)
        return value, gx, gy

    def energy_rows(self, xs: Array, ys: Array, *rest: Any, **how: Any) -> Result:
        """Rows that are projected already."""
        from energyflow_kernels.triton.rows import energy_rows

        return energy_rows(xs, ys, *rest, **how)


def _index(rows: Array, like: Array) -> Array:
    """Whole numbers of any library as a tensor on the device of `like`."""
    import torch

    if library_of(rows) in ("torch", "cupy"):
        return torch.as_tensor(rows, device=like.device)
    return torch.tensor(np.asarray(rows), device=like.device)
