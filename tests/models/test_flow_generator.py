"""Flow generators: what they learn, conditions, saving, and how they say no."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import energyflow as ef
from energyflow._core import extras
from energyflow.models import MLP, PRESETS, FlowGenerator, FlowSettings, Pyramid, UNet, load
from energyflow.models.data.conditions import Conditions
from energyflow.models.data.noise import Noise
from energyflow.models.data.scaling import Scaling
from energyflow.models.data.training_set import TrainingSet
from energyflow.models.flow_generator import stages
from energyflow.models.flow_generator.settings import all_blocks
from energyflow.models.training import validation

TINY = {
    "n_particles": 200, "n_projections": 16, "n_blocks": 3, "n_steps": 40, "batch_size": 64,
    "architecture": MLP(width=16, depth=1),
}  # fmt: skip


def tiny(**changes) -> FlowGenerator:
    return FlowGenerator(**{**TINY, **changes})


def fitted(data, *args, **how) -> FlowGenerator:
    settings = how.pop("settings", {})
    return tiny(**settings).fit(data, *args, progress=False, **how)


@pytest.fixture
def points(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(300, 2)) * [30, 5] + [100, -7]).astype(np.float32)


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.random((60, 1, 4, 4), np.float32)


# -- what is learned -----------------------------------------------------------------------------


def test_samples_have_the_distribution_of_the_data(points) -> None:
    model = fitted(points, settings={
        "n_blocks": 6, "n_particles": 1000, "n_steps": 200,
        "architecture": MLP(width=64, depth=2),
    })  # fmt: skip
    samples = model.sample(1000, rng=0)
    assert samples.dtype == np.float32
    before = np.random.default_rng(0).uniform(points.min(0), points.max(0), size=(1000, 2))
    distances = [
        float(ef.energy_distance(cloud.astype(np.float32), points)) for cloud in (samples, before)
    ]
    assert distances[0] < 0.1 * distances[1]


def test_normal_noise_has_the_moments_of_the_data(rng, tmp_path) -> None:
    points = (rng.normal(size=(4000, 3)) @ rng.normal(size=(3, 3)) + 7).astype(np.float32)
    model = fitted(points, settings={"start": "normal", "n_blocks": 1}, out=tmp_path / "run")
    noise = model._trained.networks.start(4000, None, np.random.default_rng(0))
    found = model._trained.scaling.undo(noise).numpy()
    np.testing.assert_allclose(found.mean(0), points.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(found.T), np.cov(points.T), atol=0.3)
    again = FlowGenerator.load(tmp_path / "run")
    np.testing.assert_array_equal(again.sample(5, rng=0), model.sample(5, rng=0))
    with pytest.raises(ValueError, match="at most 4096 numbers, got 5000"):
        fitted(np.zeros((3, 5000), np.float32), settings={"start": "normal"})


def test_a_resumed_run_keeps_the_noise_of_its_networks(points, tmp_path, monkeypatch) -> None:
    how = {"settings": {"start": "normal"}, "out": tmp_path / "run"}
    begun = fitted(points, points[:, :1], stop_after="80 steps", **how)
    monkeypatch.setattr(Noise, "of", lambda *args: Noise())  # as if it were found in another way
    resumed = fitted(points, points[:, :1], resume=True, **how)
    assert (begun.n_trained, resumed.n_trained) == (2, 3)
    before, after = (model._trained.networks.noise.tensors() for model in (begun, resumed))
    assert len(before) == 3
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_classes_are_what_was_asked(rng: np.random.Generator) -> None:
    labels = rng.integers(3, size=300)
    points = (labels[:, None] + 0.05 * rng.normal(size=(300, 2))).astype(np.float32)
    model = fitted(points, labels, settings={"n_blocks": 5, "n_steps": 150})
    for label in range(3):
        samples = model.sample(100, label, rng=1)
        assert np.mean(np.rint(samples.mean(axis=1)) == label) > 0.9
    asked = np.arange(90) % 3
    found = np.rint(model.sample(90, asked, rng=2).mean(axis=1))
    assert np.mean(found == asked) > 0.9


def test_vectors_as_conditions(rng: np.random.Generator) -> None:
    given = rng.uniform(50, 60, size=(400, 1)).astype(np.float32)
    points = np.hstack([given, -given]) + rng.normal(size=(400, 2)).astype(np.float32)
    model = fitted(points, given, settings={"n_blocks": 6, "n_steps": 200})
    low, high = (model.sample(200, np.array([v]), rng=0).mean(axis=0) for v in (51.0, 59.0))
    assert low[0] + 4 < high[0]
    assert low[1] - 4 > high[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64, np.int32, bool])
def test_labels_of_any_integers(points, dtype) -> None:
    model = fitted(points, (np.arange(300) % 2).astype(dtype), settings={"n_blocks": 1})
    assert model.sample(2, np.array([0, 1]).astype(dtype), rng=0).shape == (2, 2)


def test_labels_with_gaps(points, tmp_path) -> None:
    labels = np.array([9999, 0, 5] * 100)
    model = fitted(points, labels, out=tmp_path / "run", settings={"n_blocks": 1})
    packed = fitted(points, np.array([2, 0, 1] * 100), settings={"n_blocks": 1})
    expected = packed.sample(3, np.array([0, 1, 2]), rng=0)
    for found in (model, load(tmp_path / "run")):
        np.testing.assert_array_equal(found.sample(3, np.array([0, 5, 9999]), rng=0), expected)
        for strange in (3, 10_000, -1):
            with pytest.raises(ValueError, match=rf"among \(0, 5, 9999\), got {strange}"):
                found.sample(1, strange)


@pytest.mark.parametrize(
    "data",
    [
        np.ones((20, 2), np.float32),
        np.repeat(np.eye(2), 10, axis=0),
        1e9 + np.random.default_rng(0).random((20, 2)),
        (1e30 * np.random.default_rng(0).random((20, 2))).astype(np.float32),
        np.random.default_rng(0).random((20, 2)).astype(">f4"),
        np.random.default_rng(0).random((20, 2)).astype(np.longdouble),
    ],
    ids=["constant", "duplicates", "far", "huge", "big-endian", "long"],
)
def test_odd_data(data) -> None:
    model = fitted(data, settings={"n_blocks": 1, "n_particles": 20})
    samples = model.sample(5, rng=0)
    assert np.isfinite(samples).all()
    assert abs(samples - data.mean(axis=0)).max() < 10 * max(np.ptp(data), 100)


def test_a_far_offset_costs_no_digits(points) -> None:
    far = 1e9 + points.astype(np.float64)
    scaled = [Scaling.of(cloud).apply(cloud) for cloud in map(torch.from_numpy, (points, far))]
    torch.testing.assert_close(*scaled, atol=1e-6, rtol=0)
    given = [Conditions.of(cloud, 300)[1] for cloud in (points, far)]
    torch.testing.assert_close(*given, atol=1e-6, rtol=0)


@pytest.mark.parametrize("particles", ["network", "fresh", "flow"])
@pytest.mark.parametrize("one_network", [False, True])
def test_each_policy_learns(points, particles, one_network) -> None:
    settings = {"particles": particles, "one_network": one_network, "carry_velocity": True}
    model = fitted(points, settings=settings)
    assert np.isfinite(model.sample(10, rng=0)).all()
    assert model.n_trained == 3


@pytest.mark.parametrize("particles", ["network", "fresh"])
def test_fresh_particles_flow_to_as_many_of_the_data_with_their_conditions(
    monkeypatch, particles: str
) -> None:
    seen = []

    class Seen(ef.ConditionalFlow):
        def run(self, x, condition, n_steps, **how):
            if n_steps > 1 or how["first_step"]:
                seen.append((np.asarray(self.target_condition), np.asarray(condition)))
            return super().run(x, condition, n_steps, **how)

    monkeypatch.setattr("energyflow.models.flow_generator.stages.ConditionalFlow", Seen)
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(300, 2)), rng.normal(size=(300, 1))
    settings = {"n_particles": 100, "particles": particles, "n_blocks": 2}
    fitted(x, c, settings=settings)
    targets = [target for target, _ in seen]
    if particles == "network":
        assert [len(target) for target in targets] == [270, 270]  # all that is not held out
        return
    assert [len(target) for target in targets] == [100, 100]
    assert len(set(targets[0].ravel()) & set(targets[1].ravel())) < 70
    for target, given in seen:
        np.testing.assert_array_equal(np.sort(target, axis=0), np.sort(given, axis=0))


PYRAMID = Pyramid(
    resolutions=(2, 4), n_blocks=(2, 2), step_sizes=(0.5, 1.0), momenta=(0.5, 0.0),
    first_exponents=(1, 1), patch_size=2, patch_scales=(0, 1), momentum_growth=0.1,
)  # fmt: skip


class Smooth(nn.Module):
    """A network for images of any size, which does not look at conditions."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor, *conditions: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x)
        return out


