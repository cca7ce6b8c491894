"""Fast ways beside plain ones, in turns: Hadamard slices and a matrix, a tree and all pairs.

A result that is wrong is not timed, and ends the run with a non-zero status.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit

import energyflow as ef

from ..machine import n_threads
from ..runner import Line, Run, Topic
from ..timing import host_clock, medians

TOPIC = Topic("ratios", "Ratios", __doc__)
HADAMARD_ERROR = 1e-3  # rounding to float32 swaps neighbours
TREE_ERROR = 1e-4
DIRECT_SLICES = 4


def _compared(
    run: Run, title: str, name: str, fast: Callable[[], Any], plain: Callable[[], Any], *,
    wanted: float, computed: np.ndarray, expected: np.ndarray, most: float, share: float = 1.0,
) -> Iterator[Line]:  # fmt: skip
    """Both timed in turns; the plain way does a share of the work."""
    error = float(np.linalg.norm(computed - expected) / np.linalg.norm(expected))
    if not error <= most:
        run.failures.append(f"{name}: relative error {error:.2g} of the gradient")
        return
    for call in (fast, plain):
        call()
    times = medians({"fast": fast, "plain": plain}, host_clock, seconds=1.0, turns=5)
    slow = times["plain"] / share
    numbers = {"ms": 1000 * times["fast"], "plain, ms": 1000 * slow}
    numbers |= {"times faster": slow / times["fast"], "wanted": wanted, "relative error": error}
    yield Line(title, name, numbers)


@TOPIC("hadamard")
def hadamard(run: Run) -> Iterator[Line]:
    """A whole gradient, drawing of directions included, by transforms and by matrix products."""
    n, d, p = (500, 100, 128) if run.quick else (20_000, 784, 1000)
    rng = np.random.default_rng(run.seed)
    x, y = (rng.standard_normal((n, d)).astype(np.float32) for _ in range(2))
    y += 1 / d**0.5

    def by(slicing: str, n: int = n) -> np.ndarray:
        how = {"n_projections": p, "slicing": slicing, "rng": run.seed}
        return ef.sliced_energy_gradient(x[:n], y[:n], **how)

    with ef.use_backend("numpy"):
        expected = by("hadamard", 1000)
    return _compared(
        run, "Hadamard slices beside a matrix of directions", f"(N, d, P) = ({n}, {d}, {p})",
        lambda: by("hadamard"), lambda: by("iid"), wanted=1.5, computed=by("hadamard", 1000),
        expected=expected, most=HADAMARD_ERROR,
    )  # fmt: skip


def points_of(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Points in three dimensions: normal, in narrow clusters, or with heavy tails."""
    if kind == "cauchy":
        return rng.standard_cauchy((n, 3))
    points = rng.standard_normal((n, 3))
    if kind == "clustered":
        return 1e-3 * points + rng.standard_normal((10, 3))[rng.integers(10, size=n)]
    return points


@njit(nogil=True, fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def pulls(u: np.ndarray, v: np.ndarray, exponent: float, out: np.ndarray) -> None:
    """Mean over j of sign(u_i - v_j) |u_i - v_j|^(r - 1), none where they are equal; in vectors.

    The powers that r = 0.5 and r = 1.5 need are square roots.
    """
    for i in range(u.size):
        total = 0.0
        if exponent < 1:
            for j in range(v.size):
                gap = u[i] - v[j]
                size = abs(gap)
                total += gap / (size * np.sqrt(size)) if size > 0 else 0.0
        else:
            for j in range(v.size):
                gap = u[i] - v[j]
                total += np.copysign(np.sqrt(abs(gap)), gap)
        out[i] = total / v.size


@TOPIC("tree")
def tree(run: Run) -> Iterator[Line]:
    """The sliced gradient by a tree, and by sums over all pairs of each slice in float64.

    The sums over pairs are timed on a few of the slices, and the time multiplied.
    """
    n, p = (500, 8) if run.quick else (20_000, 64)
    rays = ef.sample_projections(p, 3, rng=run.seed)
    some = rays[:DIRECT_SLICES]
    for exponent in (0.5, 1.5):
        for kind in ("normal", "clustered", "cauchy"):
            rng = np.random.default_rng(run.seed + 1)
            x, y = points_of(kind, rng, n), points_of(kind, rng, n) + 0.5
            plain = _all_pairs(x, y, exponent, some)

            def fast(
                rays: np.ndarray = rays, x: np.ndarray = x, y: np.ndarray = y, r: float = exponent
            ) -> np.ndarray:
                return ef.sliced_energy_gradient(x, y, exponent=r, projections=rays)

            name = f"r = {exponent}, {kind}, (N, P) = ({n}, {p})"
            yield from _compared(
                run, "A tree beside all pairs", name, fast, plain, wanted=20,
                computed=fast(some), expected=plain(), most=TREE_ERROR, share=len(some) / p,
            )  # fmt: skip


def _all_pairs(
    x: np.ndarray, y: np.ndarray, exponent: float, rays: np.ndarray
) -> Callable[[], np.ndarray]:
    def slope(ray: np.ndarray) -> np.ndarray:
        u, v = x @ ray, y @ ray
        to_y, to_x = np.empty_like(u), np.empty_like(u)
        pulls(u, v, exponent, to_y)
        pulls(u, u, exponent, to_x)
        return (to_y - to_x)[:, None] * ray

    def call() -> np.ndarray:
        with ThreadPoolExecutor(n_threads()) as pool:
            total = sum(pool.map(slope, rays))
        return 2 * exponent / len(x) * ef.slicing_constant(3, exponent) / len(rays) * total

    return call
