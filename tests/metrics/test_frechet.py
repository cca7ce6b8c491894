"""The Fréchet and the kernel distance: closed forms, and what leaves them unchanged."""

import re
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.linalg import sqrtm

from energyflow.metrics import frechet_distance, kernel_distance

numbers = st.floats(-10, 10).map(lambda v: round(v, 3))
sets = st.tuples(st.integers(2, 9), st.just(3)).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=numbers)
)


def whitened(n, d, seed):
    """Points with mean zero and covariance the identity, exactly."""
    points = np.random.default_rng(seed).normal(size=(n, d))
    points -= points.mean(axis=0)
    return np.linalg.qr(points)[0] * np.sqrt(n - 1)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_gaussians_with_commuting_covariances(d):
    """|difference of means|^2 + sum of (difference of standard deviations)^2."""
    rng = np.random.default_rng(d)
    scales, means = rng.uniform(0.1, 3, (2, d)), rng.normal(size=(2, d))
    x = whitened(50, d, 1) * scales[0] + means[0]
    y = whitened(31, d, 2) * scales[1] + means[1]
    wanted = np.sum((means[0] - means[1]) ** 2) + np.sum((scales[0] - scales[1]) ** 2)
    assert float(frechet_distance(x, y)) == pytest.approx(wanted, rel=1e-12)


def test_the_formula_by_roots_of_matrices():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5)) + 1
    y = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    s, t = np.cov(x.T), np.cov(y.T)
    shift = np.sum((x.mean(0) - y.mean(0)) ** 2)
    wanted = shift + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert float(frechet_distance(x, y)) == pytest.approx(wanted, rel=1e-10)


def test_fewer_points_than_dimensions():
    """Two sets on orthogonal lines share nothing: the spreads add."""
    x, y = np.zeros((2, 5, 40))
    x[:, 0], y[:, 1] = np.arange(5) - 2, 3 * (np.arange(5) - 2)
    wanted = np.var(np.arange(5), ddof=1) * (1 + 9)
    assert float(frechet_distance(x, y)) == pytest.approx(wanted, rel=1e-12)


@given(sets, sets)
def test_axioms(x, y):
    there, back = float(frechet_distance(x, y)), float(frechet_distance(y, x))
    scale = 1 + np.sum(x**2) + np.sum(y**2)
    assert there >= 0
    assert there == pytest.approx(back, abs=1e-10 * scale)
    assert float(frechet_distance(x, x)) == pytest.approx(0, abs=1e-10 * scale)
    assert float(frechet_distance(x + 7, y + 7)) == pytest.approx(there, abs=1e-9 * scale)
    assert float(frechet_distance(3 * x, 3 * y)) == pytest.approx(9 * there, abs=1e-9 * scale)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = float(frechet_distance(x @ rotation, y @ rotation))
    assert turned == pytest.approx(there, abs=1e-9 * scale)


def test_the_kernel_distance_is_the_sum_over_pairs_of_different_points():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 1

    def kernel(p, q):
        return (p @ q / 3 + 1) ** 3

    def mean(points):
        return np.mean([kernel(p, q) for p, q in permutations(points, 2)])

    across = np.mean([kernel(p, q) for p in x for q in y])
    wanted = mean(x) + mean(y) - 2 * across
    assert float(kernel_distance(x, y)) == pytest.approx(wanted, rel=1e-12)


def test_the_kernel_distance_is_unbiased():
    """Of small sets of one law its mean is zero, where the Fréchet distance's is not."""
    rng = np.random.default_rng(1)
    values = [float(kernel_distance(*rng.normal(size=(2, 5, 4)))) for _ in range(4000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 4000**0.5


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_every_library(xp, distance):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(30, 4)) + 1
    value = distance(xp.asarray(x), xp.asarray(y))
    assert type(value) is type(xp.asarray(1.0)) or xp.name.startswith("numpy")
    assert value.shape == ()
    assert float(value) == pytest.approx(float(distance(x, y)), rel=1e-10)


@pytest.mark.parametrize(
    ("x", "y", "error", "told"),
    [
        (np.ones((1, 2)), np.ones((3, 2)), ValueError, "features_x must have at least two rows"),
        (np.ones((3, 2)), np.ones((3, 3)), ValueError, "one dimension, got 2 and 3"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), ValueError, "features_y must be finite"),
        ("text", np.ones((3, 2)), TypeError, "features_x must be an array"),
        ([["1"], ["2"]], np.ones((3, 1)), TypeError, "features_x must be real numbers, got text"),
        (np.ones((3, 2), complex), np.ones((3, 2)), TypeError, "complex128"),
    ],
)
@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_bad_input_is_named(distance, x, y, error, told):
    with pytest.raises(error, match=told):
        distance(x, y)


@pytest.mark.parametrize("name", ["features_x", "features_y"])
def test_the_kernel_distance_refuses_what_its_cube_cannot_hold(name):
    rng = np.random.default_rng(2)
    sets = {"features_x": rng.normal(size=(30, 2)), "features_y": rng.normal(size=(20, 2))}
    with pytest.raises(ValueError, match=f"{name} must be at most .* cubes .* got 1e\\+60"):
        kernel_distance(**sets | {name: np.full((9, 2), 1e60)})


@pytest.mark.parametrize("sizes", [(2, 2), (2, 300), (300, 300)])
def test_the_kernel_distance_is_finite_up_to_its_bound(sizes):
    with pytest.raises(ValueError, match="at most") as caught:
        kernel_distance(np.full((max(sizes), 5), 1e60), np.ones((2, 5)))
    bound = 0.95 * float(re.search(r"at most (\S+)", str(caught.value))[1])
    x, y = (np.full((n, 5), bound) for n in sizes)
    assert np.isfinite(kernel_distance(x, -y))
