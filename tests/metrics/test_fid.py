"""FID by torchmetrics, where it is installed; what it says where it is not."""

import importlib.util

import numpy as np
import pytest

from energyflow.metrics import fid, frechet_distance

IMAGES = np.random.default_rng(0).random((12, 1, 6, 6), dtype=np.float32)


def test_without_torchmetrics_it_says_how_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "energyflow._core.extras.find_spec",
        lambda name: None if name == "torchmetrics" else find(name),
    )
    with pytest.raises(ModuleNotFoundError, match=r"fid needs torchmetrics: pip install"):
        fid(IMAGES, IMAGES, "weights.pth")


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (IMAGES[:, 0].reshape(12, 36), r"samples must have shape \(n, 1 or 3, H, W\)"),
        (IMAGES[:1], "at least 2 images"),
        (IMAGES + 1, "samples must lie in"),
        (np.repeat(IMAGES, 2, axis=1), "1 or 3"),
    ],
)
def test_bad_images_are_named(images, told):
    with pytest.raises(ValueError, match=told):
        fid(images, IMAGES, "weights.pth")


def test_a_network_of_ones_own():
    torch = pytest.importorskip("torch", reason="torchmetrics computes by torch")
    pytest.importorskip("torchmetrics", reason="torchmetrics is optional")

    class Corner(torch.nn.Module):
        num_features = 4

        def forward(self, images):
            assert images.shape[1:] == (3, 6, 6)
            return images[:, 1, :2, :2].reshape(-1, 4)

    other = IMAGES**2
    wanted = frechet_distance(*(x[:, 0, :2, :2].reshape(-1, 4) for x in (IMAGES, other)))
    assert fid(IMAGES, other, Corner(), batch_size=5) == pytest.approx(float(wanted), rel=1e-3)