def test_images_through_a_pyramid(images, tmp_path) -> None:
    model = FlowGenerator(Smooth(), **{**TINY, "pyramid": PYRAMID})
    model.fit(images, out=tmp_path / "run", progress=False)
    samples = model.sample(5, rng=0)
    assert samples.shape == (5, 1, 4, 4)
    again = FlowGenerator.load(tmp_path / "run", network=Smooth())
    np.testing.assert_array_equal(again.sample(5, rng=0), samples)
    with pytest.raises(ValueError, match="has a network of its own; pass it as network="):
        FlowGenerator.load(tmp_path / "run")


@pytest.mark.parametrize("kind", ["labels", "maps", "small maps", "large maps"])
def test_patches_of_a_pyramid_see_conditions(images, kind: str) -> None:
    large = images.repeat(2, axis=2).repeat(2, axis=3)
    condition = {
        "labels": np.arange(len(images)) % 3,
        "maps": images,
        "small maps": images[:, :, :2],
        "large maps": large,
    }[kind]
    model = FlowGenerator(Smooth(), **{**TINY, "pyramid": PYRAMID})
    model.fit(images, condition, progress=False)
    assert np.isfinite(model.sample(3, condition[:3], rng=0)).all()
    last = model.fitted.networks.blocks[-1].slicing
    wanted = {"labels": (1, 3), "maps": (2, 0), "small maps": (1, 8), "large maps": (2, 0)}
    assert (last.shape[0], last.beside) == wanted[kind]


