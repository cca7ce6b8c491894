"""The sliced energy distance on a GPU: project, compare, differentiate, project back."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .hadamard import HadamardSlices, hadamard_back, hadamard_rows
from .launch import SMALL_DIM, rows_within, workspace_bytes
from .matrix_products import project, project_back
from .rows import check_sides, energy_rows, is_short
from .short_rows import short_rows

Results: TypeAlias = tuple[Tensor, Tensor, Tensor]


def _zero_sums(x: Tensor, y: Tensor, want_x: bool, want_y: bool) -> tuple[Tensor, Tensor]:
    """Sums of gradients to add to, empty where not wanted."""
    return (
        torch.zeros_like(x) if want_x else x.new_empty(0),
        torch.zeros_like(y) if want_y else y.new_empty(0),
    )


@torch.library.custom_op("energyflow::sliced_energy", mutates_args=())
def _sliced_op(
    x: Tensor, y: Tensor, directions: Tensor, a: Tensor | None, b: Tensor | None,
    unbiased: bool, want_x: bool, want_y: bool,
) -> Results:  # fmt: skip
    (n, dim), m, n_slices = x.shape, y.shape[0], directions.shape[0]
    wrt = ("x",) * want_x + ("y",) * want_y
    short = is_short(n, m, x.dtype, a is not None or b is not None)
    fused = short and dim <= SMALL_DIM
    values = x.new_empty(n_slices, dtype=torch.float64)
    gx, gy = _zero_sums(x, y, want_x, want_y)

    # Projected rows and their gradients; the sort of long rows takes a budget of its own.
    slice_bytes = 2 * x.element_size() * (n + m)
    step = rows_within(workspace_bytes(x.device), slice_bytes, n_slices)
    for first in range(0, n_slices, step):
        chunk = slice(first, first + step)
        t = directions[chunk]
        grad_x: Tensor | None
        grad_y: Tensor | None
        if fused:
            values[chunk], grad_x, grad_y = short_rows(x, y, t, unbiased, want_x, want_y)
        else:
            rows = project(x, t), project(y, t)
            values[chunk], grad_x, grad_y = energy_rows(*rows, a, b, unbiased=unbiased, wrt=wrt)
        if want_x and grad_x is not None:
            gx += project_back(grad_x, t)
        if want_y and grad_y is not None:
            gy += project_back(grad_y, t)
    return values, gx, gy


@_sliced_op.register_fake
def _(x: Tensor, y: Tensor, directions: Tensor, *how: Any) -> Results:
    values = x.new_empty(directions.shape[0], dtype=torch.float64)
    return values, *_zero_sums(x, y, *how[-2:])


@torch.library.custom_op("energyflow::hadamard_energy", mutates_args=())
def _hadamard_op(
    x: Tensor, y: Tensor, signs: Tensor, picked: Sequence[Tensor], a: Tensor | None,
    b: Tensor | None, unbiased: bool, want_x: bool, want_y: bool,
) -> Results:  # fmt: skip
    (n, dim), m = x.shape, y.shape[0]
    wrt = ("x",) * want_x + ("y",) * want_y
    gx, gy = _zero_sums(x, y, want_x, want_y)
    values = [x.new_empty(0, dtype=torch.float64)]

    # As above; every part of a product's rows transforms all points anew.
    slice_bytes = 2 * x.element_size() * (n + m)
    step = rows_within(workspace_bytes(x.device), slice_bytes, signs.shape[-1])
    for own, rows in zip(signs, picked, strict=True):
        for part in rows.split(step):  # type: ignore[no-untyped-call]
            projected = hadamard_rows(x, own, part), hadamard_rows(y, own, part)
            value, grad_x, grad_y = energy_rows(*projected, a, b, unbiased=unbiased, wrt=wrt)
            values.append(value)
            if grad_x is not None:
                gx += hadamard_back(grad_x, own, part, dim)
            if grad_y is not None:
                gy += hadamard_back(grad_y, own, part, dim)
    return torch.cat(values), gx, gy


@_hadamard_op.register_fake
def _(x: Tensor, y: Tensor, signs: Tensor, picked: Sequence[Tensor], *how: Any) -> Results:
    values = x.new_empty(sum(rows.shape[0] for rows in picked), dtype=torch.float64)
    return values, *_zero_sums(x, y, *how[-2:])


def sliced_energy(
    x: Tensor,
    y: Tensor,
    slices: Tensor | HadamardSlices,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    unbiased: bool = False,
    wrt: Sequence[str] = ("x",),
    scale: float = 1.0,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Energy distance of x and y along each direction, and the gradients summed over directions.

    values_p = E(x t_p, y t_p);  gx = scale * sum over p of (d values_p / d (x t_p)) t_p.

    Parameters
    ----------
    x, y : tensors (N, d) and (M, d)
        Points, both float32 or both float64, on one CUDA or ROCm device.
    slices : tensor (P, d) or HadamardSlices
        Directions t, one a row, in the dtype of the points; or signs and picked rows, with P rows
        in all.
    a, b : tensors (N,) and (M,), optional
        Weights that sum to one; uniform when not given.
    unbiased : bool
        The U estimator in place of the V estimator; needs two points a side.
    wrt : sequence of str
        Which gradients are wanted, of "x" and "y".
    scale : float
        Factor of the gradients, alone.

    Returns
    -------
    values : tensor (P,)
        float64.
    gx, gy : tensors (N, d) and (M, d), or None
        Gradients in the dtype of the points, None where not wanted.

    Raises
    ------
    ValueError
        If shapes do not match, a set is empty, points are too few, or a side is unknown.
    TypeError
        If the kernels do not take the dtype or the device.

    Notes
    -----
    O(P (N + M) (d + log(N + M))) along given directions; products of signs and transforms of
    length D take log D in place of d, if all their rows are picked and fit at once. Extra
    memory is at most twice a 512th of the device's, held within 64 and 256 MiB, or the rows
    of one slice. Products are in full precision whatever PyTorch's settings for matrix
    products. Results are the same bit for bit from run to run.
    """
    tensors = (slices.signs, *slices.picked) if isinstance(slices, HadamardSlices) else (slices,)
    check_sides(x, y, *tensors, a, b, points_axis=0, unbiased=unbiased, wrt=wrt)
    for name, weights, points in (("a", a, x), ("b", b, y)):
        if weights is not None and weights.shape != points.shape[:1]:
            raise ValueError(f"{name} must be ({len(points)},), got {tuple(weights.shape)}")
    x, y = x.contiguous(), y.contiguous()
    how = a, b, unbiased, "x" in wrt, "y" in wrt
    if isinstance(slices, HadamardSlices):
        _check_products(slices)
        values, gx, gy = _hadamard_op(x, y, slices.signs, list(slices.picked), *how)
    else:
        _check_directions(slices, x)
        values, gx, gy = _sliced_op(x, y, slices.contiguous(), *how)
    gx, gy = (g if scale == 1 else g.mul_(scale) for g in (gx, gy))
    return values, gx if "x" in wrt else None, gy if "y" in wrt else None


def _check_directions(directions: Tensor, x: Tensor) -> None:
    if directions.ndim != 2 or directions.shape[1] != x.shape[1] or directions.dtype != x.dtype:
        raise ValueError(
            f"directions must be (P, {x.shape[1]}) of {x.dtype}, "
            f"got {tuple(directions.shape)} of {directions.dtype}"
        )


def _check_products(slices: HadamardSlices) -> None:
    if slices.signs.ndim != 3 or len(slices.signs) != len(slices.picked):
        raise ValueError(
            "signs must be (products, k, D) with as many picked, "
            f"got {tuple(slices.signs.shape)} and {len(slices.picked)}"
        )
