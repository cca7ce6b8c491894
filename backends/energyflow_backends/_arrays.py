"""What an array is, found out without importing the library it belongs to."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, Protocol

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray

from ._typing import Array as Array
from ._typing import Native


class Namespace(Protocol):
    """The functions of the array-API standard: what is not named here gives arrays."""

    float32: Any
    float64: Any
    int32: Any
    int64: Any
    complex64: Any
    complex128: Any
    bool: Any
    linalg: Any
    fft: Any

    def finfo(self, kind: Any, /) -> Any: ...
    def iinfo(self, kind: Any, /) -> Any: ...
    def result_type(self, *arrays_and_dtypes: Any) -> Any: ...
    def isdtype(self, dtype: Any, kind: Any) -> bool: ...
    def __array_namespace_info__(self) -> Any: ...
    def __getattr__(self, name: str, /) -> Callable[..., Array]: ...


class ArrayInfo(NamedTuple):
    """What a backend needs to know about arrays before it takes them."""

    library: str
    device: str
    dtype: str
    traced: bool = False

    @property
    def on_cpu(self) -> bool:
        """Whether the numbers are in this process's ordinary memory."""
        return self.device == "cpu"

    def __str__(self) -> str:
        return f"{self.library} {self.dtype} on {self.device}" + (
            " (traced)" if self.traced else ""
        )


_libraries: dict[type, str | None] = {np.ndarray: "numpy"}  # of types met before


def library_of(array: object) -> str | None:
    """Name of the array library that `array` belongs to, or None where it belongs to none."""
    kind = type(array)
    if kind not in _libraries:
        _libraries[kind] = _library_of(array)
    return _libraries[kind]


def _library_of(array: object) -> str | None:
    if compat.is_numpy_array(array):
        return "numpy"
    if compat.is_torch_array(array):
        return "torch"
    if compat.is_jax_array(array):
        return "jax"
    if compat.is_cupy_array(array):
        return "cupy"
    if compat.is_dask_array(array):
        return "dask"
    if hasattr(array, "__array_namespace__"):
        return type(array).__module__.partition(".")[0]
    return None


def dtype_name(array: Array) -> str:
    """Name of the dtype, the same in every library: 'float32'."""
    library = library_of(array)
    if library in ("numpy", "dask"):
        return _numpy_name(array.dtype)
    return _torch_name(array.dtype) if library == "torch" else _last_word(array.dtype)


def _last_word(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


@cache
def _torch_name(dtype: Any) -> str:
    return _last_word(dtype)


@cache
def _numpy_name(dtype: np.dtype[Any]) -> str:
    return dtype.name  # without the byte order


def describe(array: Array) -> ArrayInfo:
    """Library, device and dtype of an array, and whether its values are known yet."""
    if type(array) is np.ndarray:
        return _numpy_info(array.dtype)
    library = library_of(array)
    if library is None:
        raise TypeError(f"expected an array, got {type(array).__name__}")
    if library == "torch":
        return _torch_info(array.device, array.dtype, _torch_traced(array))
    traced = False
    if library == "numpy":
        device = "cpu"
    elif library == "jax":
        traced = _jax_traced(array)
        device = "traced" if traced else _jax_device(array)
    else:
        device = str(compat.device(array))
        traced = library == "dask"
    return ArrayInfo(library, device, dtype_name(array), traced)


@cache
def _torch_info(device: Any, dtype: Any, traced: bool) -> ArrayInfo:
    return ArrayInfo("torch", str(device), _torch_name(dtype), traced)


@cache
def _numpy_info(dtype: np.dtype[Any]) -> ArrayInfo:
    return ArrayInfo("numpy", "cpu", _numpy_name(dtype))


_namespaces: dict[type, Namespace] = {}  # of types met before


def namespace(array: Array) -> Namespace:
    """The array-API namespace that `array` belongs to."""
    kind = type(array)
    if kind is np.ndarray:
        return _of_numpy()
    if kind not in _namespaces:
        _namespaces[kind] = compat.array_namespace(array)
    return _namespaces[kind]


@cache
def _of_numpy() -> Namespace:
    """Loads all of NumPy, which `import energyflow` need not wait for."""
    import array_api_compat.numpy

    xp: Namespace = array_api_compat.numpy  # type: ignore[assignment]
    return xp


def known_values(array: Array) -> bool:
    """Whether the array's values can be looked at now (not traced, captured or lazy)."""
    return type(array) is np.ndarray or not describe(array).traced


def seems_finite(array: Array) -> bool:
    """Whether no number is NaN or infinite, as far as the values are known."""
    if type(array) is np.ndarray and array.size == 1:  # the common case of one value
        return math.isfinite(array.item())
    xp = namespace(array)
    return not known_values(array) or bool(xp.all(xp.isfinite(array)))


def widest_dtypes(array: Array) -> tuple[Any, Any]:
    """The widest real floating and signed integer dtypes on the device of `array`."""
    xp = namespace(array)
    dtypes = xp.__array_namespace_info__().dtypes(device=compat.device(array))
    return (
        dtypes.get("float64", dtypes.get("float32")),
        dtypes.get("int64", dtypes.get("int32")),
    )


def detached(array: Native) -> Array:
    """The array outside of any graph that torch keeps: gradients here are the closed form's."""
    outside: Array = array.detach() if library_of(array) == "torch" else array
    return outside


def to_numpy(array: Native) -> NDArray[Any]:
    """A NumPy view of an array in ordinary memory (no copy), read-only where that is promised."""
    if library_of(array) == "torch":
        return np.asarray(array.detach().resolve_conj().resolve_neg().numpy())
    return np.asarray(array)


def transformed_by_torch(array: Native | None) -> bool:
    """Whether a tensor stands for others inside `torch.func.grad`, `vmap` or their like."""
    if array is None or library_of(array) != "torch":
        return False
    try:
        array.untyped_storage()
    except NotImplementedError:  # it holds no numbers of its own
        return True
    return False


def _torch_traced(array: Native) -> bool:
    import torch

    if transformed_by_torch(array):
        return True
    if torch.compiler.is_compiling() or type(array).__name__ == "FakeTensor" or array.is_meta:
        return True
    return array.device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _jax_traced(array: Native) -> bool:
    import jax

    # a constant met while tracing counts too: whatever is computed then is traced
    return isinstance(array, jax.core.Tracer) or isinstance(jax.numpy.empty(()), jax.core.Tracer)


def _jax_device(array: Native) -> str:
    devices = array.devices()
    if len(devices) != 1:
        return "sharded over " + ", ".join(sorted(map(str, devices)))
    (device,) = devices
    return "cpu" if device.platform == "cpu" else str(device)


def to_host(array: Native) -> NDArray[Any]:
    """A NumPy array of the same numbers; bfloat16, which NumPy lacks, becomes float32."""
    library = library_of(array)
    if library == "torch":
        host = array.detach().cpu()
        return np.asarray(host.float() if "bfloat16" in str(host.dtype) else host)
    if library is not None and dtype_name(array) == "bfloat16":
        array = namespace(array).astype(array, namespace(array).float32)
    return np.asarray(array.get() if library == "cupy" else array)