def test_image_conditions(images) -> None:
    model = fitted(images, images[:, :, :2] * 2)
    assert model.sample(3, images[0, :, :2], rng=0).shape == (3, 1, 4, 4)


# -- the plan ------------------------------------------------------------------------------------


def test_the_block_schedule() -> None:
    def lengths(**how) -> list[int]:
        settings = FlowSettings(**how)
        return [b.n_steps for b in all_blocks(settings, (2,), 1.0)]

    assert lengths(n_blocks=4, first_exponent=5, block_cap=2048) == [32, 96, 224, 480]
    assert lengths(n_blocks=4, first_exponent=2, block_cap=6, block_limit=17) == [4, 10, 16, 17]
    paper = PRESETS["mnist"].settings
    steps = [b.n_steps for b in all_blocks(paper, (1, 28, 28), 1.0)]
    assert steps[-1] == 30_000
    assert all(b - a <= 2048 for a, b in pairwise(steps))


def test_the_step_size_follows_the_data_and_falls() -> None:
    settings = FlowSettings(n_blocks=30, step_size=None, step_decay=0.5, least_step=0.1)
    sizes = [b.step_size for b in all_blocks(settings, (2,), 0.6)]
    assert sizes[:3] == pytest.approx([0.2, 0.1, 0.05])
    assert sizes[-1] == pytest.approx(0.02)


def test_automatic_step_sizes_fall_from_block_to_block(points) -> None:
    sizes: list[float] = []

    class Recorded(ef.ParticleFlow):
        def run(self, particles, n_steps, **how):
            sizes.append(self.step_size(0))
            return super().run(particles, n_steps, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "ParticleFlow", Recorded)
        fitted(points, settings={"step_decay": 0.5, "least_step": 0.3})
    wanted = [sizes[0], sizes[0] / 2, 0.3 * sizes[0]]  # of other data in each block
    assert sizes == pytest.approx(wanted, rel=0.1)


def test_the_levels_of_a_pyramid() -> None:
    settings = PRESETS["cifar10"].settings
    found = [block for block in all_blocks(settings, (3, 32, 32), 1.0) if block.first]
    assert [level.shape for level in found] == [(3, k, k) for k in (4, 8, 16, 32)]
    assert [level.n_projections for level in found] == [500, 500, 768, 2000]
    assert found[0].momentum_at(10) == pytest.approx(0.1)
    assert found[0].momentum_at(1000) == 0.8
    with pytest.raises(ValueError, match="pyramid must end at the resolution"):
        next(all_blocks(settings, (3, 28, 28), 1.0))


