"""Normal scores of observations: any law becomes the normal one, number by number."""

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

from energyflow._core.files import write_arrays
from energyflow.inverse import PosteriorFlow
from energyflow.inverse._learned.scores import NormalScores
from energyflow.models import MLP

SIZE = 2000


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "law", [stats.norm(5, 1e-6), stats.lognorm(3), stats.cauchy(), stats.uniform()]
)
def test_scores_of_any_law_are_normal(law) -> None:
    scores = NormalScores.of(law.rvs((SIZE, 2), random_state=rng()))
    fresh = scores(law.rvs((SIZE, 2), random_state=1))
    assert stats.kstest(fresh[:, 0], "norm").statistic < 0.05
    assert abs(np.corrcoef(fresh.T)[0, 1]) < 0.1


def test_scores_are_equivariant_under_increasing_maps() -> None:
    q = rng().normal(size=(100, 3))  # no more than there are knots
    np.testing.assert_allclose(NormalScores.of(q)(q), NormalScores.of(np.exp(5 * q))(np.exp(5 * q)))


def test_equal_numbers_share_a_middle_rank_and_constants_are_zero() -> None:
    counts = np.repeat([0.0, 1.0, 2.0], [50, 25, 25])[:, None]
    scores = NormalScores.of(np.hstack([counts, np.full_like(counts, 7)]))
    found = scores(np.array([[0.0, 7], [1, 7], [2, 8]]))
    np.testing.assert_allclose(found[:, 0], stats.norm.ppf([0.25, 0.625, 0.875]))
    np.testing.assert_array_equal(found[:, 1], 0)


def test_beyond_what_was_observed_scores_of_light_tails_go_on() -> None:
    q = rng().normal(5, 1e-3, size=(SIZE, 1))
    scores = NormalScores.of(q)
    end = q.max()
    found = scores(np.array([[end], [end + 1e-3], [end + 10e-3]]))[:, 0]
    np.testing.assert_allclose(np.diff(found), [1, 9], rtol=0.1)
    mirrored = NormalScores.of(-q)(-np.array([[end + 10e-3]]))
    assert mirrored[0, 0] == pytest.approx(-found[2])


def test_beyond_what_was_observed_scores_of_heavy_tails_stay() -> None:
    q = stats.cauchy().rvs((SIZE, 1), random_state=0)
    far = NormalScores.of(q)(np.array([[-1e9], [q.min()], [q.max()], [1e9]]))[:, 0]
    assert far[0] == far[1] < -3
    assert far[3] == far[2] > 3


def test_features_cut_heavy_tails_only() -> None:
    normal, heavy = rng().normal(size=(SIZE, 1)), stats.cauchy().rvs((SIZE, 1), random_state=0)
    found = NormalScores.of(np.hstack([normal, heavy])).features(np.hstack([normal, heavy]))
    assert found.shape == (SIZE, 4)
    np.testing.assert_array_equal(found[:, :1], normal)
    assert np.abs(found[:, 1]).max() < 20 < np.abs(heavy).max()
    np.testing.assert_array_equal(
        NormalScores.of(np.ones((9, 1))).features(np.ones((2, 1)))[:, 0], 1
    )


def test_save_and_load(tmp_path) -> None:
    q = rng().exponential(size=(SIZE, 2)).astype(np.float32)
    scores = NormalScores.of(q)
    scores.save(tmp_path / "scores.npz")
    again = NormalScores.load(tmp_path / "scores.npz")(q)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, scores(q))


@pytest.mark.parametrize(
    ("knots", "values", "message"),
    [
        (np.zeros((2, 1)), np.zeros((3, 1)), "of one shape"),
        (np.zeros(2), np.zeros(2), "of one shape"),
        (np.array([[1.0], [0.0]]), np.zeros((2, 1)), "knots must increase"),
        (np.array([[0.0], [np.nan]]), np.zeros((2, 1)), "knots must be finite"),
    ],
)
def test_damaged_files(tmp_path, knots, values, message) -> None:
    write_arrays(tmp_path / "scores.npz", {"knots": knots, "scores": values})
    with pytest.raises(ValueError, match=message):
        NormalScores.load(tmp_path / "scores.npz")


@pytest.mark.parametrize("sds", [5, 10])
def test_a_linear_gaussian_stays_one_far_out(sds: float) -> None:
    theta, noise = np.random.default_rng(2).normal(size=(2, SIZE, 1))
    flow = PosteriorFlow(n_steps=1, n_rounds=1, architecture=MLP(width=8, depth=0), device="cpu")
    flow.fit(theta, theta + 0.5 * noise, progress=False, n_validation=10)
    y = sds * 1.25**0.5
    with pytest.warns(UserWarning, match="outside the training observations"):
        samples = flow.sample(np.array([y]), 5000, rng=0).samples
    assert abs(samples.mean() - y / 1.25) < 0.3 * 0.2**0.5
    assert samples.std() == pytest.approx(0.2**0.5, rel=0.1)


@pytest.fixture(scope="module")
def of_powers() -> PosteriorFlow:
    """Of theta ~ N(0, 1), seen as exp(10 (theta + noise)): what is learned is the Gaussian base."""
    theta, noise = np.random.default_rng(1).normal(size=(2, SIZE, 1))
    flow = PosteriorFlow(n_steps=1, n_rounds=1, architecture=MLP(width=8, depth=0), device="cpu")
    return flow.fit(theta, np.exp(10 * (theta + 0.5 * noise)), progress=False, n_validation=10)


@pytest.mark.parametrize("y", [-1.5, 0.0, 1.5])
def test_posteriors_of_powers_are_those_of_their_logarithms(of_powers, y: float) -> None:
    samples = of_powers.sample(np.array([np.exp(10 * y)]), 5000, rng=0).samples
    assert samples.mean() == pytest.approx(y / 1.25, abs=0.1)
    assert samples.std() == pytest.approx(0.2**0.5, rel=0.1)


@pytest.mark.parametrize("size", [1e-200, 1e250])
def test_units_of_observations_may_be_extreme(size: float) -> None:
    theta, noise = rng().normal(size=(2, 200, 1))
    kind = {"n_steps": 1, "n_rounds": 1, "architecture": MLP(width=8, depth=0), "device": "cpu"}
    means = [
        PosteriorFlow(**kind)
        .fit(theta, unit * (theta + noise), progress=False, n_validation=10)
        .sample(np.array([unit * 1.5]), 500, rng=0)
        .mean
        for unit in (1.0, size)
    ]
    np.testing.assert_allclose(means[1], means[0], atol=1e-3)


def test_densities_see_scores_too(of_powers) -> None:
    grid = np.linspace(-3, 5, 400)[:, None]
    logs = of_powers.log_prob(grid, np.array([np.exp(10.0)]))
    assert np.exp(logs).sum() * 8 / 399 == pytest.approx(1, abs=0.02)
    assert float(grid[logs.argmax(), 0]) == pytest.approx(0.8, abs=0.1)


def test_posteriors_keep_their_scores(of_powers, tmp_path) -> None:
    of_powers.save(tmp_path / "run")
    seen = np.array([2.0])
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    expected = of_powers.sample(seen, 9, rng=0).samples
    np.testing.assert_array_equal(again.sample(seen, 9, rng=0).samples, expected)
    NormalScores.of(np.ones((3, 2))).save(tmp_path / "run" / "scores.npz")
    with pytest.raises(ValueError, match=r"scores\.npz: expected 1 numbers of an obs.*, got 2"):
        PosteriorFlow.load(tmp_path / "run", device="cpu")
