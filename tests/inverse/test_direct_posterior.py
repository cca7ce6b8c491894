"""A posterior with the interface of sbi."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")
pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

from energyflow.inverse import DirectPosterior, PosteriorFlow  # noqa: E402
from energyflow.models import MLP  # noqa: E402


@pytest.fixture(scope="module")
def posterior() -> DirectPosterior:
    prior = torch.distributions.Uniform(torch.zeros(2), torch.ones(2))
    with torch.random.fork_rng():
        theta = prior.sample((300,))
        x = theta.sum(1, keepdim=True) + 0.1 * torch.randn(300, 1)
    flow = PosteriorFlow(
        bounds=prior, n_steps=100, n_rounds=2, sampling_steps=4, batch_size=64, device="cpu",
        architecture=MLP(width=16, depth=1),
    )  # fmt: skip
    return DirectPosterior(flow.fit(theta, x, progress=False))


def test_tensors_come_back_as_tensors(posterior: DirectPosterior) -> None:
    x = torch.tensor([[1.0]])
    samples = posterior.sample((50,), x=x, rng=0)
    assert samples.shape == (50, 2)
    assert samples.dtype == torch.float32
    assert isinstance(samples, torch.Tensor)
    assert ((samples >= 0) & (samples <= 1)).all()
    logs = posterior.log_prob(samples, x=x)
    assert isinstance(logs, torch.Tensor)
    assert logs.shape == (50,)
    outside = posterior.log_prob(torch.tensor([1.5, 0.5]), x=x[0])
    assert torch.isneginf(outside).all()
    arrays = posterior.sample((50,), x=np.array([1.0]), rng=0)
    assert isinstance(arrays, np.ndarray)
    np.testing.assert_allclose(arrays, samples, rtol=1e-6, atol=1e-6)


def test_shapes_of_samples(posterior: DirectPosterior) -> None:
    x = np.array([[0.5], [1.0], [1.5]])
    assert posterior.sample((), x=x[0]).shape == (2,)
    assert posterior.sample((4, 3), x=x[0]).shape == (4, 3, 2)
    several = posterior.sample_batched((100,), x, rng=0)
    assert several.shape == (100, 3, 2)
    assert np.diff(several.sum(-1).mean(0)).min() > 0.2
    logs = posterior.log_prob_batched(several[:5], x)
    assert logs.shape == (5, 3)
    np.testing.assert_allclose(
        logs[:, 1], posterior.log_prob(several[:5, 1], x[1]), rtol=1e-4, atol=1e-4
    )


def test_the_default_observation(posterior: DirectPosterior) -> None:
    fresh = DirectPosterior(posterior.flow)
    with pytest.raises(ValueError, match="x must be given, or set by set_default_x"):
        fresh.sample((3,))
    assert fresh.set_default_x(np.array([1.0])) is fresh
    np.testing.assert_array_equal(
        fresh.sample((3,), rng=0), posterior.sample((3,), np.array([1.0]), rng=0)
    )


def test_bad_input(posterior: DirectPosterior) -> None:
    with pytest.raises(TypeError, match="flow must be a PosteriorFlow, got int"):
        DirectPosterior(3)
    with pytest.raises(ValueError, match="x must be one observation, got 2: sample_batched"):
        posterior.sample((3,), np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"x must have shape \(1,\)"):
        posterior.sample((3,), np.ones(2))
    with pytest.raises(ValueError, match=r"x must have shape \(1,\)"):
        DirectPosterior(posterior.flow).set_default_x(np.zeros(5))
    with pytest.raises(TypeError, match="sample_shape must be a tuple, got int"):
        posterior.sample(3, np.ones(1))
    with pytest.raises(TypeError, match="x must be an array"):
        posterior.sample((3,), 1.0)
    with pytest.raises(ValueError, match=r"theta must have shape \(n, m, d\)"):
        posterior.log_prob_batched(np.ones((3, 2)), np.ones((1, 1)))
