"""Posteriors of a few parameters: a Gaussian where data are few, and settings by their size."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

from energyflow.models import MLP, FlowMatching, load
from energyflow.models.data.scaling import Scaling
from energyflow.models.flow_matching.gaussian_base import GaussianBase
from energyflow.models.flow_matching.solver import OdeSolver

TINY = {"n_steps": 60, "n_rounds": 1, "architecture": MLP(width=16, depth=1), "device": "cpu"}
COVARIANCE = np.array([[4.0, 1.8], [1.8, 1.0]])


def gaussian(n: int, d_condition: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Correlated points, and conditions that say nothing of them."""
    rng = np.random.default_rng(0)
    points = 10 + rng.normal(size=(n, 2)) @ np.linalg.cholesky(COVARIANCE).T
    return points, rng.normal(size=(n, d_condition))


def fitted(*data: np.ndarray, **changes) -> FlowMatching:
    how = {k: changes.pop(k) for k in ("out", "resume") if k in changes}
    return FlowMatching(**{**TINY, **changes}).fit(*data, progress=False, n_validation=50, **how)


# -- the velocity --------------------------------------------------------------------------------


def test_untrained_it_carries_noise_to_itself_along_its_standard_deviation() -> None:
    """The solution is x(t) = s(t) x(0), with s(0) = s(1) = 1 and s(1/2)^2 = 1/2."""
    network = GaussianBase(MLP(width=16, depth=1).build((3,), [(2,), (1,)]))
    start, condition = torch.randn(5, 3), torch.randn(5, 2)

    def field(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return network(x, condition, t.expand(5, 1))

    solver = OdeSolver("midpoint", 100)
    with torch.no_grad():
        half, end = (solver.solve(field, start, 0.0, last) for last in (0.5, 1.0))
    torch.testing.assert_close(half, start * 0.5**0.5, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(end, start, rtol=1e-3, atol=1e-3)


def test_untrained_its_error_is_the_least_for_gaussian_data() -> None:
    """At time t no velocity is nearer than 1 / s(t)^2 a coordinate in mean square."""
    network = GaussianBase(MLP(width=16, depth=1).build((1,), [(1,)]))
    z, x = torch.randn(2, 200_000, 1, generator=torch.Generator().manual_seed(0))
    for t in (0.1, 0.5, 0.8):
        time = torch.full_like(x, t)
        with torch.no_grad():
            missed = float((network((1 - t) * z + t * x, time) - (x - z)).square().mean())
        assert missed == pytest.approx(1 / (t**2 + (1 - t) ** 2), rel=0.02)


def test_gaussian_data_keep_the_gaussian() -> None:
    points, conditions = gaussian(400)
    model = fitted(points, conditions)
    assert model.report is not None
    assert model.report.best == model.report.validation[0]
    assert model.report.best[0] == 0
    assert not model.report.rose_at_once
    samples = model.sample(20_000, np.array([2.0]), rng=0)
    rows = np.asarray(model.sample(20_000, np.array([-2.0]), rng=0))
    np.testing.assert_allclose(samples, rows, rtol=1e-4)
    here = np.cov(samples.T) / np.cov(points.T)
    assert np.abs(here - 1).max() < 0.15  # a tenth of the points is held out


def test_what_is_not_gaussian_is_learned() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(500, 1))
    points = np.sign(rng.normal(size=(500, 1))) * (3 + y) + 0.1 * rng.normal(size=(500, 1))
    model = fitted(points, y, n_steps=400, architecture=MLP(width=32, depth=2), ema=0.9)
    samples = np.abs(model.sample(500, np.array([0.0]), rng=0))
    assert samples.mean() == pytest.approx(3, abs=0.3)
    assert np.mean(samples < 1.5) < 0.1


def test_likelihoods_are_those_of_correlated_data() -> None:
    points, conditions = gaussian(2000)
    model = fitted(points, conditions, n_steps=1)
    grid = np.array([[10.0, 10.0], [12.0, 11.0], [10.0, 11.0]])
    found = model.log_likelihood(grid, np.zeros(1))
    away = grid - 10
    squares = np.sum(away @ np.linalg.inv(COVARIANCE) * away, axis=1)
    exact = -0.5 * squares - np.log(2 * np.pi) - 0.5 * np.log(np.linalg.det(COVARIANCE))
    np.testing.assert_allclose(found, exact, atol=0.15)


# -- whitening -----------------------------------------------------------------------------------


def test_whitening_and_back() -> None:
    points = torch.from_numpy(gaussian(300)[0])
    scaling = Scaling.standard(points)
    whitened = scaling.whitened(points)
    z = whitened.apply(points)
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.eye(2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whitened.undo(z), points, rtol=1e-5, atol=1e-5)
    volume = 0.5 * torch.logdet(torch.cov(points.T, correction=0))
    assert whitened.log_volume(2) == pytest.approx(float(volume), abs=1e-4)
    again = Scaling.from_tensors(whitened.tensors(), (2,))
    assert torch.equal(again.apply(points), z)


def test_whitening_does_not_turn_coordinates_nor_blow_up_constant_ones() -> None:
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)).double()
    points = points * torch.tensor([1.0, 100.0, 0.0])
    z = Scaling.standard(points).whitened(points).apply(points)
    assert torch.isfinite(z).all()
    assert float(z[:, 2].abs().max()) == 0
    for k in range(2):
        assert float(torch.corrcoef(torch.stack([points[:, k].float(), z[:, k]]))[0, 1]) > 0.98


