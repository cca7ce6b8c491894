"""Sums of powers by the tree, against the sum over all pairs."""

import numpy as np
import pytest
from energyflow_kernels.numba.riesz_sums import riesz_sums

SIZES = [1, 2, 63, 127, 128, 129, 1000]


def direct(xs, ys, w, exponent: float, derivative: bool) -> np.ndarray:
    z = xs[:, :, None] - ys[:, None, :]
    if derivative:
        size = np.where(z != 0, np.abs(z), 1.0)
        return np.sum(w[:, None, :] * exponent * np.sign(z) * size ** (exponent - 1), axis=2)
    return np.sum(w[:, None, :] * np.abs(z) ** exponent, axis=2)


def check(xs, ys, w, exponent: float, derivative: bool, tolerance: float) -> None:
    found = riesz_sums(xs, ys, w, exponent=exponent, derivative=derivative, tolerance=tolerance)
    expected = direct(xs, ys, w, exponent, derivative)
    size = direct(xs, ys, np.abs(w), exponent, False)
    if derivative:
        z = np.abs(xs[:, :, None] - ys[:, None, :])
        powers = exponent * np.where(z > 0, z, np.inf) ** (exponent - 1) if exponent < 1 else z
        size = np.sum(np.abs(w)[:, None, :] * (powers if exponent < 1 else z ** (exponent - 1)), 2)
    assert found.shape == xs.shape
    assert np.all(np.abs(found - expected) <= 2 * tolerance * np.max(size, axis=1, keepdims=True))


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0, 1.5, 1.9])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-10])
def test_sizes(rng, exponent: float, derivative: bool, tolerance: float) -> None:
    for n, m in zip(SIZES, SIZES[::-1], strict=True):
        xs, ys, w = rng.normal(size=(2, n)), rng.normal(size=(2, m)), rng.normal(size=(2, m))
        check(xs, ys, w, exponent, derivative, tolerance)


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("exponent", [0.5, 1.5])
def test_clustered_heavy_tailed_and_tied(rng, exponent: float, derivative: bool) -> None:
    cauchy = rng.standard_cauchy(size=(2, 1, 700))
    clustered = rng.integers(0, 5, size=(2, 1, 700)) + 1e-6 * rng.normal(size=(2, 1, 700))
    tied = rng.integers(-3, 4, size=(2, 1, 700)) * 0.5
    for xs, ys in (cauchy, clustered, tied, cauchy * 1e100, clustered * 1e-100, tied + 1e8):
        check(xs, ys, rng.normal(size=(1, 700)), exponent, derivative, 1e-6)


def test_one_place() -> None:
    xs, ys = np.zeros((1, 3)), np.array([[0.0, -0.0]])
    for derivative in (False, True):
        sums = riesz_sums(xs, ys, np.ones((1, 2)), exponent=0.5, derivative=derivative)
        np.testing.assert_array_equal(sums, 0)


def test_not_finite() -> None:
    for bad in (np.nan, np.inf):
        sums = riesz_sums(np.array([[0.0, bad]]), np.ones((1, 2)), np.ones((1, 2)), exponent=0.5)
        assert np.isnan(sums).all()


def test_not_finite_in_other_threads() -> None:
    rows = np.full((8, 300), np.inf)
    sums = riesz_sums(rows, rows, rows, exponent=0.5, n_threads=2)
    assert np.isnan(sums).all()


def test_sums_beyond_the_largest_number(rng) -> None:
    xs, ys = (1e250 * rng.normal(size=(8, 300)) for _ in range(2))
    sums = riesz_sums(xs, ys, np.ones((8, 300)), exponent=1.5, n_threads=2)
    np.testing.assert_array_equal(sums, np.inf)


def test_threads_agree(rng) -> None:
    xs, ys, w = (rng.normal(size=(8, 500)) for _ in range(3))
    one, three = (riesz_sums(xs, ys, w, exponent=0.7, n_threads=k) for k in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_faults() -> None:
    rows = np.ones((1, 2))
    with pytest.raises(ValueError, match="exponent must lie in"):
        riesz_sums(rows, rows, rows, exponent=2.0)
    with pytest.raises(ValueError, match="tolerance must lie in"):
        riesz_sums(rows, rows, rows, exponent=0.5, tolerance=1e-20)