def test_settings_take_numpy_numbers(points, tmp_path) -> None:
    settings = {"n_blocks": np.int64(1), "step_size": np.float32(0.5)}
    model = fitted(points, out=tmp_path / "run", settings=settings)
    assert load(tmp_path / "run").settings == model.settings


def test_growing_by_huge_powers_ends_at_the_cap() -> None:
    settings = FlowSettings(n_blocks=3, first_exponent=10**12, block_cap=7)
    assert [b.n_steps for b in all_blocks(settings, (2,), 1.0)] == [7, 14, 21]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_settings_survive_json(name: str) -> None:
    settings = PRESETS[name].settings
    entries = json.loads(json.dumps(settings.as_json()))
    assert FlowSettings.from_json(entries) == settings
    entries["network_steps"] = entries.pop("n_steps")  # its name before
    assert FlowSettings.from_json(entries) == settings


# -- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_network", [False, True])
def test_save_and_load(points, tmp_path, one_network) -> None:
    labels = np.arange(300) % 2
    model = fitted(points, labels, settings={"one_network": one_network})
    model.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "settings.json", "weights.safetensors",
    ]  # fmt: skip
    again = load(tmp_path / "model")
    assert again.settings == model.settings
    np.testing.assert_array_equal(again.sample(20, 1, rng=5), model.sample(20, 1, rng=5))
    with pytest.raises(ValueError, match="holds a run already"):
        model.save(tmp_path / "model")


def test_the_same_seed_gives_the_same_model(points) -> None:
    state = torch.get_rng_state()
    first, again, other = (fitted(points, settings={"seed": s}) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.sample(9, rng=0), again.sample(9, rng=0))
    assert not np.array_equal(first.sample(9, rng=0), other.sample(9, rng=0))
    assert torch.equal(torch.get_rng_state(), state)


def test_tensors_in_tensors_out(points) -> None:
    model = fitted(torch.from_numpy(points))
    assert isinstance(model.sample(4, rng=0), torch.Tensor)
    np.testing.assert_array_equal(fitted(points).sample(4, rng=0), model.sample(4, rng=0))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"one_network": True},
        {"particles": "network", "carry_velocity": True, "ema": 0.9, "loss": "l1"},
    ],
)
def test_a_run_without_its_end_can_be_sampled_and_goes_on(points, tmp_path, settings) -> None:
    labels = np.arange(300) % 2
    how = {"settings": settings, "out": tmp_path / "run"}
    model = fitted(points, labels, stop_after="80 steps", **how)
    assert model.n_trained == 2
    (tmp_path / "run" / "weights.safetensors").unlink()
    found = load(tmp_path / "run").sample(5, 1, rng=0)
    np.testing.assert_array_equal(found, model.sample(5, 1, rng=0))
    longer = fitted(points, labels, resume=True, **how)
    assert longer.n_trained == 3
    whole = fitted(points, labels, settings=settings)
    np.testing.assert_array_equal(longer.sample(5, 0, rng=0), whole.sample(5, 0, rng=0))


def test_held_out_data_end_the_training(points) -> None:
    model = fitted(points[:200], None, points[200:], patience=1, settings={"n_blocks": 8})
    assert 1 <= model.n_trained <= 8


def test_pictures_show_samples_at_the_scale_of_the_data(points, images, monkeypatch) -> None:
    drawn = {}
    monkeypatch.setattr(validation, "save_grid", lambda path, images: drawn.update(grid=images))
    monkeypatch.setattr(
        validation._pictures, "save_scatter", lambda path, *clouds: drawn.update(scatter=clouds)
    )
    for data in (points, 100 * images - 300):
        how = {"standardised": False, "given_network": False, "name": None}
        training = TrainingSet.of(data, None, **how)
        how = {"weight": 1.0, "n_samples": 9, "seed": 0, "device": torch.device("cpu")}
        validator = validation.Validator(training, None, **how)
        validator.draw(Path("picture.png"), lambda *given, x=training.points: x)
    np.testing.assert_allclose(drawn["scatter"][0], points, atol=1e-4)
    span = images.max() - images.min()
    np.testing.assert_allclose(drawn["grid"], (images - images.min()) / span, atol=1e-5)


def test_pictures_of_a_run(points, tmp_path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        validation._pictures,
        "save_scatter",
        lambda path, samples, data: seen.append((samples, data)),
    )
    settings = {"n_blocks": 1, "validation": 0.0}
    fitted(points, out=tmp_path / "run", settings=settings)
    samples, data = seen[0]
    np.testing.assert_allclose(data, points, atol=1e-4)
    assert (abs(samples.mean(axis=0) - points.mean(axis=0)) < 3 * np.ptp(points, axis=0)).all()


