"""Tests of independence: level, power, oracles, strata, and the same p-value in every library."""

from __future__ import annotations

from itertools import permutations as every_order

import numpy as np
import pytest
from energyflow_backends import (
    covariance_weights,
    exact_permuted_covariances,
    sliced_permuted_covariances,
)
from energyflow_backends.dependence import permutations as twins
from scipy import stats

import energyflow as ef
from energyflow._core.random import as_source
from energyflow._dependence.direction_pairs import DirectionPairs
from energyflow._dependence.permutations import check_strata, drawn


@pytest.fixture
def samples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(30, 3))
    return x, x[:, :2] ** 2 + 0.5 * rng.normal(size=(30, 2))


# -- the statistic and its permutations ----------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("estimator", ["V", "U"])
def test_permuted_covariances(samples, rng, backend, estimator, monkeypatch) -> None:
    x, y = samples
    orders = np.stack([rng.permutation(30) for _ in range(5)]).astype(np.int32)
    weights = covariance_weights(30, estimator)
    pair = DirectionPairs(as_source(0), 6, "iid").projectors(3, 2)
    with ef.use_backend(backend):
        exact = exact_permuted_covariances(x, y, orders, weights, 1.5)
        monkeypatch.setattr("energyflow_backends.dispatch.permuted_covariances._HELD", 8 * 30 * 7)
        monkeypatch.setattr("energyflow_backends.dispatch.permuted_covariances._TILE", 11)
        tiled = exact_permuted_covariances(x, y, orders, weights, 1.5)
        sliced = sliced_permuted_covariances(x, y, orders, weights, pair)
    for k, order in enumerate(orders):
        how = {"estimator": estimator, "exponent": 1.5}
        expected = float(ef.distance_covariance_squared(x, y[order], **how))
        assert exact[k] == pytest.approx(expected, rel=1e-10)
        assert tiled[k] == pytest.approx(expected, rel=1e-10)
        lines = [
            float(ef.distance_covariance_squared(x @ t, y[order] @ u, estimator=estimator))
            for t, u in zip(pair.first.directions, pair.second.directions, strict=True)
        ]
        scale = ef.slicing_constant(3) * ef.slicing_constant(2)
        assert sliced[k] == pytest.approx(scale * np.mean(lines), rel=1e-9, abs=1e-12)


