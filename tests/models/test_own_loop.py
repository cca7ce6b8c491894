"""Training loops of the user's own: points on paths, and likelihoods by Hutchinson's estimator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

from energyflow.models import MLP, FlowMatching, sample_location_and_conditional_flow
from energyflow.models.flow_matching.solver import OdeSolver
from energyflow.models.flow_matching.velocity import Velocity, log_density

SEEDS = (0, 1, 2)


def batch(n: int, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def moved(points: Tensor, t: Tensor, velocity: Tensor) -> Tensor:
    return points + t.reshape(-1, *(1,) * (points.ndim - 1)) * velocity


# -- points on paths -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (1, 4, 4), (5, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_paths_are_straight_from_source_to_data(shape: tuple[int, ...], dtype: Any) -> None:
    x0, x1 = batch(8, *shape, dtype=dtype), batch(8, *shape, seed=1, dtype=dtype)
    t, x_t, u_t, condition = sample_location_and_conditional_flow(x0, x1, rng=0)
    assert t.dtype == x_t.dtype == u_t.dtype == dtype
    assert condition is None
    torch.testing.assert_close(moved(x_t, -t, u_t), x0)
    torch.testing.assert_close(moved(x_t, 1 - t, u_t), x1)


def test_times_are_one_in_each_share() -> None:
    t = sample_location_and_conditional_flow(None, batch(50, 2), rng=0).t
    assert torch.equal((50 * t).floor().sort().values, torch.arange(50.0))
    assert not torch.equal(t, t.sort().values)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_source_is_standard_normal(seed: int) -> None:
    t, x_t, u_t, _ = sample_location_and_conditional_flow(None, batch(4000, 2) + 5, rng=seed)
    start = moved(x_t, -t, u_t)
    assert float(start.mean().abs()) < 4 / math.sqrt(8000)
    assert float(start.std()) == pytest.approx(1, abs=4 / math.sqrt(16000))


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_around_the_path_has_its_deviation(seed: int) -> None:
    x0, x1 = batch(4000, 2), batch(4000, 2, seed=1)
    t, x_t, u_t, _ = sample_location_and_conditional_flow(x0, x1, sigma=0.3, rng=seed)
    torch.testing.assert_close(u_t, x1 - x0)
    assert float((moved(x_t, -t, u_t) - x0).std()) == pytest.approx(0.3, rel=0.05)


def test_transport_pairs_in_order_in_one_dimension() -> None:
    x0, x1 = batch(30, 1), batch(30, 1, seed=1)
    t, x_t, u_t, c = sample_location_and_conditional_flow(x0, x1, x1.clone(), coupling="ot", rng=0)
    torch.testing.assert_close(moved(x_t, -t, u_t), x0)
    end = moved(x_t, 1 - t, u_t)
    torch.testing.assert_close(end[x0[:, 0].argsort(), 0], x1[:, 0].sort().values)
    torch.testing.assert_close(c, end)  # the condition goes with the data


@pytest.mark.parametrize("form", ["labels", "vectors"])
def test_conditional_transport_keeps_conditions(form: str) -> None:
    labels = torch.arange(40) % 4
    condition = labels if form == "labels" else labels[:, None].float()
    x1 = batch(40, 2) + 100 * labels[:, None]
    drawn = sample_location_and_conditional_flow(
        None, x1, condition, coupling="conditional-ot", beta=math.inf, rng=0
    )
    assert drawn.condition is not None
    end = moved(drawn.x_t, 1 - drawn.t, drawn.u_t)
    assert torch.equal((end[:, 0] / 100).round(), drawn.condition.flatten().float())
    plain = sample_location_and_conditional_flow(None, x1, condition, rng=0)
    assert drawn.u_t.square().sum() < plain.u_t.square().sum()


def test_it_is_a_function_of_the_seed_and_draws_on_from_a_generator() -> None:
    x1, generator = batch(6, 2), np.random.default_rng(0)
    one, other = (sample_location_and_conditional_flow(None, x1, rng=3) for _ in range(2))
    assert torch.equal(one.x_t, other.x_t)
    one, other = (sample_location_and_conditional_flow(None, x1, rng=generator) for _ in range(2))
    assert not torch.equal(one.x_t, other.x_t)
    stream = torch.Generator().manual_seed(0)
    one, other = (sample_location_and_conditional_flow(None, x1, rng=stream) for _ in range(2))
    assert not torch.equal(one.x_t, other.x_t)


X = batch(6, 2)
FAULTS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((None, X.numpy()), {}, TypeError, "x1 must be a tensor, got ndarray"),
    ((None, X.long()), {}, TypeError, "x1 must have a real floating dtype, got int64"),
    ((None, X[:, 0]), {}, ValueError, r"x1 must have shape \(n, \.\.\.\).* got \(6,\)"),
    ((X[:5], X), {}, ValueError, r"x0 must have the shape of x1, got \(5, 2\) and \(6, 2\)"),
    ((X.numpy(), X), {}, TypeError, "x0 must be a tensor"),
    ((None, X * math.nan), {}, ValueError, "x1 must be finite"),
    ((None, X, X[:5]), {}, ValueError, "condition must be 6 integer labels, or"),
    ((None, X, X[:, 0]), {}, ValueError, r"condition must be .* got float32 of shape \(6,\)"),
    ((None, X, [0] * 6), {}, TypeError, "condition must be a tensor, got list"),
    ((None, X), {"coupling": "OT"}, ValueError, "coupling must be one of none, ot"),
    ((None, X), {"coupling": "conditional-ot"}, ValueError, "needs a condition"),
    ((None, X), {"sigma": -1}, ValueError, "sigma must not be negative"),
    ((None, X), {"beta": "1"}, TypeError, "beta must be a number"),
]


@pytest.mark.parametrize(("arguments", "how", "error", "message"), FAULTS)
def test_faults_are_named(
    arguments: tuple[Any, ...], how: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sample_location_and_conditional_flow(*arguments, **how)


# -- Hutchinson's estimator ----------------------------------------------------------------------


class Linear(nn.Module):
    """dx/dt = A x, whose flow is exp(t A) and whose divergence is the trace of A."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return (x.flatten(1) @ self.matrix.T).reshape(x.shape)


