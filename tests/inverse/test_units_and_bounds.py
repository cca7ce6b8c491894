"""Posteriors of parameters in any units and between bounds, trained for seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from energyflow.inverse import Gaussian, Linear

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")
pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

from energyflow.inverse import PosteriorFlow
from energyflow.models import MLP

FAST: dict[str, Any] = {
    "n_steps": 60, "n_rounds": 2, "sampling_steps": 4, "batch_size": 64, "device": "cpu",
    "architecture": MLP(width=16, depth=1),
}  # fmt: skip
PRIOR = stats.uniform([-1.0, 0.0], [2.0, 1.0])
NEAR = np.array([-0.97, 0.98], np.float32)  # an observation near two bounds
PROBLEM = Linear([1.0, 1.0]) + Gaussian(0.1)


def _drawn(seed: int, n: int) -> np.ndarray:
    return PRIOR.rvs(size=(n, 2), random_state=np.random.default_rng(seed)).astype(np.float32)


@pytest.fixture(scope="module")
def bounded() -> PosteriorFlow:
    flow = PosteriorFlow(PROBLEM, bounds=PRIOR, **FAST)
    return flow.fit(_drawn(0, 500), held_out=_drawn(1, 50), progress=False)


def test_no_sample_of_a_million_is_outside(bounded: PosteriorFlow) -> None:
    samples = bounded.sample(NEAR, 1_000_000, rng=0).samples
    assert samples.dtype == np.float32
    assert (samples >= [-1, 0]).all()
    assert (samples <= 1).all()
    assert samples[:, 0].min() < -0.95
    guess = bounded.first_guess(np.array([[-5, 5], [0, 0.5]], np.float32))
    np.testing.assert_allclose(guess, [[-1, 1], [0, 0.5]], atol=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_as_much_is_near_a_bound_as_should_be(seed: int) -> None:
    """The share of a posterior within 2% of each bound; the exact one is a truncated normal."""
    std, seen = 0.1, np.array([0.01, 0.99], np.float32)
    theta = np.random.default_rng(seed).random((50_000, 2), np.float32)
    flow = PosteriorFlow(
        Linear([1.0, 1.0]) + Gaussian(std), bounds=(0, 1), seed=seed, n_steps=2000, n_rounds=2,
        learning_rate_decay="cosine", device="cpu",
    )  # fmt: skip
    samples = flow.fit(theta, rng=seed, progress=False).sample(seen, 100_000, rng=seed).samples
    exact = stats.truncnorm(-seen / std, (1 - seen) / std, loc=seen, scale=std)
    assert (samples[:, 0] < 0.02).mean() == pytest.approx(exact.cdf(0.02)[0], rel=0.2)
    assert (samples[:, 1] > 0.98).mean() == pytest.approx(exact.sf(0.98)[1], rel=0.2)


def test_files_keep_the_bounds(bounded: PosteriorFlow, tmp_path: Path) -> None:
    bounded.save(tmp_path / "run")
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    np.testing.assert_array_equal(
        again.sample(NEAR, 50, 1).samples, bounded.sample(NEAR, 50, 1).samples
    )
    again.fit(_drawn(3, 100), progress=False)
    assert again.sample(NEAR, 500, 1).samples.max() <= 1
    one = {"low": [0.0], "high": [1.0], "mean": [0.0], "scale": [1.0]}
    np.savez(tmp_path / "run" / "parameters.npz", **one)
    with pytest.raises(ValueError, match=r"parameters\.npz: expected 2 numbers, got 1"):
        PosteriorFlow.load(tmp_path / "run", device="cpu")
    (tmp_path / "run" / "parameters.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"parameters\.npz"):
        PosteriorFlow.load(tmp_path / "run", device="cpu")
    (tmp_path / "run" / "guess.json").write_text('{"guess": "lift", "components": null}')
    before = PosteriorFlow.load(tmp_path / "run", device="cpu")  # of a version without bounds
    assert np.abs(before.sample(NEAR, 500, 1).samples).max() > 1


def test_a_run_that_is_resumed_is_the_same(tmp_path: Path) -> None:
    theta, run = _drawn(0, 200), tmp_path / "run"

    def fit(bounds: Any = PRIOR, **how: Any) -> PosteriorFlow:
        return PosteriorFlow(PROBLEM, bounds=bounds, **FAST).fit(theta, progress=False, **how)

    fit(out=run, stop_after="40 steps")
    resumed, whole = fit(out=run, resume=True), fit()
    np.testing.assert_array_equal(
        resumed.sample(NEAR, 20, 1).samples, whole.sample(NEAR, 20, 1).samples
    )
    with pytest.raises((ValueError, OSError), match="other data"):
        fit(bounds=(-2, 2), out=run, resume=True)


def test_units_do_not_matter() -> None:
    units = np.array([1e-6, 1e6])
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(500, 2))
    seen = theta + 0.3 * rng.normal(size=(500, 2))
    problem, found = Linear([1.0, 1.0]) + Gaussian(0.3), []
    for u, v in ((1.0, 1.0), (units, units[::-1])):
        flow = PosteriorFlow(problem, **FAST).fit(theta * u, seen * v, progress=False)
        found.append(flow.sample(np.array([1.0, -1.0]) * v, 500, rng=0).samples / u)
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)
    np.testing.assert_allclose(found[0].mean(axis=0), [0.92, -0.92], atol=0.15)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match=r"bounds must be \(low, high\)"):
        PosteriorFlow(PROBLEM, bounds=3)
    flow = PosteriorFlow(PROBLEM, bounds=(0, 1), **FAST)
    with pytest.raises(ValueError, match=r"within the bounds, got [0-9]+ of 100 outside"):
        flow.fit(_drawn(0, 100), progress=False)
    with pytest.raises(ValueError, match="images or parameters must be finite"):
        flow.fit(np.full((9, 2), np.nan), np.zeros((9, 2)), progress=False)


def test_parameters_are_learned_as_well_where_observations_say_much() -> None:
    """Of one the posterior is half as wide as the prior, of the other a hundredth."""
    rng, std = np.random.default_rng(0), np.array([1.0, 0.01])
    theta = rng.normal(size=(2000, 2))
    seen = theta + std * rng.normal(size=theta.shape)
    flow = PosteriorFlow(**FAST | {"n_steps": 300}).fit(theta, seen, progress=False)
    found = flow.sample(seen[:50], 200, rng=0).std.mean(axis=0)
    np.testing.assert_allclose(found, std / np.sqrt(1 + std**2), rtol=0.1)
