"""Models of the principal components of points: coordinates, settings, samples, files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from energyflow.inverse import WhitenedPCA
from energyflow.models import DMMD, MLP, FlowGenerator, FlowMatching, Model, Pyramid, UNet
from energyflow.models.data.scaling import Components, Scaling

SEEDS = (0, 1, 2)
SMALL: list[tuple[type[Model[Any]], dict[str, Any]]] = [
    (FlowGenerator, {"n_blocks": 1, "n_particles": 40, "n_steps": 3}),
    (DMMD, {"n_steps": 3, "n_rounds": 1, "n_reference": 40}),
    (FlowMatching, {"n_steps": 3, "n_rounds": 1, "sampling_steps": 2}),
]
QUIET: dict[str, Any] = {"progress": False, "n_validation": 4}


def images(n: int, rank: int, seed: int = 0, side: int = 17) -> np.ndarray:
    """Of a few patterns, each less than the one before, around a mean that is not constant."""
    rng = np.random.default_rng(seed)
    patterns = rng.standard_normal((rank, side * side)) / np.arange(1, rank + 1)[:, None]
    points = rng.standard_normal((n, rank)) @ patterns + rng.random(side * side)
    return points.reshape(n, 1, side, side).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_components_of_few_patterns_are_these_patterns(seed: int) -> None:
    points = torch.from_numpy(images(50, 4, seed))
    found = Components.of(points, 1.0)
    assert len(found.axes) == 4
    torch.testing.assert_close(found.axes @ found.axes.T, torch.eye(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.undo(found.apply(points)), points, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.3, 0.8, 0.97])
def test_the_fewest_components_that_keep_the_share(seed: int, share: float) -> None:
    points = torch.from_numpy(images(80, 12, seed))
    found = Components.of(points, share)
    variances = found.apply(points).double().var(0, correction=0)
    total = points.flatten(1).double().var(0, correction=0).sum()
    assert bool((variances.diff() <= 1e-6).all())
    assert variances.sum() >= (share - 1e-5) * total
    assert variances[:-1].sum() < share * total


@pytest.mark.parametrize("n", [30, 400])
def test_they_are_those_of_inverse_problems(n: int) -> None:
    """`WhitenedPCA` has the same axes, in units of their spread."""
    points = torch.from_numpy(images(n, 12))
    found, whitened = Components.of(points, 0.9), WhitenedPCA.of(points.numpy(), 0.9)
    deviations = found.apply(points).std(0, correction=0)
    expected = deviations[:, None] * found.axes
    torch.testing.assert_close(torch.from_numpy(whitened.basis), expected, atol=1e-5, rtol=1e-4)


def test_distances_between_coordinates_are_those_of_the_points() -> None:
    """The energy distance of coordinates is that of the points that they stand for."""
    points = torch.from_numpy(images(30, 5))
    scaling = Scaling.standard(points).in_components(points, 1.0)
    scaled = scaling.apply(points)
    expected = torch.pdist(points.flatten(1).double()) / scaling.scale
    torch.testing.assert_close(torch.pdist(scaled).double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "small"), SMALL)
def test_samples_are_made_of_the_components(kind, small, tmp_path) -> None:
    data = images(60, 5)
    labels = np.arange(60) % 2
    model = kind(components=0.99, device="cpu", **small)
    model.fit(data, labels, out=tmp_path, **QUIET)
    assert model.fitted.description.shape == (1, 17, 17)
    assert model.fitted.scaling.components is not None
    samples = model.sample(7, labels[:7], rng=0)
    assert samples.shape == (7, 1, 17, 17)
    torch.testing.assert_close(
        torch.from_numpy(samples), _nearest_of_components(model, samples), atol=1e-3, rtol=0
    )
    again = kind.load(tmp_path)
    assert again.settings == model.settings
    np.testing.assert_array_equal(again.sample(7, labels[:7], rng=0), samples)


def _nearest_of_components(model: Model[Any], samples: np.ndarray) -> torch.Tensor:
    scaling = model.fitted.scaling
    return scaling.undo(scaling.apply(torch.from_numpy(samples)))


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize(("kind", "small"), SMALL)
def test_interrupted_and_resumed_they_are_the_same(kind, small, vectors, tmp_path) -> None:
    data, settings = images(60, 5), {"components": 0.9, "device": "cpu", **small}
    data = data.reshape(60, -1)[:, :5] if vectors else data
    whole = kind(**settings).fit(data, **QUIET)
    kind(**settings).fit(data, out=tmp_path, stop_after="1 steps", **QUIET)
    resumed = kind(**settings).fit(data, out=tmp_path, resume=True, **QUIET)
    np.testing.assert_array_equal(resumed.sample(3, rng=0), whole.sample(3, rng=0))
    np.testing.assert_array_equal(kind.load(tmp_path).sample(3, rng=0), whole.sample(3, rng=0))


@pytest.mark.parametrize(("kind", "small"), SMALL)
def test_what_is_taken_when_nothing_is_said(kind, small) -> None:
    """Many images on a CPU are learned by components; where these say little, as they are."""
    expected = 1.0 if kind is FlowMatching else 0.97
    data = images(1000, 6)

    def share(data: np.ndarray, condition: Any = None, **given: Any) -> float:
        held = {"held_out": data[:20]} | ({"held_out_condition": condition[:20]} if given else {})
        if condition is not None:
            held["held_out_condition"] = condition[:20]
        model = kind(device="cpu", **small, **given)
        model.fit(data, condition, **held, **QUIET)
        return model.settings.components

    if kind is not FlowMatching:  # its UNet takes seconds
        assert share(data) == expected
        assert share(data, np.arange(1000) % 3) == expected
        assert share(data[:, :, :16, :16]) == 1  # small images have an MLP anyway
        assert share(data.reshape(1000, -1)[:, :300]) == 1
    if kind is DMMD:
        assert share(data[:999]) == 1


def test_a_given_network_or_a_pyramid_sees_images() -> None:
    data = images(1000, 6)
    pytest.importorskip("diffusers", reason="diffusers is an extra")
    form = UNet(channels=8, multipliers=(1, 2), residual_blocks=1)
    few = {"n_blocks": 1, "n_particles": 20, "n_steps": 1, "device": "cpu"}
    model = FlowGenerator(architecture=form, **few).fit(data, held_out=data[:20], **QUIET)
    assert model.settings.components == 1
    with pytest.raises(ValueError, match=r"pyramid must be left out with components"):
        FlowGenerator(pyramid=Pyramid(), components=0.9)


def test_components_of_images_start_near_them() -> None:
    model = FlowGenerator(n_blocks=1, n_particles=30, n_steps=2, device="cpu", components=0.97)
    model.fit(images(60, 5), **QUIET)
    assert model.settings.start == "normal"
    assert model.settings.architecture == MLP(width=1024)


def test_components_are_vectors_for_a_perceptron() -> None:
    with pytest.raises(ValueError, match="architecture must be an MLP with components="):
        FlowMatching(components=0.9, architecture=UNet())


def test_images_given_vectors_keep_their_variance() -> None:
    """Samples of posteriors would be too narrow."""
    data = images(1000, 6)
    few = {"n_blocks": 1, "n_particles": 20, "n_steps": 1, "device": "cpu"}
    model = FlowGenerator(architecture=MLP(8, 1), **few)
    model.fit(data, data[:, 0, 0, :3], **QUIET)
    assert model.settings.components == 1


def test_a_finished_run_keeps_its_axes(tmp_path, monkeypatch) -> None:
    """Axes of equal variances, found anew on another machine, may be turned."""
    settings: dict[str, Any] = {"n_blocks": 2, "n_particles": 30, "n_steps": 3, "device": "cpu"}
    settings["components"] = 0.9
    whole = FlowGenerator(**settings).fit(images(60, 5), **QUIET)
    FlowGenerator(**settings).fit(images(60, 5), out=tmp_path, stop_after="3 steps", **QUIET)
    turned = Components.of
    monkeypatch.setattr(
        Components, "of", lambda *a: replace(turned(*a), axes=-turned(*a).axes.flip(0))
    )
    resumed = FlowGenerator(**settings).fit(images(60, 5), out=tmp_path, resume=True, **QUIET)
    np.testing.assert_array_equal(resumed.sample(3, rng=0), whole.sample(3, rng=0))


@pytest.mark.parametrize("share", [0, -1, 1.5, "all"])
def test_a_share_is_between_0_and_1(share: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="components must be"):
        DMMD(components=share)


def test_components_have_no_density() -> None:
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")
    settings: dict[str, Any] = {"n_steps": 2, "n_rounds": 1, "sampling_steps": 2}
    model = FlowMatching(components=0.9, device="cpu", **settings).fit(images(40, 4), **QUIET)
    with pytest.raises(RuntimeError, match=r"log_likelihood needs components=1, got 0\.9"):
        model.log_likelihood(images(2, 4))


def test_axes_are_those_of_the_settings(tmp_path) -> None:
    small: dict[str, Any] = {"n_steps": 2, "n_rounds": 1, "n_reference": 40, "device": "cpu"}
    DMMD(components=0.9, **small).fit(images(40, 4), out=tmp_path, **QUIET)
    path = tmp_path / "weights.safetensors"
    tensors = load_file(path)
    save_file(
        {k: v for k, v in tensors.items() if k != "data.axes"}, tmp_path / "weights.safetensors"
    )
    with pytest.raises(ValueError, match="expected 3 principal axes in the weights, got None"):
        DMMD.load(tmp_path)


def test_damaged_axes_are_named() -> None:
    points = torch.from_numpy(images(30, 5))
    tensors = Scaling.standard(points).in_components(points, 1.0).tensors()
    with pytest.raises(ValueError, match=r"data\.centre and data\.axes must have the shapes"):
        Scaling.from_tensors(tensors, (1, 4, 4))
    tensors["data.axes"] = tensors["data.axes"] * float("nan")
    with pytest.raises(ValueError, match=r"data\.axes must be finite"):
        Scaling.from_tensors(tensors, (1, 17, 17))