def test_training_without_pillow_says_once_that_nothing_is_drawn(
    images, tmp_path, monkeypatch, caplog
) -> None:
    for name in ("PIL", "matplotlib"):  # the latter needs the former
        monkeypatch.setitem(sys.modules, name, None)
    extras.has_for.cache_clear()
    for name in ("one", "other"):
        fitted(images, out=tmp_path / name, settings={"n_blocks": 2})
        assert not list((tmp_path / name).rglob("*.png"))
    extras.has_for.cache_clear()
    (record,) = caplog.records
    assert record.getMessage() == (
        "pictures of samples are left out without Pillow: pip install -e '.[models]'"
    )


def test_the_files_of_a_run(images, tmp_path) -> None:
    fitted(images, out=tmp_path / "run", name="noise")
    found = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (found["model"], found["format"], found["data"]) == ("flow", 1, "noise")
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 3
    head = (tmp_path / "run" / "log.csv").read_text().splitlines()[0]
    assert head == "stage,step,seconds,loss,validation,flow_steps,flow_distance,distance"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"model": "toaster"}, "expected one of the models flow, .*got 'toaster'"),
        ({"n_blocks": 1}, "the weights are not those of the settings"),
        ({"n_blocks": "many"}, "settings.json is damaged: n_blocks must be an integer"),
        ({"architecture": {"kind": "MLP", "width": 8, "depth": 1}}, "do not fit the network"),
        ({"architecture": {"kind": "ViT"}}, "damaged: kind must be one of MLP, UNet"),
        ({"shape": None}, "settings.json is damaged"),
        ({"loss": "l3"}, "loss must be one of l2, l1"),
    ],
)
def test_damaged_settings_are_named(points, tmp_path, fault: dict, message: str) -> None:
    fitted(points, out=tmp_path / "run")
    file = tmp_path / "run" / "settings.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fault}))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "run")


