"""The one-dimensional energy distance of many rows on a GPU, value and gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .launch import SHORT_LIMIT, check_device, rows_within, workspace_bytes
from .long_rows import SortedRows, sorted_rows
from .short_rows import short_rows

# Bytes that sorting takes for one point beside the points: a sorted copy, a 64-bit index, as much
# again inside the library's sort, and a prefix sum.
_SORT_BYTES = 40


def is_short(n: int, m: int, dtype: torch.dtype, weighted: bool) -> bool:
    """Whether one program takes a whole row: unweighted float32 rows of at most 4096 points."""
    return max(n, m) <= SHORT_LIMIT and dtype == torch.float32 and not weighted


def _of_rows(weights: Tensor | None, rows: slice) -> Tensor | None:
    return weights[rows] if weights is not None and weights.ndim == 2 else weights


def sort_rows(points: Tensor, weights: Tensor | None = None) -> SortedRows:
    """Rows (R, N) sorted by the library, with the permutation."""
    ordered, at = torch.sort(points, dim=1)
    return SortedRows(ordered, at, weights)


@torch.library.custom_op("energyflow::energy_rows", mutates_args=())
def _rows_op(
    xp: Tensor, yp: Tensor, a: Tensor | None, b: Tensor | None,
    unbiased: bool, want_x: bool, want_y: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    (n_rows, n), m = xp.shape, yp.shape[1]
    weighted = a is not None or b is not None
    if is_short(n, m, xp.dtype, weighted):
        return short_rows(xp, yp, None, unbiased, want_x, want_y)
    values, gx, gy = _empty_rows(xp, yp, want_x, want_y)
    step = rows_within(workspace_bytes(xp.device), _SORT_BYTES * (n + m), n_rows)
    for first in range(0, n_rows, step):
        rows = slice(first, first + step)
        values[rows] = sorted_rows(
            sort_rows(xp[rows], _of_rows(a, rows)),
            sort_rows(yp[rows], _of_rows(b, rows)),
            gx[rows],
            gy[rows],
            unbiased=unbiased,
        )
    return values, gx, gy


@_rows_op.register_fake
def _empty_rows(xp: Tensor, yp: Tensor, *how: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Tensors for the results of `_rows_op`; gradients without rows where not wanted."""
    want_x, want_y = how[-2:]
    (n_rows, n), m = xp.shape, yp.shape[1]
    return (
        xp.new_empty(n_rows, dtype=torch.float64),
        xp.new_empty((n_rows if want_x else 0, n)),
        yp.new_empty((n_rows if want_y else 0, m)),
    )


def check_sides(
    x: Tensor,
    y: Tensor,
    *others: Tensor | None,
    points_axis: int,
    unbiased: bool,
    wrt: Sequence[str],
) -> None:
    """Raise unless x and y are non-empty matrices of one float dtype that the kernels take."""
    for name, points in (("x", x), ("y", y)):
        if points.ndim != 2 or points.shape[points_axis] == 0:
            raise ValueError(f"{name} must be 2-d with points in it, got {tuple(points.shape)}")
        if points.shape[points_axis] >= 2**30:
            raise ValueError(f"{name} must have fewer than 2**30 points a row")
        if unbiased and points.shape[points_axis] < 2:
            raise ValueError(f"the unbiased estimate needs two points or more in {name}, got one")
    if x.shape[1 - points_axis] != y.shape[1 - points_axis]:
        raise ValueError(f"x {tuple(x.shape)} and y {tuple(y.shape)} do not match")
    if x.dtype != y.dtype or x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x and y must both be float32 or float64, got {x.dtype} and {y.dtype}")
    if not set(wrt) <= {"x", "y"}:
        raise ValueError(f'wrt may hold "x" and "y", got {tuple(wrt)}')
    check_device(x, y, *others)


def energy_rows(
    xp: Tensor,
    yp: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    unbiased: bool = False,
    wrt: Sequence[str] = ("x",),
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Energy distance of each row of x to the same row of y, with its gradients.

    E = 2 sum a_i b_j |x_i - y_j| - s_x sum a_i a_k |x_i - x_k| - s_y sum b_j b_l |y_j - y_l|,
    with s = 1, or 1 / (1 - sum of squared weights) for the unbiased estimator.

    Parameters
    ----------
    xp, yp : tensors (R, N) and (R, M)
        Points, both float32 or both float64, on one CUDA or ROCm device.
    a, b : tensors (N,) or (R, N), and (M,) or (R, M), optional
        Weights that sum to one; uniform when not given.
    unbiased : bool
        The U estimator in place of the V estimator; needs two points a side.
    wrt : sequence of str
        Which gradients are wanted, of "x" and "y".

    Returns
    -------
    values : tensor (R,)
        float64.
    gx, gy : tensors (R, N) and (R, M), or None
        Gradients in the dtype of the points; None where not wanted.

    Raises
    ------
    ValueError
        If shapes do not match, rows are empty, points are too few, or a side is unknown.
    TypeError
        If the kernels do not take the dtype or the device.

    Notes
    -----
    O((N + M) log(N + M)) a row. Unweighted float32 rows of up to 4096 points take one launch
    and no extra memory; others are sorted by the library, in chunks of rows. Where points
    coincide the gradient is the subgradient with sign(0) = 0. A row with NaN or infinity in
    it has the value NaN and an unspecified gradient. Results are the same bit for bit from
    run to run.
    """
    check_sides(xp, yp, a, b, points_axis=1, unbiased=unbiased, wrt=wrt)
    xp, yp = xp.contiguous(), yp.contiguous()
    a, b = (w if w is None else w.contiguous() for w in (a, b))
    for name, weights, points in (("a", a, xp), ("b", b, yp)):
        if weights is not None and weights.shape not in (points.shape, points.shape[1:]):
            raise ValueError(
                f"{name} must be {tuple(points.shape[1:])} or {tuple(points.shape)}, "
                f"got {tuple(weights.shape)}"
            )
    values, gx, gy = _rows_op(xp, yp, a, b, unbiased, "x" in wrt, "y" in wrt)
    return values, gx if "x" in wrt else None, gy if "y" in wrt else None
