"""Kernel two-sample tests: the statistic, the level of one and of several bandwidths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

import energyflow as ef


@pytest.fixture
def samples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 0.4


KERNELS = [ef.kernels.Gauss(0.7), ef.kernels.Laplace(2.0), ef.kernels.Matern(1.5, 0.8)]


@pytest.mark.parametrize("kernel", [*KERNELS, ef.kernels.Riesz(1.5)])
def test_the_statistic_is_the_mmd(samples, kernel) -> None:
    found = ef.kernel_test(*samples, kernel=kernel, n_resamples=9, rng=0)
    expected = float(ef.mmd_squared(*samples, kernel=kernel))
    assert float(found.statistic) == pytest.approx(expected, rel=1e-10)
    assert found.kernels == (kernel,)
    assert found.pvalues[0] == found.pvalue


def test_the_energy_kernel_is_the_energy_test(samples) -> None:
    expected = ef.energy_test(*samples, rng=4, n_resamples=99)
    found = ef.kernel_test(*samples, kernel=ef.kernels.Energy(), rng=4, n_resamples=99)
    assert found.pvalue == expected.pvalue
    np.testing.assert_allclose(found.null_distribution, expected.null_distribution, rtol=1e-9)


def test_the_median_follows_the_units(samples) -> None:
    median = np.median(pdist(np.concatenate(samples)))
    for unit in (1.0, 1e-6, 1e9):
        x, y = (v * unit for v in samples)
        found = ef.kernel_test(x, y, rng=0, n_resamples=99)
        assert found.kernels[0].sigma == pytest.approx(median * unit)
        assert found.pvalue == ef.kernel_test(*samples, rng=0, n_resamples=99).pvalue


@pytest.mark.parametrize("family", ["gauss", "laplace", "matern"])
def test_bandwidths_are_aggregated(samples, family) -> None:
    found = ef.kernel_test(*samples, kernel=family, bandwidth="aggregate", rng=0)
    assert len(found.kernels) == len(found.pvalues) == 7
    assert found.pvalues.min() <= found.pvalues[found.chosen] <= found.pvalue < 1
    expected = float(ef.mmd_squared(*samples, kernel=found.kernels[found.chosen]))
    assert float(found.statistic) == pytest.approx(expected, rel=1e-9)
    assert "best of 7" in repr(found)


@pytest.mark.parametrize("bandwidth", ["median", "aggregate"])
def test_the_level(rng, bandwidth) -> None:
    rejected = 0
    for k in range(200):
        x, y = rng.normal(size=(2, 10, 2))
        how = {"bandwidth": bandwidth, "n_resamples": 39, "rng": k}
        rejected += ef.kernel_test(x, y, **how).pvalue <= 0.05
    assert rejected <= stats.binom(200, 0.05).ppf(0.9995)
    assert rejected >= stats.binom(200, 0.05).ppf(0.0005)


def test_small_scales_are_found_by_the_aggregate(rng) -> None:
    x = rng.normal(size=(150, 1))
    y = np.rint(2 * rng.normal(size=(150, 1))) / 2 + 0.02 * rng.normal(size=(150, 1))
    aggregate = ef.kernel_test(x, y, bandwidth="aggregate", rng=0).pvalue
    assert aggregate < 0.05


def test_every_library(xp, samples) -> None:
    expected = ef.kernel_test(*samples, rng=0, n_resamples=49)
    found = ef.kernel_test(*map(xp.asarray, samples), rng=0, n_resamples=49)
    assert found.pvalue == expected.pvalue
    assert type(found.statistic) is type(xp.asarray(samples[0]))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"kernel": "cauchy"}, ValueError, "kernel must be one of gauss, laplace, matern"),
        ({"kernel": ef.kernels.Linear()}, TypeError, "function of distances or a name, got Linear"),
        ({"kernel": ef.kernels.Gauss(), "bandwidth": 1.0}, ValueError, "must be left out"),
        ({"bandwidth": "mean"}, ValueError, "bandwidth must be a length, median or aggregate"),
        ({"bandwidth": -1.0}, ValueError, "bandwidth must be positive"),
        ({"n_resamples": 0}, ValueError, "n_resamples must be at least 1"),
    ],
)
def test_bad_input(samples, how, error, message) -> None:
    with pytest.raises(error, match=message):
        ef.kernel_test(*samples, **how)


def test_equal_points_have_no_median() -> None:
    with pytest.raises(ValueError, match="median distance is positive"):
        ef.kernel_test(np.ones((3, 2)), np.ones((4, 2)))