def test_other_data_do_not_go_on(points, tmp_path) -> None:
    fitted(points, out=tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run on other data or conditions"):
        fitted(2 * points.max() - points[:-1], out=tmp_path / "run", resume=True)


def test_the_name_of_the_data_may_change(points, tmp_path) -> None:
    first = fitted(points, out=tmp_path / "run", name="here.npy")
    again = fitted(points, out=tmp_path / "run", name="./here.npy", resume=True)
    np.testing.assert_array_equal(first.sample(3, rng=0), again.sample(3, rng=0))


def test_one_network_for_other_blocks_leaves_the_run_alone(points, tmp_path) -> None:
    how = {"out": tmp_path / "run"}
    fitted(points, settings={"one_network": True}, **how)
    with pytest.raises(ValueError, match="do not fit the network"):
        fitted(points, settings={"one_network": True, "n_blocks": 4}, resume=True, **how)
    assert load(tmp_path / "run").n_trained == 3


# -- saying no -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.zeros((4,)), ValueError, r"data must have shape \(n, d\), \(n, H, W\) or"),
        (np.zeros((1, 2)), ValueError, "n at least 2"),
        (np.full((4, 2), np.nan), ValueError, "data must be finite, got 8"),
        (np.full((4, 2), 1e300), ValueError, "data must not exceed 8.5e\\+37, got 1e\\+300"),
        (np.zeros((4, 2), complex), TypeError, "data must hold real numbers, got complex128"),
        (torch.zeros((4, 2), dtype=torch.complex64), TypeError, "data must hold real numbers"),
        ("0", TypeError, "data must be a NumPy array or a tensor, .* got str"),
        ([[0.0], [1.0, 2.0]], ValueError, "data must be real numbers: .* inhomogeneous"),
    ],
)
def test_bad_data(data, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        tiny().fit(data)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (np.zeros(3, int), "one entry for each of the 300 points"),
        (np.full(300, -1), r"labels \(n,\) from 0"),
        (np.zeros((300, 1), int), r"labels \(n,\) from 0"),
        (np.zeros(300), r"labels \(n,\), vectors \(n, m\), series \(n, k, m\) or maps"),
        (np.full((300, 1), np.inf), "condition must be finite"),
    ],
)
def test_bad_conditions(points, condition, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny().fit(points, condition)


def test_bad_samples(points) -> None:
    with pytest.raises(RuntimeError, match="not trained"):
        tiny().sample(1)
    plain, labelled = fitted(points), fitted(points, np.arange(300) % 3)
    with pytest.raises(ValueError, match="condition must be left out"):
        plain.sample(2, 1)
    with pytest.raises(ValueError, match="condition must be given: labels were learned"):
        labelled.sample(2)
    with pytest.raises(ValueError, match="labels from 0 to 2, got 3"):
        labelled.sample(2, 3)
    with pytest.raises(ValueError, match="a label or 2 labels"):
        labelled.sample(2, np.zeros(3, int))
    with pytest.raises(ValueError, match="n must be at least 1"):
        plain.sample(0)
    with pytest.raises(ValueError, match="patience needs held_out"):
        tiny(validation=0.0).fit(points, patience=1)
    with pytest.raises(ValueError, match=r"held_out must have points of shape \(2,\)"):
        tiny().fit(points, held_out=points[:, :1])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_blocks": 0}, ValueError, "n_blocks must be at least 1"),
        ({"particles": "old"}, ValueError, "particles must be one of"),
        ({"ema": 1.0}, ValueError, "ema must be at least 0 and below 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive"),
        ({"learning_rate": np.inf}, ValueError, "learning_rate must be positive and finite"),
        ({"step_size": -1.0}, ValueError, "step_size must be positive"),
        ({"momentum": 1.0}, ValueError, "momentum must be at least 0 and below 1"),
        ({"condition_weight": 0.0}, ValueError, "condition_weight must be positive"),
        ({"slicing": "pizza"}, ValueError, "slicing must be one of"),
        ({"slicing": ef.PatchSlicing((1, 8, 8), 2, (0,))}, TypeError, "slicing must be a string"),
        ({"architecture": "MLP"}, TypeError, "architecture must be MLP or UNet"),
        ({"colour": 1}, TypeError, "colour"),
        ({"preset": "imagenet"}, ValueError, "preset must be one of"),
        ({"one_network": True, "pyramid": Pyramid()}, ValueError, "single resolution"),
    ],
)
def test_bad_settings(settings: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        FlowGenerator(**settings)


def test_what_a_pyramid_cannot_do_shows_at_once(images, tmp_path) -> None:
    pyramid = Pyramid(
        resolutions=(2, 4), n_blocks=(1, 1), step_sizes=(0.5, 1.0), momenta=(0.5, 0.0),
        first_exponents=(1, 1), patch_size=2, patch_scales=(0,),
    )  # fmt: skip
    with pytest.raises(ValueError, match="a UNet, not an MLP"):
        fitted(images, settings={"pyramid": pyramid}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_architecture_for_other_data_leaves_no_run(points, tmp_path) -> None:
    with pytest.raises(ValueError, match="a UNet needs images"):
        fitted(points, settings={"architecture": UNet()}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"resolutions": (4, 6), "n_blocks": (1, 1)}, "must have one entry for each of the 2"),
        ({"resolutions": (4, 6, 12, 24)}, "must grow, each dividing the next"),
        ({"noise": -1}, "noise must not be negative"),
    ],
)
def test_bad_pyramids(how: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pyramid(**how)


def test_without_torch_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "import energyflow\n"
        "assert 'torch' not in sys.modules\n"
        "try:\n    import energyflow.models\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "energyflow.models needs torch" in done.stdout
    assert "'models'" in done.stdout


def test_several_conditions_at_once(tmp_path) -> None:
    rng = np.random.default_rng(0)
    labels, level = rng.integers(2, size=300), rng.random((300, 1)).astype(np.float32)
    given = {"class": labels, "level": level}
    points = np.hstack([5.0 * labels[:, None], level]).astype(np.float32)
    model = fitted(points, given, held_out=points[:50], held_out_condition={
        name: values[:50] for name, values in given.items()
    })  # fmt: skip
    asked = {"class": 1, "level": np.array([0.5])}
    samples = model.sample(40, asked, rng=0)
    other = model.sample(40, {**asked, "class": 0}, rng=0)
    assert samples[:, 0].mean() > other[:, 0].mean() + 1
    model.save(tmp_path / "model")
    again = FlowGenerator.load(tmp_path / "model")
    np.testing.assert_array_equal(again.sample(40, asked, rng=0), samples)
