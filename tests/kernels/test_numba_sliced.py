"""The fused sliced energy distance on the CPU against direct sums over all pairs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed")

from energyflow_kernels.numba import rows as numba_rows
from energyflow_kernels.numba import sliced as numba_sliced
from energyflow_kernels.numba.sliced import sliced_energy
from energyflow_kernels.numba.slices import HadamardSlices, project_points, project_rows_back
from scipy import linalg

DTYPES = (np.float32, np.float64)


def naive(x, y, directions, a=None, b=None, unbiased=False):
    """Every slice's value and the summed gradients: sums over all pairs, in double precision."""
    x, y, directions = (array.astype(np.float64) for array in (x, y, directions))
    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y)) if b is None else b
    s_x = 1 / (1 - np.sum(a * a)) if unbiased else 1.0
    s_y = 1 / (1 - np.sum(b * b)) if unbiased else 1.0
    values, gx, gy = np.empty(len(directions)), np.zeros(x.shape), np.zeros(y.shape)
    for p, t in enumerate(directions):
        u, v = x @ t, y @ t
        uv, uu, vv = u[:, None] - v, u[:, None] - u, v[:, None] - v
        values[p] = 2 * a @ abs(uv) @ b - s_x * (a @ abs(uu) @ a) - s_y * (b @ abs(vv) @ b)
        gx += np.outer(2 * a * (np.sign(uv) @ b - s_x * (np.sign(uu) @ a)), t)
        gy += np.outer(2 * b * (-(a @ np.sign(uv)) - s_y * (np.sign(vv) @ b)), t)
    return values, gx, gy


def problem(rng, n, m, d, n_slices, dtype):
    x, y, directions = (rng.standard_normal((k, d)).astype(dtype) for k in (n, m, n_slices))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return x, y, directions


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3, 4, 17])
@pytest.mark.parametrize("sizes", [(2, 2, 1), (63, 65, 7), (300, 127, 20)])
def test_slices_are_the_direct_sums(rng, sizes, d, dtype):
    n, m, n_slices = sizes
    # Multiples of small powers of two, whose projections are exact: ties, and no rank in doubt.
    x, y, directions = (np.round(8 * z) / 8 for z in problem(rng, n, m, d, n_slices, dtype))
    a, b = (w / w.sum() for w in (rng.random(n), rng.random(m)))
    tolerance = 2e-5 if dtype == np.float32 else 1e-11
    for weights in ((None, None), (a, None), (a, b)):
        for unbiased in (False, True):
            got = sliced_energy(x, y, directions, *weights, unbiased=unbiased, wrt="xy")
            want = naive(x, y, directions, *weights, unbiased)
            for u, v in zip(got, want, strict=True):
                np.testing.assert_allclose(u, v, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [2, 6, 300])
