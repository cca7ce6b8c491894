"""Presets at a small size: what they are for works."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import energyflow as ef
from energyflow import datasets
from energyflow.models import DMMD, FlowGenerator, FlowMatching, UNet, count_parameters

SMALL = {"n_particles": 2000, "n_blocks": 2, "n_steps": 150, "n_projections": 16}


@pytest.mark.parametrize("toy", ["moons", "eight-gaussians"])
def test_toys_are_learned(toy: str) -> None:
    data = datasets.load(toy, n=2000)
    model = FlowGenerator(preset="toy", device="cpu", **SMALL).fit(data.train, progress=False)
    noise = np.random.default_rng(0).random((2000, 2)).astype(np.float32)
    clouds = model.sample(2000, rng=0), noise, data.train
    distances = [float(ef.energy_distance(cloud, data.test)) for cloud in clouds]
    assert distances[0] < 3 * distances[2]
    assert distances[0] < 0.5 * distances[1]


def test_the_network_for_cifar_gives_images() -> None:
    pytest.importorskip("diffusers", reason="diffusers is an extra")
    form = FlowMatching.presets["cifar10"].settings.architecture
    with torch.device("meta"):  # shapes without numbers
        network = form.build((3, 32, 32), [(10,), (1,)])
        found = network(torch.empty(2, 3, 32, 32), torch.empty(2, 10), torch.empty(2, 1))
    assert found.shape == (2, 3, 32, 32)
    assert 100e6 < count_parameters(network) < 150e6


def test_the_preset_for_cifar_trains_at_a_small_size() -> None:
    pytest.importorskip("diffusers", reason="diffusers is an extra")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")
    settings = FlowMatching.presets["cifar10"].settings
    small = {
        "batch_size": 2, "coupling_size": 10, "n_steps": 6, "n_rounds": 1, "sampling_steps": 1,
        "architecture": replace(settings.architecture, channels=4),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    images, labels = rng.random((12, 3, 32, 32), np.float32), np.arange(12) % 3
    model = FlowMatching(preset="cifar10", device="cpu", **small)
    assert (model.settings.ema, model.settings.clip) == (0.9999, 1.0)
    samples = model.fit(images, labels, progress=False).sample(2, 1, rng=0)
    assert samples.shape == (2, 3, 32, 32)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize(
    ("kind", "small"),
    [
        (FlowMatching, {"n_steps": 1, "n_rounds": 1, "sampling_steps": 1}),
        (FlowGenerator, {"n_blocks": 1, "n_particles": 40, "n_steps": 1}),
    ],
)
def test_on_cpus_images_have_a_narrow_network_and_small_batches(kind, small, tmp_path) -> None:
    """What was taken is saved: the default of another version, or device, changes no model."""
    pytest.importorskip("diffusers", reason="diffusers is an extra")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")
    images = np.random.default_rng(0).random((24, 1, 20, 20), np.float32)
    model = kind(device="cpu", **small).fit(images, progress=False, out=tmp_path, n_validation=2)
    assert model.settings.architecture == UNet(channels=16, residual_blocks=1)
    assert model.settings.batch_size == 64
    assert kind.load(tmp_path).settings == model.settings


def test_a_run_of_images_is_resumed_with_the_network_that_it_has(tmp_path) -> None:
    """Of another version, or made on another device: null stands for the network of before."""
    pytest.importorskip("diffusers", reason="diffusers is an extra")
    images = np.random.default_rng(0).random((24, 1, 20, 20), np.float32)
    small = {"n_blocks": 2, "n_particles": 40, "n_steps": 1, "device": "cpu"}
    before = UNet(channels=8, residual_blocks=1)
    run = {"out": tmp_path, "progress": False, "n_validation": 2}
    wide = FlowGenerator(architecture=before, batch_size=7, first_exponent=1, **small)
    wide.fit(images, stop_after="1 steps", **run)
    again = FlowGenerator(**small).fit(images, resume=True, **run)
    assert again.settings == wide.settings
    assert again.n_trained == 2
    with pytest.raises(ValueError, match="batch_size = 7, which is resumed only with the same"):
        FlowGenerator(batch_size=8, **small).fit(images, resume=True, **run)


def test_a_run_whose_unet_said_less_is_resumed(tmp_path) -> None:
    """UNets once had neither patches nor a choice of attention."""
    pytest.importorskip("diffusers", reason="diffusers is an extra")
    images = np.random.default_rng(0).random((24, 1, 20, 20), np.float32)
    small = {"n_blocks": 2, "n_particles": 40, "n_steps": 1, "device": "cpu"}
    run = {"out": tmp_path, "progress": False, "n_validation": 2}
    FlowGenerator(**small).fit(images, stop_after="1 steps", **run)
    path = tmp_path / "settings.json"
    entries = json.loads(path.read_text())
    for name in ("patch", "attention"):
        del entries["architecture"][name]
    path.write_text(json.dumps(entries))
    assert FlowGenerator(**small).fit(images, resume=True, **run).n_trained == 2


def test_small_images_keep_their_perceptron() -> None:
    images = np.random.default_rng(0).random((24, 1, 8, 8), np.float32)
    small = {"n_blocks": 1, "n_particles": 40, "n_steps": 1}
    model = FlowGenerator(device="cpu", **small).fit(images, progress=False, n_validation=2)
    assert model.settings.architecture is None
    assert model.settings.batch_size == 200


def test_features_of_images_are_those_of_a_convolutional_network() -> None:
    images = np.random.default_rng(0).random((24, 1, 20, 20), np.float32)
    small = {"n_steps": 1, "n_rounds": 1, "n_reference": 20}
    model = DMMD(device="cpu", **small).fit(images, progress=False, n_validation=2)
    assert model.settings.architecture is None
    assert model.settings.batch_size == 32
