"""Kernels: functions K(x, y) of two points, as objects that functions of this library take."""

from ._kernels import Energy as Energy
from ._kernels import Gauss as Gauss
from ._kernels import Kernel as Kernel
from ._kernels import KernelName as KernelName
from ._kernels import Laplace as Laplace
from ._kernels import Linear as Linear
from ._kernels import Matern as Matern
from ._kernels import RadialKernel as RadialKernel
from ._kernels import Riesz as Riesz
from ._kernels import SmoothKernel as SmoothKernel
from ._kernels import as_kernel as as_kernel

__all__ = [
    "Energy",
    "Gauss",
    "Kernel",
    "Laplace",
    "Linear",
    "Matern",
    "RadialKernel",
    "Riesz",
    "SmoothKernel",
]
