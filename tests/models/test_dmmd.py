"""Deep MMD flows: kernels and KALE on features, what is learned, sampling, and saying no."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import energyflow as ef
from energyflow import datasets
from energyflow.kernels import Energy, Gauss, Riesz
from energyflow.models import DMMD, MLP, DMMDSettings, RunFolder, UNet, load
from energyflow.models.dmmd.features import embedded, feature_network
from energyflow.models.dmmd.kale import kale, kale_weights
from energyflow.models.dmmd.mmd import (
    FeatureKernel,
    LinearFeatures,
    RadialFeatures,
    unbiased_mmd,
    witness,
)
from energyflow.models.dmmd.noise_schedule import SCHEDULES, noised, weights_at
from energyflow.models.dmmd.sampler import Sampler, _apart, _arrived
from energyflow.models.dmmd.settings import Sampling

TINY = {
    "n_steps": 40, "n_rounds": 1, "batch_size": 32, "n_features": 4,
    "architecture": MLP(width=16, depth=1),
}  # fmt: skip
ENERGY = RadialFeatures((Energy(),))
KERNELS = [
    LinearFeatures(), ENERGY, RadialFeatures((Riesz(1.5),)),
    RadialFeatures((Gauss(0.5), Gauss(2.0))),
]  # fmt: skip
SHORT = {"n_levels": 2, "n_steps": 2, "denoise": 1}


def tiny(**changes) -> DMMD:
    return DMMD(**{**TINY, **changes})


@pytest.fixture
def points(rng: np.random.Generator) -> np.ndarray:
    sides = rng.integers(2, size=(100, 1)) * 40
    return (rng.normal(size=(100, 2)) * [3, 1] + sides + [100, -7]).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> DMMD:
    rng = np.random.default_rng(0)
    sides = rng.integers(2, size=(300, 1)) * 40.0
    return tiny(n_steps=100).fit(rng.normal(size=(300, 2)) + sides, progress=False)


def features(seed: int, n: int, f: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, f)))


# -- kernels, KALE and noise ---------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: type(k).__name__)
@pytest.mark.parametrize("sizes", [(1, 1), (63, 2), (257, 100), (512, 31)])
def test_slopes_are_those_of_means_of_all_pairs(kernel: FeatureKernel, sizes) -> None:
    p, q = features(0, sizes[0]), features(1, sizes[1])
    p[0] = q[0]
    p.requires_grad_()
    mean = kernel.matrix(p, q).mean(1)
    (slope,) = torch.autograd.grad(mean.sum(), p)
    found = kernel.mean_and_slope(p.detach(), q)
    torch.testing.assert_close(found[0], mean.detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found[1], slope, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(kernel.mean(p, q), mean)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: type(k).__name__)
def test_the_unbiased_mmd_leaves_out_pairs_with_themselves(kernel: FeatureKernel) -> None:
    p, q = features(0, 5), features(1, 5)
    total = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                one = [v[None] for v in (p[i], p[j], q[i], q[j])]
                for left, right, sign in ((0, 1, 1), (2, 3, 1), (0, 3, -1), (2, 1, -1)):
                    total += sign * float(kernel.matrix(one[left], one[right]))
    assert float(unbiased_mmd(kernel, p, q)) == pytest.approx(total / 20)


def test_the_riesz_kernel_gives_the_energy_distance() -> None:
    p, q = features(0, 40), features(1, 30)
    kernel = ENERGY
    value = sum(
        sign * float(kernel.mean(x, y).mean()) for x, y, sign in ((p, p, 1), (p, q, -2), (q, q, 1))
    )
    assert value == pytest.approx(float(ef.energy_distance(p, q)), abs=1e-3)  # of _TINY
    f = witness(kernel, p, p, q)
    assert float(f.mean() - witness(kernel, q, p, q).mean()) == pytest.approx(value)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(0.1, 5))
def test_the_weights_of_kale_are_stationary(seed: int, lam: float, scale: float) -> None:
    p, q = scale * features(seed, 30) + 0.5, scale * features(seed + 1, 40)
    w = kale_weights(p, q, lam).requires_grad_()
    value = kale(p, q, w, lam)
    (slope,) = torch.autograd.grad(value, w)
    assert float(slope.norm()) < 1e-3 * (1 + lam) * (1 + scale**2)
    assert float(value.detach()) >= -1e-9  # it is 0 at w = 0


def test_kale_in_one_dimension_is_the_largest_of_a_grid() -> None:
    p, q = features(3, 50, 1) + 1, features(4, 60, 1)
    grid = torch.linspace(-5, 5, 20001).double()
    values = [kale(p, q, w[None], 0.1) for w in grid]
    best = kale_weights(p, q, 0.1)
    assert float(best) == pytest.approx(float(grid[int(torch.stack(values).argmax())]), abs=1e-3)
    assert float(kale_weights(q, q, 0.1).abs().max()) < 1e-6


@pytest.mark.parametrize("lam", [1e4, 1e8])
def test_kale_of_a_large_lambda_is_half_the_squared_mmd(lam: float) -> None:
    q = features(4, 60)
    p = q + torch.tensor([1e-3, 0.0, 0.0]).double()
    assert float(kale(p, q, kale_weights(p, q, lam), lam)) == pytest.approx(5e-7, rel=1e-2)


def test_no_weight_where_there_is_no_difference() -> None:
    q = features(4, 60)
    q = q - q.mean(0)
    ones = torch.cat([q, q])
    assert float(kale(ones, q, kale_weights(ones, q, 1.0), 1.0)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_noise_grows_and_variance_stays(schedule: str) -> None:
    t = torch.linspace(0, 1, 101).double()
    alpha, beta = weights_at(schedule, t)
    torch.testing.assert_close(alpha**2 + beta**2, torch.ones(101).double())
    assert (beta.diff() > 0).all()
    assert float(beta[0]) == pytest.approx(0, abs=1e-6)
    assert float(beta[-1]) == pytest.approx(1, abs=1e-4)
    x, e = features(0, 4), features(1, 4)
    torch.testing.assert_close(noised(schedule, t[0], x, e), x, atol=1e-6, rtol=0)


# -- what is learned -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["particles", "independent"])
def test_samples_have_the_distribution_of_the_data(model: DMMD, method) -> None:
    rng = np.random.default_rng(1)
    new = rng.normal(size=(300, 2)) + rng.integers(2, size=(300, 1)) * 40.0
    samples = model.sample(300, rng=0, method=method, n_steps=5).astype(np.float64)
    noise = new.mean(0) + new.std() * rng.normal(size=(300, 2))
    found, before = (float(ef.energy_distance(cloud, new)) for cloud in (samples, noise))
    assert found < {"particles": 0.1, "independent": 0.5}[method] * before


@pytest.mark.parametrize(("kernel", "penalty"), [("linear", "square"), ("rbf", "unit")])
def test_each_kernel_and_penalty(points, kernel, penalty) -> None:
    settings = {"kernel": kernel, "penalty": penalty, "with_points": False, "schedule": "linear"}
    found = tiny(**settings).fit(points, progress=False)
    assert np.isfinite(found.sample(50, rng=0, **SHORT)).all()


def test_kale_carries_particles_nearer(points) -> None:
    found = tiny(kernel="linear").fit(points, progress=False)
    start = np.random.default_rng(0).normal(size=points.shape) * points.std() + points.mean(0)
    samples = found.sample(200, rng=0, objective="kale").astype(np.float64)
    distances = [float(ef.energy_distance(x, points.astype(float))) for x in (samples, start)]
    assert distances[0] < 0.5 * distances[1]
    alone = found.sample(20, rng=0, objective="kale", method="independent")
    assert np.isfinite(alone).all()


def test_classes_are_what_was_asked(rng: np.random.Generator) -> None:
    labels = rng.integers(3, size=300)
    points = (labels[:, None] + 0.05 * rng.normal(size=(300, 2))).astype(np.float32)
    found = tiny().fit(points, labels, progress=False)
    asked = np.arange(30) % 3
    samples = found.sample(30, asked, rng=2)
    assert np.mean(np.rint(samples.mean(axis=1)) == asked) > 0.9


def test_images(rng: np.random.Generator) -> None:
    images = rng.random((40, 1, 4, 4), np.float32)
    found = tiny(n_steps=2).fit(images, progress=False)
    assert found.sample(3, rng=0, **SHORT).shape == (3, 1, 4, 4)


def test_larger_images_are_seen_by_a_convolutional_network() -> None:
    network = feature_network(None, (2, 17, 12), [(3,)], 7)
    given = embedded(torch.full((5,), 0.5)), torch.eye(3)[[0, 1, 2, 1, 1]]
    images = torch.randn(5, 2, 17, 12)
    images[4] = images[3]
    found = network(images, *given)
    assert found.shape == (5, 7)
    torch.testing.assert_close(found[3], found[4])
    assert not torch.allclose(found[0], network(images, given[0], given[1].flip(0))[0])


def test_a_network_of_your_own(points, tmp_path) -> None:
    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(14, 6)

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = torch.sin(self.inner(torch.cat([x, t], dim=1))).reshape(-1, 3, 2)
            return out

    found = DMMD(Waves(), n_steps=5, n_rounds=1).fit(points, progress=False)
    found.save(tmp_path / "model")
    again = DMMD.load(tmp_path / "model", network=Waves())
    np.testing.assert_array_equal(again.sample(5, rng=0, **SHORT), found.sample(5, rng=0, **SHORT))


# -- sampling ------------------------------------------------------------------------------------


def test_independent_samples_do_not_depend_on_each_other(model: DMMD) -> None:
    few, many = (model.sample(n, rng=0, method="independent", n_levels=3) for n in (3, 50))
    np.testing.assert_allclose(few, many[:3], rtol=1e-4)


def test_few_particles_are_joined_by_others(model: DMMD) -> None:
    known = len(model.fitted.networks.reference)
    few, many = (model.sample(n, rng=0, **SHORT) for n in (1, known))
    np.testing.assert_array_equal(few, many[:1])


def test_a_step_size_of_your_own(model: DMMD) -> None:
    still = model.sample(300, rng=0, step_size=1e-12, **SHORT)
    moved = model.sample(300, rng=0, step_size=0.5, **SHORT)
    assert np.abs(moved - still).max() > 0.1


@pytest.mark.parametrize("size", [None, 0.3, 3.0, 100.0])
def test_more_steps_at_the_end_never_lead_away_from_the_data(points, size) -> None:
    """Of whatever length; here with features that are the points, and the distance known."""
    reference = torch.from_numpy((points - points.mean(0)) / points.std(0))

    def distance(last: int) -> float:
        how = Sampling(n_levels=2, n_steps=2, step_size=size, denoise=last)
        sampler = Sampler(lambda x, time: x, reference, DMMDSettings(), how)
        return float(ef.energy_distance(sampler.draw(100, np.random.default_rng(0)), reference))

    distances = [distance(last) for last in range(12)]
    assert np.all(np.diff(distances) <= 1e-6 * distances[0])
    if size is None:
        assert distances[-1] < 0.3 * distances[0]


def drawn(reference: torch.Tensor, **how) -> tuple[torch.Tensor, int]:
    """Particles whose features are the points, and the number of their last steps."""
    calls = 0

    def seen(x: torch.Tensor, time: float) -> torch.Tensor:
        nonlocal calls
        calls += x.requires_grad  # of a step, not of the data at a level
        return x

    how = {"n_levels": 2, "n_steps": 2, **how}
    sampler = Sampler(seen, reference, DMMDSettings(), Sampling(**how))
    return sampler.draw(len(reference), np.random.default_rng(0)), calls - 5


@pytest.mark.parametrize("shift", [None, 0.0, 1e-4])
def test_particles_end_as_near_to_data_as_these_are_to_each_other(shift) -> None:
    """Neither as noise nor as copies, also where all data occur twice, or nearly."""
    digits = torch.from_numpy(datasets.load("digits").train[:300]).flatten(1)
    reference = (digits - digits.mean(0)) / digits.std()
    among = torch.cdist(reference, reference).fill_diagonal_(torch.inf).min(1).values
    if shift is not None:
        reference = torch.cat([reference, reference + shift])

    def distances(**how) -> torch.Tensor:
        points = drawn(reference, **how)[0]
        return torch.cdist(points, reference).min(1).values

    found = distances()
    assert 0.8 < float(found.median() / among.median()) < 1.001
    assert float((found > among.quantile(0.99)).float().mean()) <= 0.01
    assert float((found < among.quantile(0.01)).float().mean()) <= 0.15
    if shift is None:
        few, many = distances(denoise=20), distances(denoise=1000)
        assert float((few > among.quantile(0.75)).float().mean()) > 0.1
        assert float((many < among.quantile(0.01)).float().mean()) > 0.5
        assert float(few.median() / among.median()) > 1.02
        assert float(many.median() / among.median()) < 0.7


def test_particles_among_few_data_far_apart_are_no_copies() -> None:
    """A tenth of the data lie ten times as far apart as the others do, around these."""
    reference = torch.randn(500, 10, generator=torch.Generator().manual_seed(0))
    reference[:450] *= 0.1
    points, steps = drawn(reference, n_levels=10, n_steps=10)
    distances = torch.cdist(points, reference).sort(1)
    near, second = distances.values[distances.indices[:, 0] >= 450, :2].T
    assert 40 < len(near) < 60
    assert float((near < second / 3).float().mean()) < 0.1
    assert steps - 96 < 200  # 96 more at the levels before


def test_a_particle_has_arrived_where_its_datum_is_as_far_from_another() -> None:
    data = torch.tensor([0.0, 1.0, 1.0, 10.0])[:, None]
    apart = _apart(data)
    assert apart.tolist() == [1.0, 1.0, 1.0, 9.0]
    particles = torch.tensor([-1.0, -1.5, 2.5, 17.0, 20.0])[:, None]
    assert _arrived(particles, data, apart).tolist() == [True, False, False, True, False]
    assert _apart(torch.zeros(3, 2)).tolist() == [torch.inf] * 3


def test_particles_that_lead_nowhere_end() -> None:
    """Where all data are one point, they fly apart, or are as near as their steps let them."""
    points, steps = drawn(torch.zeros(5, 2), n_steps=10)
    assert float(points.abs().max()) < 0.2
    assert steps - 16 == 20  # sixteen more at the levels before
    reference = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    assert drawn(reference, step_size=30.0)[1] < 400
    points, steps = drawn(reference, step_size=1e30)
    assert not bool(points.isfinite().all())
    assert steps <= 10


def test_particles_of_linear_kernels_take_as_many_steps_as_said() -> None:
    assert Sampling().last_steps("linear") == (20, 20)
    assert Sampling(denoise=7).last_steps("energy") == (7, 7)
    assert Sampling("independent").last_steps("energy") == (0, 0)


def test_steps_at_the_end_that_fly_apart_are_noticed(points) -> None:
    carrier = tiny(kernel="linear").fit(points, progress=False)
    few = {"n_levels": 2, "n_steps": 2, "objective": "kale"}
    before = carrier.sample(100, rng=0, denoise=0, step_size=10.0, **few)
    after = carrier.sample(100, rng=0, denoise=10, step_size=10.0, **few)
    assert ef.energy_distance(after, points) <= 1.01 * ef.energy_distance(before, points)
    with pytest.raises(ValueError, match="finite"):
        carrier.sample(100, rng=0, denoise=200, step_size=1e30, **few)


def test_the_same_seed_gives_the_same_samples(points) -> None:
    first, again, other = (
        tiny(seed=s, n_steps=2).fit(points, progress=False).sample(4, rng=0, **SHORT)
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# -- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("labelled", [False, True])
def test_save_and_load(points, tmp_path, labelled) -> None:
    labels = np.arange(100) % 2 if labelled else None
    asked = 1 if labelled else None
    found = tiny(n_reference=80, n_steps=4, n_rounds=2).fit(
        points, labels, out=tmp_path / "run", progress=False
    )
    found.save(tmp_path / "model")
    samples = found.sample(5, asked, rng=0, **SHORT)
    for folder in ("model", "run"):
        again = load(tmp_path / folder)
        assert again.settings == found.settings
        np.testing.assert_array_equal(again.sample(5, asked, rng=0, **SHORT), samples)
    (tmp_path / "run" / "weights.safetensors").unlink()
    np.testing.assert_array_equal(load(tmp_path / "run").sample(5, asked, rng=0, **SHORT), samples)
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2


def test_held_out_data_end_the_training(points) -> None:
    found = tiny(n_rounds=2, n_steps=4).fit(
        points[:70], None, points[70:], patience=1, progress=False
    )
    assert np.isfinite(found.sample(3, rng=0, **SHORT)).all()


@pytest.mark.parametrize("name", sorted(DMMD.presets))
def test_settings_survive_json(name: str) -> None:
    settings = DMMD.presets[name].settings
    assert DMMDSettings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


# -- saying no -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"method": "all"}, "method must be one of particles, independent"),
        ({"n_levels": 0}, "n_levels must be at least 1"),
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"step_size": 1e30}, "samples must stay finite"),
        ({"step_size": float("inf")}, "step_size must be positive and finite"),
        ({"regularization": float("nan")}, "regularization must be positive"),
        ({"denoise": -1}, "denoise must be at least 0"),
        ({"objective": "kale"}, 'objective="kale" needs a model with kernel="linear"'),
        ({"condition": 1}, "condition must be left out"),
    ],
)
def test_bad_sampling(model: DMMD, how: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.sample(3, **how)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "cosine"}, "kernel must be one of"),
        ({"schedule": "none"}, "schedule must be one of"),
        ({"penalty": "none"}, "penalty must be one of"),
        ({"bandwidths": (1.0, 0.0)}, "bandwidths must be positive"),
        ({"bandwidths": ()}, "bandwidths must be positive"),
        ({"bandwidths": (float("inf"),)}, "bandwidths must be positive and finite"),
        ({"penalty_weight": float("inf")}, "penalty_weight must be positive and finite"),
        ({"t_min": 0.0}, "t_min must be above 0 and below 1"),
        ({"penalty_weight": 0.0}, "penalty_weight must be positive"),
        ({"feature_penalty": -1.0}, "feature_penalty must not be negative"),
        ({"exponent": 2.0}, "exponent"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DMMD(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"bandwidths": 1.0}, {"bandwidths": ("1",)}, {"with_points": "no"}, {"t_min": "0.1"}],
)
def test_settings_of_wrong_types(settings: dict) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(settings))} must be"):
        DMMD(**settings)


def test_bandwidths_may_be_a_list_or_an_array() -> None:
    for given_ in ([1.0, 2.0], np.array([1.0, 2.0])):
        settings = DMMDSettings(bandwidths=given_)
        assert DMMDSettings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (np.zeros((100, 1)), "condition must be labels"),
        (np.arange(100) // 99, "every label at least twice"),
    ],
)
def test_bad_conditions(points, condition, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny().fit(points, condition)


def test_every_class_is_kept(points) -> None:
    labels = (np.arange(100) < 2).astype(int)
    found = tiny(n_steps=2, n_reference=2).fit(points, labels, progress=False)
    assert sorted(found._trained.weights()["data.reference_labels"].tolist()) == [0, 1]
    assert np.isfinite(found.sample(3, 1, rng=0, **SHORT)).all()
    with pytest.raises(ValueError, match="n_reference must be at least the number of labels, 4"):
        tiny(n_reference=3).fit(points, np.arange(100) % 4)


def test_untrained_and_incomplete(points, tmp_path) -> None:
    with pytest.raises(RuntimeError, match="not trained"):
        tiny().sample(1)
    with pytest.raises(ValueError, match="architecture must be an MLP"):
        tiny(architecture=UNet()).fit(points)
    found = tiny(n_steps=1, n_rounds=1).fit(points, out=tmp_path / "run", progress=False)
    without = {k: v for k, v in found._trained.weights().items() if k != "data.reference"}
    RunFolder(tmp_path / "run").write_weights(without)
    with pytest.raises(ValueError, match="the data that samples are compared with are missing"):
        load(tmp_path / "run")
