"""Closed-form gradients in torch's graph, and under `torch.func.grad`, `vmap` and their like.

The functions that are called get tensors that hold their numbers: torch unwraps its transforms
around `forward`, and `vmap` becomes one more batch dimension. What they give has no derivative,
and raises an error where one is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .._arrays import transformed_by_torch
from .._projector import Projector, arrays_of


def value(
    compute: Callable[..., Any],
    x: Tensor,
    y: Tensor,
    *others: Tensor,
    held: Projector | None,
) -> Tensor:
    """See `functions.differentiable_value`."""
    _refuse_mapped(held)
    compute = partial(compute, held=held)
    transformed = any(transformed_by_torch(v) for v in (x, y, *others))
    recorded = torch.is_grad_enabled()
    needed = {"x": recorded and x.requires_grad, "y": recorded and y.requires_grad}
    if not transformed and not any(needed.values()):
        plain: Tensor = compute(x, y, *others, wrt=())[0]
        return plain
    # an outer transform may differentiate what this level does not
    wrt = tuple(name for name, need in needed.items() if need or transformed)
    kind = _TransformedValue if transformed else _Value
    node: Tensor = kind.apply(compute, wrt, x, y, *others)[0]  # type: ignore[no-untyped-call]
    return node


def sums(
    sums: Callable[..., Tensor],
    pull: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    w: Tensor,
    held: Projector | None,
) -> Tensor:
    """See `functions.differentiable_sums`."""
    _refuse_mapped(held)
    sums, pull = partial(sums, held=held), partial(pull, held=held)
    if not any(v.requires_grad or transformed_by_torch(v) for v in (x, y, w)):
        return sums(x, y, w)
    node: Tensor = _Sums.apply(sums, pull, x, y, w)  # type: ignore[no-untyped-call]
    return node


def without_graph(
    run: Callable[..., Any], *arrays: Tensor | None, held: Projector | None = None
) -> Any:
    """See `functions.without_graph`."""
    _refuse_mapped(held)
    return _Plain.apply(run, *arrays)  # type: ignore[no-untyped-call]


class _Value(Function):
    """The value, and the gradients that it will be multiplied into: one sort gives all."""

    @staticmethod
    def forward(ctx: Any, compute: Any, wrt: tuple[str, ...], *arrays: Tensor | None) -> Any:
        output = compute(*arrays, wrt=wrt)
        _keep(ctx, len(arrays) - 2, output)
        return output

    @staticmethod
    def backward(ctx: Any, outer: Tensor | None, *second: Tensor | None) -> Any:
        if any(s is not None for s in second):
            _no_second_derivative()
        factor = None if outer is None else outer.reshape(*outer.shape, 1, 1)
        pulled = (None if factor is None or g is None else factor * g for g in ctx.saved_tensors)
        return None, None, *pulled, *(None,) * ctx.others


class _TransformedValue(Function):
    """The same under `torch.func`: torch then looks up the signature of `forward` in every call."""

    backward = _Value.backward

    @staticmethod
    def forward(compute: Any, wrt: tuple[str, ...], *arrays: Tensor | None) -> Any:
        return compute(*arrays, wrt=wrt)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        _keep(ctx, len(inputs) - 4, output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, compute: Any, wrt: Any, *arrays: Any) -> Any:
        batch = _one_more_batch(info, in_dims[2:], arrays)
        result = _TransformedValue.apply(compute, wrt, *batch)  # type: ignore[no-untyped-call]
        return result, tuple(None if v is None else 0 for v in result)


def _keep(ctx: Any, others: int, output: tuple[Any, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.others = others
    ctx.save_for_backward(*output[1:])


class _Sums(Function):
    """Sums over y at each point of x; the backward pass sums likewise."""

    @staticmethod
    def forward(sums: Any, pull: Any, *arrays: Tensor) -> Any:
        return sums(*arrays)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.pull = inputs[1]
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> Any:
        def pulled(name: str) -> Any:
            run = partial(ctx.pull, name)
            return _Plain.apply(run, *ctx.saved_tensors, outer)  # type: ignore[no-untyped-call]

        needed = zip(("x", "y"), ctx.needs_input_grad[2:4], strict=True)
        return None, None, *(pulled(name) if need else None for name, need in needed), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, sums: Any, pull: Any, *arrays: Any) -> Any:
        batch = _one_more_batch(info, in_dims[2:], arrays)
        return _Sums.apply(sums, pull, *batch), 0  # type: ignore[no-untyped-call]


class _Plain(Function):
    """What carries no graph."""

    @staticmethod
    def forward(run: Any, *arrays: Tensor | None) -> Any:
        return run(*arrays)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *outer: Tensor | None) -> Any:
        _no_second_derivative()

    @staticmethod
    def vmap(info: Any, in_dims: Any, run: Any, *arrays: Any) -> Any:
        result = _Plain.apply(run, *_one_more_batch(info, in_dims[1:], arrays))  # type: ignore[no-untyped-call]
        if not isinstance(result, tuple):
            return result, 0
        return result, tuple(None if v is None else 0 for v in result)


def _one_more_batch(info: Any, dims: Any, arrays: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
    """The mapped dimension first: points (V, *batch, N, d), all else (V, *batch, N) or as it is."""
    logical = arrays[0].ndim - (dims[0] is not None)  # of points

    def batched(place: int, array: Tensor | None, dim: int | None) -> Tensor | None:
        points = place < 2
        if array is None:
            return None
        if dim is None:
            return array.expand(info.batch_size, *array.shape) if points else array
        array = array.movedim(dim, 0)
        missing = 0 if points else logical - array.ndim
        return array.reshape(array.shape[0], *(1,) * missing, *array.shape[1:])

    return tuple(batched(k, v, dim) for k, (v, dim) in enumerate(zip(arrays, dims, strict=True)))


def _refuse_mapped(held: Projector | None) -> None:
    if any(transformed_by_torch(v) for v in arrays_of(held)):
        raise TypeError(
            "projections must be the same for all: torch.func can map over points and weights only"
        )


def _no_second_derivative() -> None:
    raise RuntimeError(
        "second derivatives are not available: gradients are closed forms and carry no graph"
    )
