"""The shapes, targets and data that all benchmarks share."""

from dataclasses import dataclass

import numpy as np

import energyflow as ef


@dataclass(frozen=True)
class Shape:
    """N points of x, as many of y, in d dimensions, seen along P directions."""

    n: int
    d: int
    p: int
    min_speedup: float | None = None  # wanted: times faster than the papers' algorithm, at least
    max_floors: float | None = None  # wanted: times the floor, at most
    max_memory: float | None = None  # wanted: extra memory over the papers' algorithm's, at most

    def __str__(self) -> str:
        return f"({self.n}, {self.d}, {self.p})"

    @property
    def name(self) -> str:
        """As the command line names it."""
        return f"{self.n}x{self.d}x{self.p}"


CPU = (
    Shape(1000, 2, 100, min_speedup=10, max_floors=2.5),
    Shape(5000, 2, 256, min_speedup=12, max_floors=2.5),
    Shape(5000, 784, 256, min_speedup=5.5, max_floors=1.25),
    Shape(20000, 784, 100, min_speedup=4.8, max_floors=1.25),
    Shape(100000, 10, 50, min_speedup=18, max_floors=3),
)
GPU = (
    Shape(20000, 784, 1000, min_speedup=4, max_memory=1 / 3),
    Shape(1000, 2, 1000, min_speedup=10, max_memory=1 / 3),
)
SCALING = tuple(Shape(n, 2, 32) for n in (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000))
MAX_EXPONENT = 1.15  # wanted: of time over N, fitted to SCALING, at most


def max_scaling_bytes(n: int, d: int = 2) -> int:
    """Wanted: extra memory of at most 64 MiB plus twice the gradient, in float32."""
    return 64 * 2**20 + 2 * n * d * 4


@dataclass(frozen=True, eq=False)
class Problem:
    """Float32 data of one shape as NumPy arrays: points (N, d) and (N, d), directions (P, d)."""

    shape: Shape
    x: np.ndarray
    y: np.ndarray
    directions: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.x, self.y, self.directions


def problem(shape: Shape, seed: int = 0) -> Problem:
    """Two shifted normal samples and independent directions, a function of shape and seed."""
    rng = np.random.default_rng([seed, shape.n, shape.d, shape.p])
    x = rng.standard_normal((shape.n, shape.d), dtype=np.float32)
    y = rng.standard_normal((shape.n, shape.d), dtype=np.float32)
    y += np.float32(0.5)
    directions = ef.sample_projections(shape.p, shape.d, method="iid", rng=seed)
    return Problem(shape, x, y, directions.astype(np.float32))