@pytest.mark.parametrize("seed", range(3))
def test_whitening_knows_no_units(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3)) + 5)
    units = torch.tensor([1.0, 1e-6, 1e5]).double()
    whitened = [Scaling.standard(p).whitened(p) for p in (points, points * units)]
    z, other = whitened[0].apply(points), whitened[1].apply(points * units)
    torch.testing.assert_close(other, z, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whitened[1].undo(z), points * units, rtol=1e-5, atol=1e-11)
    volumes = [scaling.log_volume(3) for scaling in whitened]
    assert volumes[1] - volumes[0] == pytest.approx(float(units.log().sum()), abs=1e-6)


def test_constants_that_rounding_moves_are_not_blown_up() -> None:
    points = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).double()
    points[:, 1] = 0.1 + 1e-18 * points[:, 1]
    z = Scaling.standard(points).whitened(points).apply(points)
    assert float(z[:, 1].abs().max()) < 1e-10
    assert float(z[:, 0].std()) == pytest.approx(1, abs=1e-2)


def test_samples_do_not_depend_on_units() -> None:
    points, conditions = gaussian(400)
    units = np.array([1.0, 1e-6])
    models = [fitted(points * unit, conditions, n_steps=50) for unit in (1.0, units)]
    one, other = (np.asarray(m.sample(2000, np.array([1.0]), rng=0)) for m in models)
    np.testing.assert_allclose(other / units, one, rtol=1e-3)
    at = [
        m.log_likelihood(one[:5] * u, np.ones(1)) for m, u in zip(models, (1, units), strict=True)
    ]
    np.testing.assert_allclose(np.asarray(at[1]) + np.log(1e-6), at[0], atol=1e-2)


@pytest.mark.parametrize(
    ("whitening", "message"),
    [
        (torch.ones(3, 3), "data.whitening must be floating numbers of shape"),
        (torch.ones(2, 2), "data.whitening must have an inverse"),
        (torch.full((2, 2), torch.nan), "data.whitening must be finite"),
    ],
)
def test_damaged_whitening(whitening: torch.Tensor, message: str) -> None:
    tensors = Scaling(torch.zeros(2), torch.ones(()), whitening).tensors()
    with pytest.raises(ValueError, match=message):
        Scaling.from_tensors(tensors, (2,))


# -- settings that are not given -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "batch_size", "n_steps"), [(400, 128, 2_500), (5_000, 256, 5_000), (20_000, 256, 10_000)]
)
def test_settings_follow_the_size_of_the_data(n: int, batch_size: int, n_steps: int) -> None:
    chosen = FlowMatching().settings.chosen(n, few=True, given_network=False)
    assert (chosen.coupling, chosen.base, chosen.times) == ("none", "gaussian", "logit-normal")
    assert (chosen.batch_size, chosen.n_steps, chosen.n_rounds) == (batch_size, n_steps, 2)
    images = FlowMatching().settings.chosen(n, few=False, given_network=False)
    assert (images.coupling, images.base, images.times) == ("conditional-ot", "none", "uniform")
    assert (images.batch_size, images.n_steps, images.n_rounds) == (256, 10_000, 10)
    slow = FlowMatching().settings.chosen(n, few=False, given_network=False, slow=True)
    assert (slow.batch_size, slow.n_steps, slow.n_rounds) == (64, 20_000, 10)


def test_chosen_settings_are_saved_and_given_ones_stay(tmp_path) -> None:
    model = fitted(*gaussian(50), batch_size=32, out=tmp_path / "run")
    entries = json.loads((tmp_path / "run" / "settings.json").read_text())
    names = ("batch_size", "coupling", "base", "times")
    assert [entries[name] for name in names] == [32, "none", "gaussian", "logit-normal"]
    again = load(tmp_path / "run")
    assert again.settings == model.settings
    condition = np.zeros(1)
    np.testing.assert_array_equal(again.sample(9, condition, 0), model.sample(9, condition, 0))


def test_other_data_have_other_settings() -> None:
    points, conditions = gaussian(50)
    model = fitted(points, conditions)
    assert model.settings.base == "gaussian"
    with pytest.raises(ValueError, match="n_validation must be at least"):
        model.fit(points, progress=False, n_validation=-1)
    assert model.settings.base == "gaussian"
    model.fit(points, progress=False, n_validation=50)
    assert model.settings.base == "none"


def test_the_base_is_for_vectors_and_built_networks() -> None:
    points, conditions = gaussian(50)
    with pytest.raises(ValueError, match="for vectors, and for networks that are built"):
        fitted(points.reshape(25, 1, 2, 2), base="gaussian")
    given = FlowMatching(torch.nn.Linear(4, 2), n_steps=1, n_rounds=1, base="gaussian")
    with pytest.raises(ValueError, match="for vectors, and for networks that are built"):
        given.fit(points, conditions, progress=False)
