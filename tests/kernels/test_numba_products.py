"""Products of points and slices, tile by tile, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed")

from energyflow_kernels.numba.matrix_products import (
    TILE_ROWS,
    extremes,
    pack_directions,
    project,
    project_back,
)
from energyflow_kernels.numba.sliced import extent

DTYPES = (np.float32, np.float64)
SIZES = [(1, 1, 1), (2, 3, 2), (6, 16, 6), (63, 7, 5), (65, 17, 13), (100, 1030, 9), (33, 8, 25)]


def draw(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def padded(directions):
    """Rows beyond the last may be read, and must not matter."""
    return np.pad(directions, ((0, TILE_ROWS), (0, 0)), constant_values=7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_project(rng, size, dtype):
    n, d, p = size
    points, directions = draw(rng, dtype, n, d), draw(rng, dtype, p, d)
    rows = np.full((p, n), np.nan, dtype)
    flat = points.reshape(-1), padded(directions).reshape(-1)
    first = p // 3
    for start, stop in ((0, n // 2), (n // 2, n)):
        project(*flat, first, p - first, d, rows[first:].reshape(-1), n, start, stop)
    assert np.isnan(rows[:first]).all()
    expected = directions.astype(np.float64) @ points.T.astype(np.float64)
    np.testing.assert_allclose(
        rows[first:], expected[first:], rtol=0, atol=40 * np.finfo(dtype).eps * d**0.5
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_project_back(rng, size, dtype):
    n, d, p = size
    slopes, directions = draw(rng, dtype, p, n), draw(rng, dtype, p, d)
    out = draw(rng, dtype, n, d)
    expected = out + 0.5 * slopes.T.astype(np.float64) @ directions.astype(np.float64)
    packed = pack_directions(directions.reshape(-1), 0, p, d, 0.5)
    for start, stop in ((0, n // 2), (n // 2, n)):
        project_back(slopes.reshape(-1), n, p, packed, d, out.reshape(-1), start, stop)
    np.testing.assert_allclose(out, expected, rtol=0, atol=40 * np.finfo(dtype).eps * p**0.5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_points_are_projected_alike_wherever_they_stand(rng, dtype):
    d, p, n = 301, 19, 113
    points, directions = draw(rng, dtype, 1, d).repeat(n, axis=0), draw(rng, dtype, p, d)
    rows = np.full((p, n), np.nan, dtype)
    project(points.reshape(-1), padded(directions).reshape(-1), 0, p, d, rows.reshape(-1), n, 0, n)
    assert (rows == rows[:, :1]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (1000, 2), (70, 3), (300, 129), (200_000, 2)])
def test_extent(rng, n, d, dtype):
    points = draw(rng, dtype, n, d)
    for n_threads in (1, 2):
        low, high = extent(points, n_threads)
        np.testing.assert_array_equal(low, points.min(axis=0))
        np.testing.assert_array_equal(high, points.max(axis=0))


def test_extremes_only_widen():
    low, high = np.array([-5.0, 0.0]), np.array([5.0, 0.0])
    extremes(np.array([1.0, 2.0, 3.0, -4.0]), 2, 0, 2, low, high)
    assert (low.tolist(), high.tolist()) == ([-5.0, -4.0], [5.0, 2.0])
