"""Fast ways beside plain ones, in turns: Hadamard slices and a matrix, a tree and all pairs.

Writes ratios.csv and ratios.md. A result that is wrong is not timed, and ends the run.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

import energyflow as ef

from .machine import n_threads, record, use_threads
from .timing import host_clock, medians

RESULTS = Path(__file__).parent / "results"
HADAMARD = (20_000, 784, 1000), 1.5  # (N = M, d, P), and the ratio that is wanted
TREE = (20_000, 64), 20.0  # (N = M, P) in 3 dimensions, likewise
HADAMARD_ERROR = 1e-3  # rounding to float32 swaps neighbours
TREE_ERROR = 1e-4
DIRECT_SLICES = 4


@dataclass(frozen=True)
class Ratio:
    """A way that should be fast beside a plain one."""

    name: str
    fast: float  # s
    plain: float  # s
    wanted: float
    error: float

    @property
    def met(self) -> bool:
        """Whether the fast way is fast enough."""
        return self.plain / self.fast >= self.wanted


def compare(
    name: str, fast: Callable[[], Any], plain: Callable[[], Any], wanted: float, error: float
) -> Ratio:
    """Time both in turns."""
    for call in (fast, plain):
        call()
    times = medians({"fast": fast, "plain": plain}, host_clock, seconds=1.0, turns=5)
    return Ratio(name, times["fast"], times["plain"], wanted, error)


def hadamard() -> Ratio:
    """A whole gradient, drawing of directions included, by transforms and by matrix products."""
    (n, d, p), wanted = HADAMARD
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, d)).astype(np.float32) for _ in range(2))
    y += 1 / d**0.5

    def by(slicing: str, seed: int = 0) -> Any:
        return ef.sliced_energy_gradient(x, y, None, None, p, slicing=slicing, rng=seed)

    name = f"hadamard against iid directions, (N, d, P) = ({n}, {d}, {p})"
    few = x[:1000], y[:1000], None, None, p
    with ef.use_backend("numpy"):
        plain = ef.sliced_energy_gradient(*few, slicing="hadamard", rng=0)
    fast = ef.sliced_energy_gradient(*few, slicing="hadamard", rng=0)
    error = float(np.linalg.norm(fast - plain) / np.linalg.norm(plain))
    if error > HADAMARD_ERROR:
        raise SystemExit(f"{name}: relative error {error:.2g} of the gradient")
    return compare(
        name,
        lambda: by("hadamard"), lambda: by("iid"), wanted, error,
    )  # fmt: skip


def spread_of(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
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


def tree(exponent: float, kind: str) -> Ratio:
    """The sliced gradient by a tree, and by sums over all pairs of each slice in float64.

    The sums over pairs are timed on a few of the slices, and the time multiplied.
    """
    (n, p), wanted = TREE
    rng = np.random.default_rng(1)
    x, y = spread_of(kind, rng, n), spread_of(kind, rng, n) + 0.5
    rays = ef.sample_projections(p, 3, rng=0)
    some = rays[:DIRECT_SLICES]

    def slope(ray: np.ndarray) -> np.ndarray:
        u, v = x @ ray, y @ ray
        to_y, to_x = np.empty(n), np.empty(n)
        pulls(u, v, exponent, to_y)
        pulls(u, u, exponent, to_x)
        return (to_y - to_x)[:, None] * ray

    def plain() -> np.ndarray:
        with ThreadPoolExecutor(n_threads()) as pool:
            total = sum(pool.map(slope, some))
        return 2 * exponent / n * ef.slicing_constant(3, exponent) / len(some) * total

    def fast(projections: np.ndarray = rays) -> Any:
        return ef.sliced_energy_gradient(x, y, exponent=exponent, projections=projections)

    exact = plain()
    error = float(np.linalg.norm(fast(some) - exact) / np.linalg.norm(exact))
    name = f"tree against all pairs, r = {exponent}, {kind}, (N, P) = ({n}, {p})"
    if error > TREE_ERROR:
        raise SystemExit(f"{name}: relative error {error:.2g} of the gradient")
    found = compare(name, fast, plain, wanted, error)
    return replace(found, plain=found.plain * p / len(some))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--threads", type=int, help="threads of every method (default: all CPUs)")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    about = record("cpu", 0)
    ratios = [hadamard()]
    print(ratios[-1], flush=True)
    for exponent in (0.5, 1.5):
        for kind in ("normal", "clustered", "cauchy"):
            ratios.append(tree(exponent, kind))
            print(ratios[-1], flush=True)
    with (arguments.out / "ratios.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "fast_s", "plain_s", "wanted", "error", *about])
        for r in ratios:
            numbers = (f"{v:.4g}" for v in (r.fast, r.plain, r.wanted, r.error))
            writer.writerow([r.name, *numbers, *about.values()])
    lines = ["# Ratios", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    lines += ["| what | ms | plain, ms | times faster | wanted | relative error |"]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    for r in ratios:
        lines.append(
            f"| {r.name} | {1000 * r.fast:.4g} | {1000 * r.plain:.4g} | {r.plain / r.fast:.3g} | "
            f"{r.wanted:g}{'' if r.met else ' (not met)'} | {r.error:.2g} |"
        )
    text = "\n".join([*lines, ""])
    (arguments.out / "ratios.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
