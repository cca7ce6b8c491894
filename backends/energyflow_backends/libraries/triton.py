"""Triton: the fused GPU path, for torch tensors and, over DLPack, CuPy arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._arrays import ArrayInfo, library_of
from .._projector import HadamardProducts
from .._typing import Floats, Native
from .fused import FusedBackend, Kernel
from .torch import TorchBackend

if TYPE_CHECKING:
    from torch import Tensor

_DRIVER_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


class TritonBackend(FusedBackend, TorchBackend):
    """One launch for short rows; a library sort and one launch for long ones."""

    name: ClassVar[str] = "triton"
    requires: ClassVar[tuple[str, ...]] = ("torch", "triton")
    libraries: ClassVar[tuple[str, ...]] = ("torch", "cupy")
    arrays: ClassVar[str] = "torch tensors or CuPy arrays"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float64")

    def unusable(self) -> str | None:
        """Needs Triton, torch and a GPU, which torch finds, or else the files of its driver."""
        torch = sys.modules.get("torch")
        if torch is None:
            has_gpu = any(Path(file).exists() for file in _DRIVER_FILES)
        else:
            has_gpu = torch.cuda.is_available()
        return self.missing() or (None if has_gpu else "no GPU was found")

    def refuses(self, info: ArrayInfo) -> str | None:
        """Arrays on a CUDA or ROCm device, of torch or CuPy."""
        if info.library == "torch" and not info.device.startswith("cuda"):
            return f"the data are on {info.device}, not on a GPU"
        return super().refuses(info)

    def from_numpy(self, array: Floats) -> Tensor:
        """A tensor on the GPU."""
        import torch

        return torch.asarray(array, device="cuda")

    def adopt(self, array: Native) -> Tensor:
        """The tensor, or a view of a CuPy array as one."""
        if library_of(array) == "torch":
            tensor: Tensor = array.detach()
            return tensor
        from torch.utils.dlpack import from_dlpack

        return from_dlpack(array)

    def restore(self, array: Tensor, like: Native) -> Native:
        """The tensor, or a view of it as a CuPy array."""
        if library_of(like) == "torch":
            return array
        import cupy

        return cupy.from_dlpack(array)

    def hadamard_slices(self, products: HadamardProducts) -> Any:
        """Signs and rows, where the transforms fit into registers."""
        from energyflow_kernels.triton.hadamard import HadamardSlices, takes

        signs: Native = products.signs
        if not takes(signs.shape[-1]):
            return None
        return HadamardSlices(signs, tuple(_index(rows, signs) for rows in products.picked))

    @property
    def sliced_energy(self) -> Kernel:
        """Projection, comparison, gradient and back-projection."""
        from energyflow_kernels.triton.sliced import sliced_energy

        return sliced_energy

    @property
    def energy_rows(self) -> Kernel:
        """Rows that are projected already."""
        from energyflow_kernels.triton.rows import energy_rows

        return energy_rows


def _index(rows: Native, like: Tensor) -> Tensor:
    """Whole numbers of any library as a tensor on the device of `like`."""
    import torch

    if library_of(rows) in ("torch", "cupy"):
        return torch.as_tensor(rows, device=like.device)
    return torch.tensor(np.asarray(rows), device=like.device)