def test_chunks_change_nothing(rng, monkeypatch, d, dtype):
    x, y, directions = problem(rng, 200, 150, d, 23, dtype)
    whole = sliced_energy(x, y, directions, wrt="xy")
    monkeypatch.setattr(numba_sliced, "_CHUNK", 350 * 8 * 3)
    parts = sliced_energy(x, y, directions, wrt="xy")
    assert all(u.tobytes() == v.tobytes() for u, v in zip(whole, parts, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_in_scratch_change_no_bit(rng, monkeypatch, weighted, dtype):
    """Rows too long to be kept beside the threads' scratch lie in it."""
    task = problem(rng, 20_000, 15_000, 2, 11, dtype)
    weights = tuple(rng.dirichlet(np.ones(len(z))) if weighted else None for z in task[:2])
    for wrt in ("xy", "y"):
        stored = sliced_energy(*task, *weights, wrt=wrt)
        with monkeypatch.context() as patch:
            patch.setattr(numba_sliced, "_CHUNK", 0)
            for n_threads in (1, 2, 3):
                got = sliced_energy(*task, *weights, wrt=wrt, n_threads=n_threads)
                for u, v in zip(got, stored, strict=True):
                    assert (u is None and v is None) or u.tobytes() == v.tobytes()


def test_scratch_is_bounded():
    for n in (10, 1000, 10**5, 10**7):
        for dtype in map(np.dtype, DTYPES):
            for weighing in (False, True):
                size = n, dtype, weighing
                count = numba_rows.solving_threads(1000, *size)
                taken = count * numba_rows.scratch_bytes(*size)
                assert count >= 2
                assert taken <= max(numba_rows.SCRATCH, 16 * dtype.itemsize * n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [2, 3, 10, 300])
def test_threads_and_runs_change_no_bit(rng, d, dtype):
    task = problem(rng, 3000, 2000, d, 60, dtype)
    one = sliced_energy(*task, wrt="xy", n_threads=1)
    for n_threads in (1, 2, 3, 8):
        many = sliced_energy(*task, wrt="xy", n_threads=n_threads)
        assert all(u.tobytes() == v.tobytes() for u, v in zip(one, many, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 3, 10, 100])
def test_equal_sets_are_at_rest(rng, d, dtype):
    x, _, directions = problem(rng, 1000, 1, d, 31, dtype)
    y = np.repeat(x, 2, axis=0)[rng.permutation(2000)]
    values, gx, gy = sliced_energy(x, y, directions, wrt="xy")
    assert not values.any()
    assert not gx.any()
    assert not gy.any()


@pytest.mark.parametrize("d", [2, 10])
def test_any_layout_and_read_only(rng, d):
    x, y, directions = problem(rng, 50, 40, d, 9, np.float64)
    want = sliced_energy(x, y, directions, wrt="xy")
    x, y, directions = np.asfortranarray(x), y[::-1][::-1], np.repeat(directions, 2, axis=0)[::2]
    for array in (x, y, directions):
        array.flags.writeable = False
    got = sliced_energy(x, y, directions, wrt="xy")
    assert all(u.tobytes() == v.tobytes() for u, v in zip(got, want, strict=True))


def test_what_is_not_wanted_is_none(rng):
    for d in (2, 5):
        task = problem(rng, 5, 6, d, 4, np.float32)
        for wrt in ((), ("x",), ("y",), ("x", "y")):
            _, gx, gy = sliced_energy(*task, wrt=wrt)
            assert (gx is not None, gy is not None) == ("x" in wrt, "y" in wrt)


@pytest.mark.parametrize("d", [2, 10])
def test_a_slice_that_is_not_finite_says_so(rng, d):
    x, y, directions = problem(rng, 50, 40, d, 9, np.float32)
    y[3, 0] = np.nan
    values, *_ = sliced_energy(x, y, directions)
    assert not np.isfinite(values).any()


@pytest.mark.parametrize(
    ("d", "n", "n_slices"),
    [(2, 1000, 40), (2, 300_000, 40), (2, 1_000_000, 2), (10, 1000, 40), (10, 100_000, 40)],
)
def test_memory(rng, d, n, n_slices):
    task = problem(rng, n, n, d, n_slices, np.float32)
    sliced_energy(*(z[:100] for z in task))
    tracemalloc.start()
    _, gx, _ = sliced_energy(*task, n_threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= (64 << 20) + 2 * gx.nbytes


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((4, 2)), np.ones((4, 3)), np.ones((5, 2))), ValueError, r"\(M, d\)"),
        ((np.ones((4, 2)), np.ones((4, 2)), np.ones((0, 2))), ValueError, r"\(P, d\)"),
        ((np.ones((0, 2)), np.ones((4, 2)), np.ones((5, 2))), ValueError, "at least 1 points"),
        ((np.ones((4, 2)), np.ones((4, 2)), np.ones((5, 2), np.float32)), TypeError, "float64"),
        ((np.ones((4, 2)), np.ones((4, 2)), np.ones((5, 2)), np.ones(3)), ValueError, "weights"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        sliced_energy(*arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["matrix", "transforms"])
def test_products_with_slices_and_back(rng, dtype, kind):
    n, d, n_slices = 63, 20, 37
    points = rng.standard_normal((n, d)).astype(dtype)
    slopes = rng.standard_normal((n_slices, n)).astype(dtype)
    directions = rng.standard_normal((n_slices, d)).astype(dtype)
    slices = directions
    if kind == "transforms":
        signs = np.sign(rng.standard_normal((2, 3, 32))).astype(dtype)
        picked = [np.arange(32), np.array([7, 0, 31, 2, 9])]
        hadamard = linalg.hadamard(32) / np.sqrt(32)
        maps = [hadamard * s[2] @ hadamard * s[1] @ hadamard * s[0] for s in signs]
        directions = np.concatenate([m[rows, :d] for m, rows in zip(maps, picked, strict=True)])
        slices = HadamardSlices(signs, picked, d)
    tolerance = {"rtol": 0, "atol": 1e-4 if dtype == np.float32 else 1e-12}
    for threads in (1, 2):
        rows = project_points(points[::-1], slices, threads)
        np.testing.assert_allclose(rows, directions @ points[::-1].T, **tolerance)
        sums = project_rows_back(slopes, slices, 0.5, threads)
        np.testing.assert_allclose(sums, 0.5 * slopes.T @ directions, **tolerance)
        assert rows.dtype == sums.dtype == dtype
