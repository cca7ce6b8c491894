"""Other ways to a gradient with respect to x, and the floor under all that sort.

They take torch tensors x (N, d), y (M, d), directions (P, d) on one device, but for the floor of
the host, which takes NumPy arrays.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import energyflow as ef

Tensor = Any


def papers(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Sliced energy gradient by ranks, as the papers on sliced MMD flows compute it.

    With q and k the places of x_i among all points and among x, from 0, the derivative on a line
    is 2 / N (2 (q - k) / M - (2 k + 1) / N). Points are projected by a strided convolution, and
    each permutation that sorts is inverted by sorting it. Reference: Hertrich, Wald, Altekrüger,
    Hagemann, "Generative Sliced MMD Flows with Riesz Kernels", ICLR 2024, Section 3.
    """
    import torch

    n, m, (p, d) = len(x), len(y), directions.shape
    filters = directions[:, None, :]  # (P, 1, d)
    xs, ys = (
        torch.nn.functional.conv1d(z.reshape(1, 1, -1), filters, stride=d)[0] for z in (x, y)
    )  # (P, N), (P, M)
    among_all = _places(torch.cat((xs, ys), dim=1))[:, :n]
    among_x = _places(xs)
    below = among_all - among_x
    slopes = 2 / n * (2 / m * below - (2 * among_x + 1) / n)  # (P, N)
    return ef.slicing_constant(d) / p * (slopes.T @ directions)


def _places(rows: Tensor) -> Tensor:
    return rows.sort(dim=1).indices.sort(dim=1).indices


def pot(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Gradient of another distance, POT's sliced 2-Wasserstein distance, by autograd."""
    import ot

    return _gradient(lambda z: ot.sliced_wasserstein_distance(z, y, projections=directions.T), x)


def cdist(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Exact energy gradient by autograd through all distances; the term of y alone has none."""
    import torch

    def distance(z: Tensor) -> Tensor:
        pairs = (
            torch.cdist(z, w, compute_mode="donot_use_mm_for_euclid_dist").mean() for w in (y, z)
        )
        return 2 * next(pairs) - next(pairs)

    return _gradient(distance, x)


def geomloss(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Gradient of GeomLoss's energy loss, which is half the energy distance, by autograd."""
    from geomloss import SamplesLoss

    loss = SamplesLoss("energy", backend="tensorized")
    return _gradient(lambda z: loss(z, y), x)


def _gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    import torch

    points = x.detach().requires_grad_()
    return torch.autograd.grad(function(points), points)[0]


def pairwise_bytes(name: str, n: int, m: int, d: int, *, cuda: bool) -> int:
    """About how much `cdist` and `geomloss` hold at once; torch's CUDA cdist adds d numbers a pair.

    The matrices of one pair of sets are N by M numbers each, three to six with their gradients.
    """
    numbers = {"cdist": 3 + (d if cuda else 0), "geomloss": 9}[name]
    return 4 * numbers * n * m


def host_floor(
    x: np.ndarray, y: np.ndarray, directions: np.ndarray, n_threads: int
) -> Callable[[], np.ndarray]:
    """Project x and y, sort the numbers of each row and nothing else, project N of them back."""
    n = len(x)
    rows = np.empty((len(directions), n + len(y)), x.dtype)
    blocks = np.array_split(rows, n_threads)
    pool = ThreadPoolExecutor(n_threads)

    def call() -> np.ndarray:
        np.matmul(directions, x.T, out=rows[:, :n])
        np.matmul(directions, y.T, out=rows[:, n:])
        for done in [pool.submit(block.sort, axis=1) for block in blocks]:
            done.result()
        return rows[:, :n].T @ directions

    return call


def device_floor(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """The same by torch, whose sort on a GPU carries indices along."""
    import torch

    rows = torch.cat((directions @ x.T, directions @ y.T), dim=1)
    return rows.sort(dim=1).values[:, : len(x)].T @ directions