def logs(matrix: Tensor, x: Tensor, probes: Tensor | None = None) -> Tensor:
    return log_density(Velocity(Linear(matrix), False), x, None, OdeSolver("rk4", 20), probes)


def signs(n: int, count: int, d: int, seed: int) -> Tensor:
    drawn = np.random.default_rng(seed).integers(2, size=(n, count, d), dtype=np.int8)
    return torch.from_numpy(2 * drawn - 1)


@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_a_linear_flow_has_the_density_of_a_normal_distribution(shape: tuple[int, ...]) -> None:
    matrix, x = 0.3 * batch(4, 4), batch(7, *shape, seed=1)
    root = torch.matrix_exp(matrix)
    normal = torch.distributions.MultivariateNormal(torch.zeros(4), root @ root.T)
    expected = normal.log_prob(x.flatten(1))
    torch.testing.assert_close(logs(matrix, x), expected, rtol=1e-4, atol=1e-4)


def test_one_probe_is_exact_for_coordinates_that_do_not_mix() -> None:
    matrix, x = torch.diag(torch.tensor([0.5, -0.2, 0.1])), batch(5, 3)
    torch.testing.assert_close(logs(matrix, x, signs(5, 1, 3, 0)), logs(matrix, x))


@pytest.mark.parametrize("seed", SEEDS)
def test_probes_are_unbiased_with_the_error_of_the_theory(seed: int) -> None:
    matrix, n, count = 0.3 * batch(4, 4), 400, 4
    x = batch(1, 4, seed=1).expand(n, 4)
    errors = logs(matrix, x, signs(n, count, 4, seed)) - logs(matrix, x[:1])
    symmetric = matrix + matrix.T  # the variance of e'Ae is half the squares off the diagonal
    off = symmetric - symmetric.diag().diag()
    deviation = math.sqrt(float(off.square().sum()) / 2 / count)
    assert float(errors.mean().abs()) < 4 * deviation / math.sqrt(n)
    assert float(errors.std()) == pytest.approx(deviation, rel=0.2)


def test_likelihoods_of_images_by_probes() -> None:
    images = np.random.default_rng(0).random((40, 1, 4, 4)).astype(np.float32)
    model = FlowMatching(n_steps=20, n_rounds=1, architecture=MLP(width=16, depth=1))
    model.fit(images, progress=False)
    how: dict[str, Any] = {"solver": "euler", "n_steps": 4}
    exact = model.log_likelihood(images[:5], **how)
    found = model.log_likelihood(images[:5], n_probes=400, rng=0, **how)
    assert np.shape(exact) == (5,)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()
    again = model.log_likelihood(images[:5], n_probes=400, rng=0, **how)
    np.testing.assert_array_equal(found, again)
    with pytest.raises(ValueError, match="n_probes must be at least 1"):
        model.log_likelihood(images[:5], n_probes=0)