def test_numpy_is_the_kernels_twin(rng) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    from energyflow_kernels.numba.dependence.pairs import pair_products
    from energyflow_kernels.numba.dependence.rows import permuted_moments

    xs, ys = rng.normal(size=(2, 3, 33))
    orders = np.stack([rng.permutation(33) for _ in range(17)]).astype(np.int32)
    weights = covariance_weights(33, "V")
    found = permuted_moments(xs, ys, orders) @ np.array(weights)
    expected = twins.permuted_line_covariances(xs, ys, orders, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    near, far = rng.normal(size=(2, 10, 33))
    np.testing.assert_allclose(
        twins.pair_products(near, 9, far, 20, orders),
        pair_products(near, 9, far, 20, orders),
        rtol=1e-12,
    )


def test_the_statistic_is_the_distance_covariance(samples) -> None:
    x, y = samples
    for exponent in (0.5, 1.0):
        for estimator in ("V", "U"):
            how = {"exponent": exponent, "estimator": estimator}
            found = ef.independence_test(x, y, n_resamples=9, rng=0, **how)
            expected = ef.distance_covariance_squared(x, y, **how)
            assert float(found.statistic) == pytest.approx(float(expected), rel=1e-12)
    z = x[:, :1] + y[:, :1]
    found = ef.independence_test(x, y, z, n_resamples=9, rng=0)
    expected = ef.partial_distance_covariance(x, y, z)
    assert float(found.statistic) == pytest.approx(float(expected), rel=1e-10)
    assert found.estimator == "U"


def test_permutations_of_what_a_third_sample_leaves(samples) -> None:
    x, y = samples
    z, n = x[:, :1], len(x)

    def centred(v):
        a = np.linalg.norm(v[:, None] - v, axis=2)
        rows = a.sum(0)
        a = a - (rows + rows[:, None]) / (n - 2) + a.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(a, 0)
        return a

    def product(a, b):
        return (a * b).sum() / (n * (n - 3))

    a, b, c = map(centred, (x, y, z))
    a, b = (v - product(v, c) / product(c, c) * c for v in (a, b))
    (orders,) = drawn(check_strata(None, n), n, as_source(0), 20)
    found = ef.independence_test(x, y, z, n_resamples=19, rng=0).null_distribution
    expected = [product(a, b[np.ix_(p, p)]) for p in orders[1:]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


# -- the p-value ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_scipy_enumerates_the_same(rng, ties) -> None:
    x, y = rng.normal(size=(2, 6))
    if ties:
        x, y = np.rint(x), np.rint(y)
    theirs = stats.permutation_test(
        (y,), lambda y: float(ef.distance_covariance_squared(x, y)),
        permutation_type="pairings", alternative="greater", n_resamples=np.inf, vectorized=False,
    )  # fmt: skip
    found = ef.independence_test(x, y, rng=0)
    assert found.enumerated
    assert found.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)
    assert found.null_distribution.shape == (720,)
    for how in ({"exponent": 0.7}, {"method": "sliced"}, {"given": x[::-1].copy()}):
        assert ef.independence_test(x, y, rng=0, **how).null_distribution.shape == (720,)


def test_all_permutations_within_strata(rng) -> None:
    x, y = rng.normal(size=(2, 6))
    strata = np.array([0, 1, 0, 1, 1, 0])
    found = ef.independence_test(x, y, strata=strata, rng=0)
    expected = []
    for order in every_order(range(6)):
        if (strata[list(order)] == strata).all():
            expected.append(float(ef.distance_covariance_squared(x, y[list(order)])))
    assert found.enumerated
    assert len(expected) == 36
    np.testing.assert_allclose(np.sort(found.null_distribution), np.sort(expected), atol=1e-12)


@pytest.mark.slow  # dcor compiles for a minute
def test_dcor_agrees_within_noise(rng) -> None:
    dcor = pytest.importorskip("dcor", reason="dcor is an oracle of these tests")
    for k in range(5):
        x = rng.normal(size=(25, 2))
        y = rng.normal(size=(25, 2)) + 0.2 * x
        ours = ef.independence_test(x, y, n_resamples=1999, rng=k).pvalue
        theirs = dcor.independence.distance_covariance_test(
            x, y, num_resamples=1999, random_state=k
        ).pvalue
        noise = np.sqrt(2 * ours * (1 - ours) / 2000)
        assert abs(ours - theirs) < 4 * noise + 0.001


@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_power(rng, method) -> None:
    x = rng.normal(size=(100, 3))
    y = x[:, :2] ** 2 + 0.5 * rng.normal(size=(100, 2))
    assert ef.independence_test(x, y, method=method, rng=0).pvalue <= 0.002


@pytest.mark.parametrize(("d", "discrete"), [(1, False), (1, True), (3, False), (3, True)])
@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_the_level(rng, d, discrete, method) -> None:
    rejected = 0
    for k in range(300):
        x, y = rng.normal(size=(2, 10, d))
        if discrete:
            x, y = np.rint(x), np.rint(y)
        how = {"method": method, "n_projections": 4, "slicing": "iid"}
        rejected += ef.independence_test(x, y, n_resamples=39, rng=k, **how).pvalue <= 0.05
    assert rejected <= stats.binom(300, 0.05).ppf(0.9995)
    if not discrete:
        assert rejected >= stats.binom(300, 0.05).ppf(0.0005)


def test_ties_count(rng) -> None:
    same = np.ones(9)
    assert ef.independence_test(same, rng.normal(size=9), n_resamples=50, rng=0).pvalue == 1


def test_strata_are_kept(rng) -> None:
    stratum = np.repeat([0, 1], 20)
    x, y = rng.normal(size=(2, 40)) + 5 * stratum  # related by their strata, no more
    assert ef.independence_test(x, y, rng=0).pvalue < 0.01
    assert ef.independence_test(x, y, strata=stratum, rng=0).pvalue > 0.05


def test_a_common_cause_is_removed(rng) -> None:
    z = rng.normal(size=80)
    x, y = z + 0.5 * rng.normal(size=80), z + 0.5 * rng.normal(size=80)
    assert ef.independence_test(x, y, rng=0).pvalue < 0.01
    assert ef.independence_test(x, y, z, rng=0).pvalue > 0.05


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_units_do_not_matter(samples, scale) -> None:
    x, y = samples
    for method in ("exact", "sliced"):
        expected = ef.independence_test(x, y, method=method, n_resamples=99, rng=0)
        found = ef.independence_test(x * scale, y, method=method, n_resamples=99, rng=0)
        assert found.pvalue == expected.pvalue
        assert float(found.statistic) / scale == pytest.approx(float(expected.statistic), rel=1e-9)


def test_the_same_p_value_in_every_library(xp, samples) -> None:
    for how in ({"method": "exact"}, {"method": "sliced"}, {"given": samples[0][:, 0]}):
        expected = ef.independence_test(*samples, rng=3, n_resamples=99, **how)
        if "given" in how:
            how = {"given": xp.asarray(how["given"])}
        found = ef.independence_test(*map(xp.asarray, samples), rng=3, n_resamples=99, **how)
        assert found.pvalue == expected.pvalue
        for name in ("statistic", "null_distribution"):
            array = getattr(found, name)
            assert type(array) is type(xp.asarray(samples[0]))
            np.testing.assert_array_equal(xp.to_numpy(array), getattr(expected, name))


def test_what_is_held_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr("energyflow._dependence.permutations._HELD", 4 * 30 * 7)
    parts = list(drawn(check_strata(None, 30), 30, as_source(0), 20))
    assert [part.shape for part in parts] == [(7, 30), (7, 30), (6, 30)]
    np.testing.assert_array_equal(parts[0][0], np.arange(30))
    assert all((np.sort(part, axis=1) == np.arange(30)).all() for part in parts)


def test_the_picture(samples, tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    result = ef.independence_test(*samples, n_resamples=99, rng=0)
    assert result.save_null(tmp_path / "null.png").read_bytes().startswith(b"\x89PNG")
    assert "99 permutations" in repr(result)


# -- how it says no ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": "1"}, TypeError, "x must be an array"),
        ({"y": np.ones((4, 1))}, ValueError, "as many points, got 5 and 4"),
        ({"given": np.ones(4)}, ValueError, "x and given must have as many points"),
        ({"x": np.full((5, 2), np.nan)}, ValueError, "x must be finite"),
        ({"given": np.full(5, np.inf)}, ValueError, "given must be finite"),
        ({"x": np.ones((2, 5, 1))}, ValueError, r"x must have shape \(N, d\)"),
        ({"n_resamples": 0}, ValueError, "n_resamples must be at least 1"),
        ({"exponent": 2.0}, ValueError, "exponent must lie"),
        ({"method": "fast"}, ValueError, "method must be one of"),
        ({"method": "sliced", "exponent": 1.5}, ValueError, "needs the exponent 1, got 1.5"),
        ({"slicing": "hadamard"}, ValueError, "slicing must be one of"),
        ({"strata": np.zeros(3)}, ValueError, r"strata must have shape \(5,\)"),
        ({"strata": np.arange(5)}, ValueError, "strata must hold two points somewhere"),
        ({"rng": -1}, ValueError, "rng must be a non-negative seed"),
        ({"x": np.ones(1), "y": np.ones(1)}, ValueError, "at least 2 points, got 1"),
    ],
)
def test_bad_input(change, error, message) -> None:
    arguments = {"x": np.arange(10.0).reshape(5, 2), "y": np.arange(5.0), **change}
    with pytest.raises(error, match=message):
        ef.independence_test(**arguments)
