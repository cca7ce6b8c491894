"""Walsh-Hadamard projections on the CPU against products of matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard

pytest.importorskip("numba", reason="numba is not installed")

from energyflow_kernels.numba.hadamard import hadamard_back, hadamard_rows

DTYPES = (np.float32, np.float64)


def problem(rng, n, d, length, rounds, dtype, count=None):
    x = rng.standard_normal((n, d)).astype(dtype)
    signs = rng.choice([-1, 1], size=(rounds, length)).astype(dtype)
    picked = None if count is None else rng.permutation(length)[:count]
    return x, signs, picked


def naive(signs, picked, d):
    """The rows (K, d) of the product, in double precision."""
    length = signs.shape[1]
    product = np.eye(length)
    for s in signs.astype(np.float64):
        product = hadamard(length) @ (s[:, None] * product) / np.sqrt(length)
    return product[slice(None) if picked is None else picked, :d]


def close(dtype, scale=1.0):
    return {"rtol": 0, "atol": (2e-5 if dtype == np.float32 else 1e-13) * scale}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize(
    ("n", "d", "length"),
    [
        (1, 1, 4), (2, 3, 4), (33, 7, 8), (63, 16, 16), (32, 17, 32), (31, 64, 64),
        (65, 100, 128), (127, 200, 256), (5, 512, 512), (40, 784, 1024),
    ],
)  # fmt: skip
def test_rows_and_their_transpose_are_those_of_the_matrix(rng, n, d, length, rounds, dtype):
    for count in (None, 1, length // 2 + 1, length):
        x, signs, picked = problem(rng, n, d, length, rounds, dtype, count)
        theta = naive(signs, picked, d)
        rows = np.full((len(theta), n), np.nan, dtype)
        hadamard_rows(x, signs, picked, rows)
        np.testing.assert_allclose(rows, theta @ x.T, **close(dtype))
        start = rng.standard_normal((n, d)).astype(dtype)
        sums = start.copy()
        g = rng.standard_normal(rows.shape).astype(dtype)
        hadamard_back(g, signs, picked, sums)
        np.testing.assert_allclose(sums - start, g.T @ theta, **close(dtype, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scales_pass_through(rng, dtype, scale):
    x, signs, _ = problem(rng, 20, 50, 64, 2, dtype)
    plain, scaled = np.empty((2, 64, 20), dtype)
    hadamard_rows(x, signs, None, plain)
    hadamard_rows((x * scale).astype(dtype), signs, None, scaled)
    np.testing.assert_allclose(scaled / dtype(scale), plain, **close(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_points_get_equal_numbers(rng, dtype):
    x, signs, _ = problem(rng, 1, 100, 128, 2, dtype)
    rows = np.empty((128, 77), dtype)
    hadamard_rows(np.repeat(x, 77, axis=0), signs, None, rows)
    np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], 77, axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_no_bit(rng, dtype):
    x, signs, picked = problem(rng, 3000, 200, 256, 2, dtype, 100)
    rows, sums = np.empty((2, 100, 3000), dtype), np.zeros((2, 3000, 200), dtype)
    for k, n_threads in enumerate((1, 3)):
        hadamard_rows(x, signs, picked, rows[k], n_threads=n_threads)
        hadamard_back(rows[0], signs, picked, sums[k], n_threads=n_threads)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(sums[0], sums[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_inside_larger_rows_and_points_of_any_layout(rng, dtype):
    x, signs, picked = problem(rng, 40, 30, 32, 2, dtype, 20)
    plain, store = np.empty((20, 40), dtype), np.full((20, 100), np.nan, dtype)
    hadamard_rows(x, signs, picked, plain)
    for points in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x[::-1][::-1]):
        hadamard_rows(points, signs, picked, store[:, 7:47])
        np.testing.assert_array_equal(store[:, 7:47], plain)
    assert np.isnan(store[:, :7]).all()
    assert np.isnan(store[:, 47:]).all()
    sums, inside = np.zeros((2, 40, 30), dtype)
    hadamard_back(plain, signs, picked, sums)
    hadamard_back(store[:, 7:47], signs, picked, inside)
    np.testing.assert_array_equal(sums, inside)


def test_nothing_to_do():
    signs = np.ones((2, 8))
    hadamard_rows(np.empty((0, 5)), signs, None, np.empty((8, 0)))
    sums = np.ones((3, 5))
    hadamard_back(np.empty((0, 3)), signs, np.empty(0, np.int64), sums)
    np.testing.assert_array_equal(sums, 1)


ONES = np.ones((2, 8))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((3, 5), np.float32), ONES, None, np.ones((8, 3))), TypeError, "float32"),
        ((np.ones((3, 5), int), ONES.astype(int), None, np.ones((8, 3), int)), TypeError, "int"),
        ((np.ones(3), ONES, None, np.ones((8, 3))), ValueError, r"points \(N, d\)"),
        ((np.ones((3, 5)), np.ones((2, 6)), None, np.ones((6, 3))), ValueError, "power of two"),
        ((np.ones((3, 9)), ONES, None, np.ones((8, 3))), ValueError, "at least 4 and 9, got 8"),
        (
            (np.ones((3, 1)), np.ones((1, 2)), None, np.ones((2, 3))),
            ValueError,
            "at least 4 and 1, got 2",
        ),
        ((np.ones((3, 5)), ONES, np.array([8]), np.ones((1, 3))), ValueError, "picked"),
        ((np.ones((3, 5)), ONES, np.array([-1]), np.ones((1, 3))), ValueError, "picked"),
        ((np.ones((3, 5)), ONES, None, np.ones((8, 4))), ValueError, r"\(8, 3\)"),
        ((np.ones((3, 5)), ONES, None, np.ones((3, 8)).T), ValueError, "contiguous"),
        ((np.ones((3, 5)), ONES, np.array([0]), np.ones((1, 6))[:, ::2]), ValueError, "contiguous"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    points, signs, picked, rows = arguments
    with pytest.raises(error, match=message):
        hadamard_rows(points, signs, picked, rows)
    with pytest.raises(error, match=message):
        hadamard_back(rows, signs, picked, points)
