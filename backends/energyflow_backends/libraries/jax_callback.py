"""Traced JAX arrays on a CPU: compiled code calls back to the host, for the kernels of Numba."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from .._arrays import ArrayInfo
from .._point_sets import PointSets, Request, Result
from .._projector import Blocks
from .jax import JaxBackend
from .numba import NumbaBackend


class JaxCallbackBackend(JaxBackend):
    """Energy distances called back by JAX; all other sums are XLA's, which sorts slowly."""

    name: ClassVar[str] = "jax-callback"
    requires: ClassVar[tuple[str, ...]] = ("jax", "numba")
    arrays: ClassVar[str] = "JAX arrays under jax.jit on a CPU"

    def __init__(self) -> None:
        self._host = NumbaBackend()

    def refuses(self, info: ArrayInfo) -> str | None:
        """Arrays under a transformation of JAX, where all devices are CPUs."""
        reason = super().refuses(info)
        if reason is None and not info.traced:
            return "the values are known: no call back is needed"
        if reason is None and _platform() != "cpu":
            return f"JAX computes on {_platform()}"
        if reason is None and find_spec("jax.experimental.buffer_callback") is None:
            return "this version of JAX has no buffer_callback"
        return reason

    def sliced_value_and_gradient(
        self, sets: PointSets, projector: Blocks, request: Request
    ) -> Result:
        """Directions are drawn by JAX; projectors of other kinds may need it, and stay with it."""
        from .._jax_tracers import filled, traced_arrays

        whole, *others = projector.blocks(projector.n_projections)
        if others or not hasattr(whole, "structure"):
            return super().sliced_value_and_gradient(sets, projector, request)

        def run(sets: PointSets, arrays: list[Any]) -> Result:
            held = filled(whole, iter(arrays))
            return self._host.sliced_value_and_gradient(sets, held, request)

        return _called_back(run, sets, request.wrt, traced_arrays(whole))

    def exact_value_and_gradient(self, sets: PointSets, request: Request) -> Result:
        """One pass over tiles of pairs."""

        def run(sets: PointSets, _: list[Any]) -> Result:
            return self._host.exact_value_and_gradient(sets, request)

        return _called_back(run, sets, request.wrt, [])


def _platform() -> str:
    import jax

    return str(jax.default_backend())


def _called_back(
    run: Callable[[PointSets, list[Any]], Result],
    sets: PointSets,
    wrt: tuple[str, ...],
    arrays: list[Any],
) -> Result:
    """What `run` gives of NumPy's arrays, when the compiled code comes to it.

    `jax.pure_callback` would copy large arrays in a thread of the pool that waits for this one.
    """
    import jax
    from jax.experimental.buffer_callback import buffer_callback

    def on_host(_: Any, out: tuple[Any, ...], *given: Any) -> None:
        with np.errstate(all="ignore"):
            result = run(*jax.tree.map(np.asarray, given))
        for place, numbers in zip(out, result, strict=True):
            if numbers is not None:
                np.asarray(place)[...] = numbers

    described: Callable[..., Any] = jax.ShapeDtypeStruct
    x, y = sets.x, sets.y
    shapes = (
        described(x.shape[:1], x.dtype),
        described(x.shape, x.dtype) if "x" in wrt else None,
        described(y.shape, y.dtype) if "y" in wrt else None,
    )
    result: Result = buffer_callback(on_host, shapes, vmap_method="sequential")(sets, arrays)
    return result
