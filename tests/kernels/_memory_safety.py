"""Compiled kernels on hostile numbers: run as a script, exit status 0 where all stay in bounds.

Arguments: "flush" flushes subnormal numbers to zero, as another library may; "race" lets a thread
rewrite the inputs meanwhile. With NUMBA_BOUNDSCHECK=1 an index outside an array raises. Outputs lie
between guard numbers, which must not change; results may be anything.
"""

import itertools
import sys
import threading

import numpy as np
from energyflow_kernels.numba.hadamard import hadamard_back, hadamard_rows
from energyflow_kernels.numba.pairs.energies import pair_energies
from energyflow_kernels.numba.pairs.kernel_sums import pair_sums
from energyflow_kernels.numba.permutations import permutation_energies
from energyflow_kernels.numba.riesz_rows import riesz_rows
from energyflow_kernels.numba.riesz_sums import riesz_sums
from energyflow_kernels.numba.rows import energy_rows
from energyflow_kernels.numba.sliced import extent, sliced_energy
from energyflow_kernels.numba.transport.rows import wasserstein_rows

GUARD = 123.5
SIZES = ((1, 1), (2, 3), (65, 64), (700, 800), (1500, 1600))


def kinds(rng, shape, dtype):
    """Arrays whose numbers are near the ends of what the dtype holds, or none at all."""
    info = np.finfo(dtype)
    normal = rng.standard_normal(shape)
    with np.errstate(all="ignore"):
        yield normal.astype(dtype)
        yield (normal * float(info.tiny)).astype(dtype)
        yield (np.exp(np.log(float(info.tiny)) + 1 + normal)).astype(dtype)
        yield (rng.integers(-3, 4, shape) * float(info.smallest_subnormal)).astype(dtype)
        yield (normal * float(info.max) / 8).astype(dtype)
        exponents = rng.integers(info.minexp, info.maxexp, shape)
        yield np.ldexp(np.sign(normal), exponents).astype(dtype)
        yield rng.integers(0, 3, shape).astype(dtype)
        yield np.where(normal > 0, dtype(0.0), dtype(-0.0))
        for fault in (np.nan, np.inf, -np.inf):
            faulty = normal.astype(dtype)
            faulty.reshape(-1)[:: max(1, faulty.size // 3)] = fault
            yield faulty
        words = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
        yield words.view(dtype)[..., 0]


def guarded(shape, dtype):
    """An array of zeros with guards before and after it, and a function that checks them."""
    size, margin = int(np.prod(shape)), 64
    whole = np.full(size + 2 * margin, GUARD, dtype)
    inside = whole[margin : margin + size].reshape(shape)
    inside[...] = 0

    def check():
        assert (whole[:margin] == GUARD).all()
        assert (whole[margin + size :] == GUARD).all()

    return inside, check


def calls(x, y, row_x, row_y, rng):
    """All kernels on points (N, d) and (M, d), and on rows (d, N) and (d, M)."""
    (n, d), m = x.shape, len(y)
    dtype = x.dtype.type
    a, b = (np.full(k, 1 / k) for k in (n, m))
    for unbiased, weights in itertools.product(
        (False, True), ((None, None), (a, b), (-a, b * np.inf))
    ):
        if unbiased and min(n, m) < 2:
            continue
        energy_rows(row_x, row_y, *weights, unbiased=unbiased, wrt=("x", "y"))
        batch = (None if w is None else w[None] for w in weights)
        pair_energies(x[None], y[None], *batch, exponent=1.0 + unbiased / 2, wrt=("x", "y"))
        for p in (1.0, 1.5, 2.0):
            wasserstein_rows(row_x, row_y, *weights, p=p, wrt=("x", "y"))
    directions = rng.standard_normal((9, d)).astype(dtype)
    sliced_energy(x, y, directions, wrt=("x", "y"))
    extent(x)
    for kind, gradient in itertools.product(("power", "gauss", "matern"), (False, True)):
        pair_sums(x[None], y[None], b[None], (kind, 1.5, 2.0), gradient=gradient)
    pair_energies(*(np.tile(v, (1, 1, 5)) for v in (x[None], y[None])), wrt=("x", "y"))
    for exponent in (0.5, 1.5, 1e-9, 2 - 1e-9):
        riesz_rows(
            row_x, row_y, None, None, exponent=exponent, unbiased=False, wrt=("x", "y"),
            tolerance=1e-12,
        )  # fmt: skip
        charges = np.broadcast_to(b, row_y.shape)
        riesz_sums(row_x, row_y, charges, exponent=exponent, derivative=exponent == 0.5)
    signs = np.where(rng.random((2, 8)) < 0.5, dtype(-1), dtype(1))
    picked = np.array([7, 0, 3])
    rows, check_rows = guarded((3, n), x.dtype)
    hadamard_rows(x[:, :8], signs, picked, rows)
    sums, check_sums = guarded((n, min(d, 8)), x.dtype)
    hadamard_back(rows, signs, picked, sums)
    check_rows()
    check_sums()
    pooled = np.concatenate([row_x, row_y], axis=1).astype(np.float64)
    labels = rng.permuted(np.repeat([0, 1], (n, m))[:, None].repeat(5, 1), axis=0).astype(np.uint8)
    permutation_energies(pooled, [labels], np.array([n, m]))


def rewrite(arrays, others, done):
    """Write other numbers into the arrays, again and again."""
    for numbers in itertools.cycle(zip(*others, strict=True)):
        for array, new in zip(arrays, numbers, strict=True):
            array[...] = new
        if done.is_set():
            return


def main(words):
    np.seterr(all="ignore")
    if "flush" in words:
        import torch

        assert torch.set_flush_denormal(True)
    rng = np.random.default_rng(0)
    sizes = (SIZES[1], *SIZES[3:]) if "quick" in words else SIZES
    for dtype, (n, m), d in itertools.product((np.float32, np.float64), sizes, (1, 3)):
        shapes = (n, d), (m, d), (d, n), (d, m)
        for arrays in zip(*(kinds(rng, shape, dtype) for shape in shapes), strict=True):
            if "race" not in words:
                calls(*arrays, rng)
                continue
            done = threading.Event()
            others = [list(kinds(np.random.default_rng(1), shape, dtype)) for shape in shapes]
            thread = threading.Thread(target=rewrite, args=(arrays, others, done))
            thread.start()
            try:
                calls(*arrays, rng)
            finally:
                done.set()
                thread.join()
    print("in bounds")


if __name__ == "__main__":
    main(sys.argv[1:])
