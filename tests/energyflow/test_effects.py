"""How large a difference is, and which columns make it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import erf

import energyflow as ef
from energyflow._permutation_tests.column_tests import corrected


@pytest.fixture
def samples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 0.4


def test_the_coefficient_of_inhomogeneity(samples, rng) -> None:
    x, y = samples
    for how in ({}, {"exponent": 1.5}):
        result = ef.energy_test(x, y, n_resamples=9, **how)
        r = how.get("exponent", 1.0)
        far = np.linalg.norm(x[:, None] - y, axis=2) ** r
        expected = float(result.statistic) / (2 * far.mean())
        assert float(result.inhomogeneity()) == pytest.approx(expected, rel=1e-10)
    assert float(ef.energy_test(np.zeros(3), np.ones(4)).inhomogeneity()) == pytest.approx(1)
    assert float(ef.energy_test(np.ones(3), np.ones(4)).inhomogeneity()) == 0
    with pytest.raises(ValueError, match="samples must be 2"):
        ef.energy_test(x, x, y, n_resamples=9).inhomogeneity()


# -- the size of the effect -----------------------------------------------------------------------


def test_the_effect_is_the_coefficient_by_the_u_estimator(samples) -> None:
    x, y = samples
    for exponent in (1.0, 1.5):
        result = ef.energy_test(x, y, n_resamples=9, exponent=exponent)
        far = np.linalg.norm(x[:, None] - y, axis=2) ** exponent
        unbiased = float(ef.energy_distance(x, y, exponent=exponent, estimator="U"))
        effect = result.effect_size(99, rng=0)
        assert effect.value == pytest.approx(unbiased / (2 * far.mean()), rel=1e-10)
        assert effect.low < effect.value < effect.high


def test_the_effect_has_no_unit(samples) -> None:
    x, y = samples
    expected = ef.energy_test(x, y, n_resamples=9).effect_size(99, rng=0)
    found = ef.energy_test(1024 * x - 8, 1024 * y - 8, n_resamples=9).effect_size(99, rng=0)
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert found.low == pytest.approx(expected.low, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_intervals_hold_the_truth(rng, shift) -> None:
    def mean_distance(delta):
        return 2 / np.sqrt(np.pi) * np.exp(-(delta**2) / 4) + delta * erf(delta / 2)

    truth = 1 - mean_distance(0) / mean_distance(shift)
    held = 0
    for k in range(60):
        x, y = rng.normal(size=40), rng.normal(size=40) + shift
        effect = ef.energy_test(x, y, n_resamples=1).effect_size(99, confidence=0.9, rng=k)
        held += effect.low <= truth <= effect.high
    assert held >= stats.binom(60, 0.85).ppf(0.001)


def test_a_narrower_interval_for_less_confidence(samples) -> None:
    result = ef.energy_test(*samples, n_resamples=9)
    wide, narrow = (result.effect_size(199, confidence=c, rng=0) for c in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert "95%" in str(wide)


def test_equal_points_have_no_effect() -> None:
    effect = ef.energy_test(np.ones(4), np.ones(3), n_resamples=1).effect_size(9)
    assert (effect.value, effect.low, effect.high) == (0, 0, 0)


def test_effects_of_bad_input(samples) -> None:
    x, y = samples
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 95"):
        ef.energy_test(x, y, n_resamples=1).effect_size(confidence=95)
    with pytest.raises(ValueError, match="samples must be 2"):
        ef.energy_test(x, x, y, n_resamples=1).effect_size()
    with pytest.raises(ValueError, match="two points each"):
        ef.energy_test(x, y[:1], n_resamples=1).effect_size()


# -- columns --------------------------------------------------------------------------------------


@pytest.fixture
def shifted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(80, 4)), rng.normal(size=(70, 4)) + np.array([0, 0, 1.0, 0])


def test_the_column_that_differs_is_found(shifted) -> None:
    found = ef.column_tests(*shifted, n_resamples=199, rng=0)
    assert np.argmax(found.alone) == np.argmax(found.shares) == 2
    assert found.pvalues[2] == 1 / 200
    assert np.delete(found.pvalues, 2).min() > 0.05
    assert found.pvalues_without[2] > 0.05
    assert found.columns == ("0", "1", "2", "3")
    assert repr(found) == "ColumnTests(4 columns, smallest p-value 0.005: '2')"


def test_each_column_is_an_energy_test(shifted) -> None:
    x, y = shifted
    found = ef.column_tests(x, y, n_resamples=19, scale="none", rng=0)
    for k in range(4):
        kept = np.arange(4) != k
        assert found.alone[k] == pytest.approx(float(ef.energy_distance(x[:, [k]], y[:, [k]])))
        assert found.without[k] == pytest.approx(float(ef.energy_distance(x[:, kept], y[:, kept])))
    assert found.statistic == pytest.approx(float(ef.energy_distance(x, y)))
    np.testing.assert_allclose(found.shares, 1 - found.without / found.statistic)


def test_units_do_not_matter(xp, shifted) -> None:
    units = np.array([1.0, 1024.0, 0.125, 1.0])
    expected = ef.column_tests(*shifted, n_resamples=39, rng=0)
    found = ef.column_tests(*(xp.asarray(v * units) for v in shifted), n_resamples=39, rng=0)
    np.testing.assert_array_equal(found.pvalues, expected.pvalues)
    np.testing.assert_allclose(found.alone, expected.alone, rtol=1e-9)


def test_corrected_pvalues_hold_the_level(rng) -> None:
    """One or more of five related columns is found in 5% of samples of one distribution."""
    found = 0
    for k in range(100):
        x, y = rng.normal(size=(2, 12, 5)) + rng.normal(size=(2, 12, 1))
        found += ef.column_tests(x, y, n_resamples=19, rng=k).pvalues.min() <= 0.05
    assert found <= stats.binom(100, 0.05).ppf(0.9995)


def test_corrections_by_hand() -> None:
    """Two columns and three relabellings, from the definition."""
    statistics = np.array([[3.0, 1, 2, 0], [10.0, 20, 0, 30]])
    score = np.array([[1.5, -0.5, 0.5, -1.5], [-0.5, 0.5, -1.5, 1.5]])  # times a deviation
    expected = [(score.max(axis=0) >= first).mean() for first in (1.5, -0.5)]
    np.testing.assert_allclose(corrected(statistics), expected)
    assert corrected(np.ones((2, 5))).tolist() == [1, 1]


def test_slicing_of_two_columns_is_not_that_of_one(rng) -> None:
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
    how = {"n_resamples": 19, "rng": 0}
    found = ef.column_tests(x, y, method="sliced", slicing="equispaced", **how)
    for values in (found.alone, found.without[::-1]):
        np.testing.assert_allclose(values, ef.column_tests(x, y, **how).alone)


def test_columns_of_bad_input(rng) -> None:
    with pytest.raises(ValueError, match="two columns or more"):
        ef.column_tests(*rng.normal(size=(2, 5, 1)), n_resamples=9)
    with pytest.raises(ValueError, match="scale must be one of"):
        ef.column_tests(*rng.normal(size=(2, 5, 2)), scale="iqr")


def test_a_figure_of_columns(shifted, tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    found = ef.column_tests(*shifted, n_resamples=19, rng=0)
    path = found.save_figure(tmp_path / "columns.svg")
    assert "<svg" in path.read_text()
