"""Posteriors of large images, learned from crops."""

from __future__ import annotations

import numpy as np
import pytest

from energyflow.inverse import BlurDownsample, Gaussian, Linear
from energyflow.inverse._learned.crops import crops

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")
pytest.importorskip("diffusers", reason="networks for images need diffusers")
from energyflow.inverse import PosteriorFlow
from energyflow.models import MLP, FlowMatching, UNet

SMALL = UNet(4, (1, 2), residual_blocks=1, patch=2, attention=False)
FAST = {"n_steps": 2, "n_rounds": 1, "batch_size": 4, "sampling_steps": 1, "device": "cpu"}


@pytest.mark.parametrize(("height", "width", "count"), [(8, 8, 1), (12, 8, 2), (13, 16, 9)])
def test_crops_reach_every_pixel(height: int, width: int, count: int) -> None:
    image = np.arange(height * width, dtype=np.float32).reshape(1, 1, height, width)
    parts = crops(np.concatenate([image, image]), 8)
    assert parts.shape == (2 * count, 1, 8, 8)
    np.testing.assert_array_equal(np.unique(parts), image.ravel())
    np.testing.assert_array_equal(np.diff(parts, axis=3), 1)


@pytest.fixture(scope="module")
def flow() -> PosteriorFlow:
    problem = BlurDownsample(1, 8, 4, (0, 4), edges="wrap") + Gaussian(0.01)
    images = np.random.default_rng(0).random((4, 24, 32), np.float32)
    return PosteriorFlow(problem, crop=16, architecture=SMALL, **FAST).fit(images, progress=False)


def test_samples_have_the_size_of_the_image(flow: PosteriorFlow) -> None:
    assert flow.model.fitted is not None
    assert flow.model.fitted.description.shape == (1, 16, 16)
    assert flow.problem is not None
    for size in ((24, 32), (40, 20)):
        seen = flow.problem.simulate(np.random.default_rng(1).random((2, 1, *size)), 0)
        assert flow.first_guess(seen).shape == (2, 1, *size)
        assert flow.sample(seen, 3, rng=0).samples.shape == (2, 3, 1, *size)
        assert flow.sample(seen[0], 3, rng=0).samples.shape == (3, 1, *size)
    with pytest.raises(ValueError, match="observation must have shape"):
        flow.sample(np.zeros((1, 2, 6, 8)), 3)


def test_a_run_of_crops_is_loaded(flow: PosteriorFlow, tmp_path) -> None:
    flow.save(tmp_path / "run")
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    assert again.crop == 16
    seen = np.random.default_rng(2).random((1, 10, 6))
    one, other = (f.sample(seen, 2, rng=0).samples for f in (flow, again))
    np.testing.assert_array_equal(one, other)


def test_what_cannot_learn_from_crops() -> None:
    problem = BlurDownsample(1, 8, 4) + Gaussian(0.1)
    for model in (FlowMatching(), FlowMatching(architecture=UNet())):
        with pytest.raises(ValueError, match="crop needs a FlowMatching with architecture=UNet"):
            PosteriorFlow(problem, model, crop=16)
    for more in ({"guess": "regression"}, {"components": 0.9}):
        with pytest.raises(ValueError, match="crop goes with the lift"):
            PosteriorFlow(problem, crop=16, **more)
    with pytest.raises(ValueError, match="crop must be at least 2, got 1"):
        PosteriorFlow(problem, crop=1)
    images = np.zeros((3, 24, 24))
    with pytest.raises(ValueError, match="crop must be at most the sides of the images, 24 and 24"):
        PosteriorFlow(problem, crop=32, **FAST).fit(images, progress=False)
    with pytest.raises(ValueError, match="crop is of images whose problem has a lift"):
        PosteriorFlow(Linear([1.0]) + Gaussian(0.1), crop=2, **FAST).fit(np.zeros((9, 1)))


def test_held_out_images_of_another_size_are_to_blame_themselves() -> None:
    """Their crops have the size of the others, but their observations have not."""
    problem = BlurDownsample(1, 8, 4) + Gaussian(0.1)
    flow = PosteriorFlow(problem, crop=16, architecture=SMALL, **FAST)
    images, other = np.zeros((4, 24, 24)), np.zeros((3, 1, 24, 32))
    message = r"held_out must be of the training's shape \(1, 24, 24\), got \(1, 24, 32\)"
    with pytest.raises(ValueError, match=message):
        flow.fit(images, held_out=other, progress=False)
    seen = problem.simulate(other, 0)
    with pytest.raises(ValueError, match=message):
        flow.fit(images, held_out=other, held_out_observations=seen, progress=False)
    with pytest.raises(ValueError, match="held_out_observations must be of images of shape"):
        flow.fit(images, held_out=images, held_out_observations=np.zeros((4, 1, 5, 6)))


def test_other_sizes_need_a_convolutional_network() -> None:
    images = np.random.default_rng(0).random((4, 1, 20, 20), np.float32)
    larger = np.zeros((1, 24, 28), np.float32)
    model = FlowMatching(architecture=SMALL, **FAST).fit(images, images, progress=False)
    assert np.shape(model.sample(2, larger, 0)) == (2, 1, 24, 28)
    for form in (UNet(4, (1, 2), residual_blocks=1), MLP(8, 1)):
        model = FlowMatching(architecture=form, **FAST).fit(images, images, progress=False)
        with pytest.raises(ValueError, match=r"condition must have shape \(1, 20, 20\)"):
            model.sample(2, larger, 0)


def test_networks_see_the_regression_beside_the_lift(tmp_path) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((30, 1, 8, 8), np.float32).cumsum(axis=3) / 8
    problem = BlurDownsample(1, 4, 2) + Gaussian(0.01)
    flow = PosteriorFlow(problem, guess="regression", architecture=MLP(8, 1), **FAST)
    flow.fit(images, held_out=images[:4], progress=False)
    assert flow.model.fitted is not None
    assert flow.model.fitted.description.conditions is not None
    assert flow.model.fitted.description.conditions.shape == (2, 8, 8)
    seen = problem.simulate(images[:2], 0)
    assert flow.sample(seen, 3, rng=0).samples.shape == (2, 3, 1, 8, 8)
    flow.save(tmp_path / "run")
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    one, other = (f.sample(seen, 2, rng=0).samples for f in (flow, again))
    np.testing.assert_array_equal(one, other)
