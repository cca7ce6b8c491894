"""The slow, obvious twin of the row kernels: direct sums in float64."""

import torch


def naive_rows(x, y, a=None, b=None, *, unbiased=False):
    """Values (R,), gradients (R, N) and (R, M) of rows by direct sums over all pairs."""
    x, y = x.double(), y.double()
    a = (torch.full_like(x, 1 / x.shape[1]) if a is None else a.double()).expand_as(x)
    b = (torch.full_like(y, 1 / y.shape[1]) if b is None else b.double()).expand_as(y)
    sx = 1 / (1 - a.square().sum(1)) if unbiased else torch.ones(len(x), dtype=torch.float64)
    sy = 1 / (1 - b.square().sum(1)) if unbiased else torch.ones(len(x), dtype=torch.float64)
    parts = []
    for row in range(len(x)):
        xy = x[row][:, None] - y[row][None, :]  # (N, M)
        xx = x[row][:, None] - x[row][None, :]  # (N, N)
        yy = y[row][:, None] - y[row][None, :]  # (M, M)
        value = 2 * a[row] @ xy.abs() @ b[row]
        value = value - sx[row] * (a[row] @ xx.abs() @ a[row])
        value = value - sy[row] * (b[row] @ yy.abs() @ b[row])
        gx = 2 * a[row] * (xy.sign() @ b[row] - sx[row] * (xx.sign() @ a[row]))
        gy = 2 * b[row] * (-xy.sign().T @ a[row] - sy[row] * (yy.sign() @ b[row]))
        parts.append((value, gx, gy))
    values, gx, gy = (torch.stack(part) for part in zip(*parts, strict=True))
    return values, gx, gy


def relative_error(found, expected):
    """Error in norm relative to the norm, or to one where that is zero or lost in rounding."""
    found, expected = found.double(), expected.double()
    scale = expected.norm().item()
    return (found - expected).norm().item() / (scale if scale > 0 else 1.0)


def poison(like):
    """A tensor of NaN for a kernel to fill."""
    return torch.full_like(like, float("nan"))
