"""Kernels of distance covariances against direct sums over all pairs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed")

from compiled_functions import from_python
from energyflow_kernels.numba.dependence.discordance import discordant_products, discordant_sums
from energyflow_kernels.numba.dependence.pairs import pair_products
from energyflow_kernels.numba.dependence.rows import covariance_rows, permuted_moments

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 200)


def rows(rng: np.random.Generator, n: int, ties: str) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    return np.rint(2 * x) if "x" in ties else x, np.rint(2 * y) if "y" in ties else y


def in_order(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(x)
    along = y[order]
    by_y = np.argsort(along)
    rank = np.empty(len(x), np.int32)
    rank[by_y] = np.arange(len(x))
    return x[order], along[by_y], rank


def scratch(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((4, n), np.nan), np.full((2, n), -1, np.int32)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("ties", ["", "x", "xy"])
def test_discordant_pairs(rng, n, ties) -> None:
    xs, ys, rank = in_order(*rows(rng, n, ties))
    dx, dy = xs[:, None] - xs, ys[rank][:, None] - ys[rank]
    expected = np.where(dx * dy < 0, -dx * dy, 0).sum() / 2
    found = from_python(discordant_products)(xs, ys, rank, *scratch(n))
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    if not ties:
        sums = np.full((n, 3), np.nan)
        discordant_sums(xs, ys, rank, sums, *scratch(n))
        apart = (dx * dy < 0).astype(float)
        by_point = np.stack([apart.sum(1), apart @ xs, apart @ ys[rank]], axis=1)
        np.testing.assert_allclose(sums[rank], by_point, atol=1e-11)


def direct(x: np.ndarray, y: np.ndarray, weights) -> tuple[float, np.ndarray, np.ndarray]:
    a, b = abs(x[:, None] - x), abs(y[:, None] - y)
    value = weights @ np.array([(a * b).sum(), a.sum(1) @ b.sum(1), a.sum() * b.sum()])

    def slope(z, other):
        sums = other.sum(1)
        centred = weights[0] * other + weights[1] / 2 * (sums[:, None] + sums)
        return 2 * ((centred + weights[2] * other.sum()) * np.sign(z[:, None] - z)).sum(1)

    return value, slope(x, b), slope(y, a)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("ties", ["", "x", "y", "xy"])
def test_values_and_gradients_of_rows(rng, n, ties) -> None:
    weights = np.array([1 / n**2, -2 / n**3, 1 / n**4])
    x, y = rows(rng, n, ties)
    value, gx, gy = covariance_rows(x[None], y[None], tuple(weights), wrt=("x", "y"))
    expected = direct(x, y, weights)
    assert value[0] == pytest.approx(expected[0], abs=1e-13)
    np.testing.assert_allclose(gx[0], expected[1], atol=1e-13)
    np.testing.assert_allclose(gy[0], expected[2], atol=1e-13)
    alone = covariance_rows(x[None], y[None], tuple(weights))
    assert alone[0][0] == pytest.approx(expected[0], abs=1e-13)
    assert alone[1] is alone[2] is None


def test_far_offsets_and_signed_zeros(rng) -> None:
    x, y = rows(rng, 50, "xy")
    weights = (1 / 50**2, -2 / 50**3, 1 / 50**4)
    expected = covariance_rows(x[None], y[None], weights, wrt=("x",))
    moved = covariance_rows(x[None] + 2.0**40, y[None], weights, wrt=("x",))
    signed = np.where(x == 0, np.where(np.arange(50) % 2, -0.0, 0.0), x)
    zeros = covariance_rows(signed[None], y[None], weights, wrt=("x",))
    for found in (moved, zeros):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("n", [1, 2, 5, 64, 65])
def test_permutations_of_rows(rng, n) -> None:
    xs, ys = rng.normal(size=(3, n)), np.rint(rng.normal(size=(3, n)))
    permutations = np.stack([rng.permutation(n) for _ in range(37)])
    found = permuted_moments(xs, ys, permutations)
    expected = np.zeros((37, 3))
    for x, y in zip(xs, ys, strict=True):
        for w, p in enumerate(permutations):
            a, b = abs(x[:, None] - x), abs(y[p][:, None] - y[p])
            expected[w] += (a * b).sum(), a.sum(1) @ b.sum(1), a.sum() * b.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(("rows_near", "rows_far"), [(20, 20), (7, 20), (9, 3), (1, 1)])
def test_products_of_pairs_in_tiles(rng, rows_near, rows_far) -> None:
    n = 20
    a, b = rng.normal(size=(2, n, n))
    a, b = a + a.T, b + b.T
    permutations = np.stack([rng.permutation(n) for _ in range(5)]).astype(np.int32)
    found = sum(
        pair_products(a[i : i + rows_near], i, b[k : k + rows_far], k, permutations)
        for i in range(0, n, rows_near)
        for k in range(0, n, rows_far)
    )
    expected = [np.tril(a * b[np.ix_(p, p)], -1).sum() for p in permutations]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_same_bits_for_every_number_of_threads(rng, monkeypatch) -> None:
    xs, ys = rng.normal(size=(2, 9, 50))
    permutations = np.stack([rng.permutation(50) for _ in range(40)]).astype(np.int32)
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("ENERGYFLOW_NUM_THREADS", threads)
        weights = (1.0, -0.1, 0.01)
        values, slopes, _ = covariance_rows(xs, ys, weights, wrt=("x",))
        moments = permuted_moments(xs, ys, permutations)
        a, b = (abs(v[0][:, None] - v[0]) for v in (xs, ys))
        found.append((values, slopes, moments, pair_products(a, 0, b, 0, permutations)))
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)
