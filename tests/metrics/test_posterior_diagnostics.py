"""Diagnostics on Gaussian posteriors in closed form: right, too narrow, too wide, shifted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from energyflow import metrics
from energyflow.metrics._posteriors.uniformity import band, holm, places

PRIOR, NOISE = 1.0, 0.5
WRONG = {  # factor of the width, shift in standard deviations, what is found
    "too narrow": (0.8, 0.0),
    "too wide": (1.2, 0.0),
    "shifted up": (1.0, 0.3),
    "shifted down": (1.0, -0.3),
}


def posteriors(rng, m: int, n: int, d: int, width: float = 1.0, shift: float = 0.0):
    """Samples (m, n, d) and truths (m, d): normal prior, normal noise, exact posterior or not."""
    truths = PRIOR * rng.normal(size=(m, d))
    observed = truths + NOISE * rng.normal(size=(m, d))
    variance = 1 / (1 / PRIOR**2 + 1 / NOISE**2)
    mean, sd = observed * variance / NOISE**2, np.sqrt(variance)
    return mean[:, None] + sd * (shift + width * rng.normal(size=(m, n, d))), truths


def rejections_within_chance(rejected: int, trials: int, level: float) -> bool:
    low, high = stats.binom.interval(0.999, trials, level)
    return bool(low <= rejected <= high)


@pytest.mark.parametrize("test", ["ecdf", "ks", "chi2"])
def test_sbc_keeps_its_level(test: str, rng) -> None:
    found = [
        metrics.sbc(*posteriors(rng, 60, 19, 3), rng, test=test).pvalues.min() for _ in range(200)
    ]
    rejected = np.sum(np.array(found) <= 0.05)
    assert rejected <= stats.binom.ppf(0.999, 200, 0.05)
    if test != "chi2":  # of few ranks only an approximation
        assert rejections_within_chance(int(rejected), 200, 0.05)


def test_tarp_keeps_its_level(rng) -> None:
    found = [metrics.tarp(*posteriors(rng, 60, 19, 3), rng).pvalue for _ in range(200)]
    assert rejections_within_chance(int(np.sum(np.array(found) <= 0.05)), 200, 0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sbc_tells_the_wrong_parameter_and_how(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = [posteriors(rng, 1000, 50, 1, *how) for how in ((), *WRONG.values())]
    samples, truths = (np.concatenate(parts, axis=-1) for parts in zip(*columns, strict=True))
    found = metrics.sbc(samples, truths, rng, names=["right", *WRONG])
    told = found.verdicts(alpha=0.01)
    assert told.pop("right") == "no deviation found"
    for name, verdict in told.items():
        assert verdict.startswith(name)
    np.testing.assert_allclose(found.width[1:3], [0.8, 1.2], rtol=0.1)
    np.testing.assert_allclose(found.shift[3:], [0.3, -0.3], atol=0.1)
    inside = found.coverage([0.5, 0.9])
    np.testing.assert_allclose(inside[:, 0], [0.5, 0.9], atol=0.05)
    assert np.all(inside[:, 1] < inside[:, 0])
    assert np.all(inside[:, 2] > inside[:, 0])
    assert found.counts.sum(axis=1).tolist() == [1000] * 5


def test_one_deviation_does_not_hide_another(rng) -> None:
    samples, truths = posteriors(rng, 1500, 100, 1, width=0.75, shift=0.4)
    (told,) = metrics.sbc(samples, truths).verdicts().values()
    assert "shifted up" in told
    assert "too narrow" in told


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", WRONG)
def test_tarp_tells_what_is_wrong(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = metrics.tarp(*posteriors(rng, 1000, 50, 2), rng)
    width, shift = WRONG[name]
    samples, truths = posteriors(rng, 1000, 50, 2, width, shift)
    wrong = metrics.tarp(samples, truths, rng)
    assert right.pvalue > 0.01
    assert abs(right.area) < 0.02
    if name == "too wide":
        assert wrong.verdict() == name
        assert wrong.area > 0.01
    elif name == "too narrow":
        assert wrong.verdict() == "too narrow or biased"
        assert wrong.area < -0.01
    else:  # over points on all sides it averages out
        far = np.full_like(truths, -10 * np.sign(shift))
        beside = metrics.tarp(samples, truths, rng, references=far)
        assert beside.verdict() == "biased or of another shape"
        assert beside.ranks.mean() < 0.45


def test_tarp_sees_relations_that_sbc_does_not(rng) -> None:
    """Posterior of two parameters that depend on each other, samples that do not."""
    mixing = np.array([[1.0, 0.0], [0.95, 0.3]])
    mean = rng.normal(size=(800, 2))
    truths = mean + rng.normal(size=(800, 2)) @ mixing.T
    scale = np.linalg.norm(mixing, axis=1)
    samples = mean[:, None] + scale * rng.normal(size=(800, 60, 2))
    assert metrics.sbc(samples, truths).pvalues.min() > 0.01
    assert metrics.tarp(samples, truths).pvalue < 0.001


def test_tarp_has_no_units_and_takes_reference_points(rng) -> None:
    samples, truths = posteriors(rng, 100, 20, 2)
    units = np.array([1e-6, 1e6])
    one, other = metrics.tarp(samples, truths), metrics.tarp(samples * units, truths * units)
    np.testing.assert_allclose(one.ranks, other.ranks, atol=1e-12)
    assert np.all((one.low <= one.coverage) & (one.coverage <= one.high))
    assert (one.coverage[0], one.coverage[-1]) == (0, 1)
    at_truth = metrics.tarp(samples, truths, references=truths)  # no sample is nearer
    assert at_truth.ranks.max() <= 1 / 21
    assert at_truth.verdict() != "no deviation found"


def test_the_band_is_left_where_the_test_rejects(rng) -> None:
    at = places(200)
    low, high = band(200, 0.95)
    decisions = []
    for _ in range(200):
        samples, truths = posteriors(rng, 200, 30, 1, width=0.88)
        found = metrics.sbc(samples, truths)
        ecdf = (found.ranks <= at).mean(axis=0)
        leaves = bool(np.any((ecdf < low - 1e-12) | (ecdf > high + 1e-12)))
        decisions.append((leaves, bool(found.pvalues[0] <= 0.05)))
    assert all(leaves == rejects for leaves, rejects in decisions)
    assert 0 < sum(leaves for leaves, _ in decisions) < 200


def test_holm_in_closed_form() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1, 1])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("width", "shift", "verdict"),
    [
        (1.0, 0.0, "no deviation found"), (0.8, 0.0, "too narrow"), (1.2, 0.0, "too wide"),
        (1.0, 0.3, "shifted up"), (1.0, -0.3, "shifted down"),
    ],
)  # fmt: skip
def test_a_held_out_observation_of_many_numbers(
    width: float, shift: float, verdict: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    simulated = shift + width * rng.normal(size=(300, 400))
    found = metrics.posterior_predictive(simulated, rng.normal(size=400), held_out=True)
    assert found.verdict(0.02).startswith(verdict)


def test_predictive_levels_of_exchangeable_observations(rng) -> None:
    rejected = {"numbers": 0, "distance": 0, "shift": 0}
    for _ in range(300):
        rows = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 3))  # numbers that are related
        found = metrics.posterior_predictive(rows[1:], rows[0], held_out=True)
        rejected["numbers"] += int(found.pvalues.min() <= 0.061)
        rejected["distance"] += int(found.distance_pvalue <= 0.06)
        rejected["shift"] += int(found.shift_pvalue <= 0.06)
    assert rejections_within_chance(rejected["distance"], 300, 0.06)
    assert rejections_within_chance(rejected["shift"], 300, 0.06)
    assert rejections_within_chance(rejected["numbers"], 300, 0.06)


def test_an_observation_that_was_used_is_seldom_called_wrong(rng) -> None:
    """Where it lies nearest to all simulated ones, as the mean of their posterior does."""
    observation = np.zeros(20)
    simulated = np.sqrt(2) * rng.normal(size=(200, 20))
    used = metrics.posterior_predictive(simulated, observation)
    assert used.verdict() == "no deviation found"
    assert (
        metrics.posterior_predictive(simulated, observation, held_out=True).verdict() == "too wide"
    )


def test_single_numbers_and_ties(rng) -> None:
    simulated = np.concatenate([rng.normal(size=(199, 2)), np.ones((199, 1))], axis=1)
    found = metrics.posterior_predictive(
        simulated, np.array([0.0, 9.0, 1.0]), names=["mean", "peak", "count"]
    )
    assert found.outside() == ("peak",)
    assert found.above[1] > 5
    assert found.pvalues[2] == 1
    np.testing.assert_allclose(found.pvalues[1], 1 / 200)
    few = metrics.posterior_predictive(rng.normal(size=(10, 4)), np.full(4, 9.0))
    assert few.verdict() == "too few simulated observations to tell"
    assert "too few" in repr(few)
    with pytest.warns(UserWarning, match="10 simulated .* at the level 0.05: simulate 19 or more"):
        few.outside()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [19, 100, 500])
def test_one_number_of_many_is_found(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    observation = np.zeros(20)
    observation[[3, 7]] = 50, -60
    simulated = rng.normal(size=(n, 20))
    check = metrics.posterior_predictive(simulated, observation)
    assert check.outside() == ("3", "7")
    if n > 60:  # the level is shared with the tests of all numbers together
        assert check.verdict().endswith("outside: 3, 7")


def test_pictures(tmp_path, rng) -> None:
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    samples, truths = posteriors(rng, 40, 20, 9, width=0.7)
    for drawn in (metrics.sbc(samples, truths), metrics.tarp(samples, truths)):
        assert drawn.save_figure(tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    rows = metrics.sbc(samples, truths).figure().axes
    assert len(rows) == 2 * 8
    assert "too narrow" in " ".join(axes.get_title(loc="left") for axes in rows)


@pytest.mark.parametrize("d", [1, 2, 10])
def test_pair_plot_has_a_panel_for_each_pair(d: int, rng) -> None:
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    samples = rng.normal(size=(500, d))
    samples[:, 0] = 1.0  # constant
    names = [f"theta {k}" for k in range(d)]
    figure = metrics.pair_plot(samples, np.full(d, 3.0), names)
    figure.canvas.draw()
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == d * (d + 1) // 2
    assert [axes.get_xlabel() for axes in shown[-d:]] == names
    for axes in shown:
        low, high = axes.get_xlim()
        assert low < 3 < high


def test_the_former_name_gives_the_pooled_ranks(rng) -> None:
    samples, truths = posteriors(rng, 50, 20, 2)
    found = metrics.sbc(samples, truths)
    with pytest.warns(DeprecationWarning, match=r"now metrics\.sbc"):
        former = metrics.calibration(samples, truths, levels=[0.5])
    np.testing.assert_array_equal(former.counts, found.counts.sum(axis=0))
    np.testing.assert_allclose(former.coverage, found.coverage([0.5]).mean())
    assert former.error == pytest.approx(abs(former.coverage[0] - 0.5))


def test_ties_are_shared_out() -> None:
    found = metrics.sbc(np.zeros((5000, 9)), np.zeros(5000), bins=5)
    np.testing.assert_allclose(found.counts, 1000, atol=130)


def test_bad_input(rng) -> None:
    samples, truths = posteriors(rng, 5, 4, 2)
    for check in (metrics.sbc, metrics.tarp):
        with pytest.raises(ValueError, match=r"samples must have shape \(m, n, ...\)"):
            check(samples, truths[:, :1])
        with pytest.raises(ValueError, match="truths must be finite"):
            check(samples, np.full_like(truths, np.nan))
        with pytest.raises(ValueError, match="truths must be at least 2"):
            check(samples[:1], truths[:1])
    with pytest.raises(ValueError, match="names must be 2 different ones"):
        metrics.sbc(samples, truths, names=["a", "a"])
    with pytest.raises(ValueError, match="levels must lie"):
        metrics.sbc(samples, truths).coverage([1.0])
    with pytest.raises(ValueError, match="references must have the shape of truths"):
        metrics.tarp(samples, truths, references=truths[0])
    with pytest.raises(ValueError, match=r"simulated must have shape \(n, ...\)"):
        metrics.posterior_predictive(samples[0], truths)
    with pytest.raises(ValueError, match=r"d from 1 to 10, got \(4, 11\)"):
        metrics.pair_plot(np.zeros((4, 11)))
    with pytest.raises(ValueError, match=r"truth must have shape \(2,\)"):
        metrics.pair_plot(samples[0], truths)
