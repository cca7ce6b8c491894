"""Principal components in units of their spread, alone and in a posterior flow."""

from __future__ import annotations

import numpy as np
import pytest

from energyflow.inverse import Gaussian, Linear, WhitenedPCA


def test_all_components_lose_nothing(rng: np.random.Generator) -> None:
    x = rng.normal(3, 1, size=(200, 2, 3)) * [1, 5, 0.1]
    found = WhitenedPCA.of(x, 1)
    z = found.reduce(x)
    np.testing.assert_allclose(found.expand(z), x.reshape(200, 6), atol=1e-9)
    np.testing.assert_allclose(z.T @ z / 200, np.eye(6), atol=1e-9)


@pytest.mark.parametrize(("share", "count"), [(0.5, 1), (0.9, 2), (0.99, 3), (1, 3)])
def test_a_share_of_the_variance(share: float, count: int, rng: np.random.Generator) -> None:
    x = np.zeros((300, 5))
    x[:, :3] = np.linalg.qr(rng.normal(size=(300, 3)))[0] * np.sqrt([8, 1.5, 0.5])
    x -= x.mean(axis=0)
    found = WhitenedPCA.of(x, share)
    assert found.basis.shape == (count, 5)
    lost = np.square(x - found.expand(found.reduce(x))).sum() / np.square(x).sum()
    assert lost <= 1 - share + 0.02


@pytest.mark.parametrize(("n", "d"), [(2000, 100), (60, 200)])
def test_rounding_far_from_the_origin_is_no_component(n: int, d: int, rng) -> None:
    x = 300 + rng.normal(size=(n, 5)) @ rng.normal(size=(5, d))
    assert WhitenedPCA.of(x, 1).basis.shape == (5, d)


@pytest.mark.parametrize("n", [4, 40])
def test_axes_are_those_of_the_covariance(n: int, rng: np.random.Generator) -> None:
    """Of fewer points than numbers as well, whose covariance is not formed."""
    x = rng.normal(size=(n, 9)) * np.linspace(0.2, 3, 9) + 5
    variances, axes = np.linalg.eigh(np.cov(x.T, ddof=0))
    found = WhitenedPCA.of(x, 1)
    count = min(n - 1, 9)
    expected = np.sqrt(variances[::-1][:count, None]) * axes.T[::-1][:count]
    signs = np.sign((found.basis * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.basis, signs * expected, atol=1e-9)
    assert (found.basis[np.arange(count), abs(found.basis).argmax(axis=1)] > 0).all()


def test_points_that_are_all_equal() -> None:
    found = WhitenedPCA.of(np.full((4, 3), 2.0), 0.9)
    np.testing.assert_allclose(found.expand(found.reduce(np.full((2, 3), 2.0))), 2)


@pytest.mark.parametrize("scale", [0.0, 1e-25])
def test_float32_whose_squares_vanish(scale: float, rng: np.random.Generator) -> None:
    x = (scale * rng.normal(size=(50, 3))).astype(np.float32)
    found = WhitenedPCA.of(x, 1)
    z = found.reduce(x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.std(axis=0), float(scale > 0), rtol=1e-3)
    np.testing.assert_allclose(found.expand(z), x, rtol=1e-3, atol=1e-3 * scale)


def test_a_posterior_flow_of_components(tmp_path, rng: np.random.Generator) -> None:
    pytest.importorskip("torch", reason="torch is an extra")
    pytest.importorskip("safetensors", reason="safetensors is an extra")
    from energyflow.inverse import BlurDownsample, PosteriorFlow
    from energyflow.models import MLP

    fast = {
        "n_particles": 100, "n_projections": 8, "n_blocks": 1, "n_steps": 10,
        "architecture": MLP(width=16, depth=1), "device": "cpu",
    }  # fmt: skip
    problem = BlurDownsample(1, 4, 2) + Gaussian(0.1)
    flow = PosteriorFlow(problem, guess="regression", components=0.8, **fast)
    images = rng.random((80, 1, 8, 8), np.float32)
    flow.fit(images, held_out=images[:9], out=tmp_path / "run", progress=False)
    seen = problem.simulate(images[:1], rng)[0]
    samples = flow.sample(seen, 7, 1).samples
    assert samples.shape == (7, 1, 8, 8)
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    np.testing.assert_array_equal(again.sample(seen, 7, 1).samples, samples)
    for text in (
        "{}",
        '{"guess": "magic", "components": 0.8}',
        '{"guess": "lift", "components": 7}',
    ):
        (tmp_path / "run" / "guess.json").write_text(text)
        with pytest.raises(ValueError, match=r"guess\.json: expected JSON with guess"):
            PosteriorFlow.load(tmp_path / "run", device="cpu")


def test_bad_input() -> None:
    pytest.importorskip("torch", reason="torch is an extra")
    pytest.importorskip("safetensors", reason="safetensors is an extra")
    from energyflow.inverse import PosteriorFlow

    problem = Linear([1.0]) + Gaussian(0.1)
    for share, error in ((0, ValueError), (1.5, ValueError), ("all", TypeError)):
        with pytest.raises(error, match="components must be"):
            PosteriorFlow(problem, components=share)
