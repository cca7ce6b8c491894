"""Posteriors of pairs and of functions: batches, densities, embeddings, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from energyflow.inverse import Function, Gaussian, Linear

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")
pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

from energyflow.inverse import PosteriorFlow  # noqa: E402
from energyflow.models import MLP, FlowMatching  # noqa: E402

FAST: dict[str, Any] = {
    "n_steps": 60, "n_rounds": 2, "sampling_steps": 4, "batch_size": 64, "device": "cpu",
    "architecture": MLP(width=16, depth=1),
}  # fmt: skip
STD = 0.5


def _pairs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, 2)).astype(np.float32)
    return theta, (theta + STD * rng.normal(size=(n, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def pairs() -> PosteriorFlow:
    return PosteriorFlow(**FAST | {"n_steps": 300}).fit(*_pairs(2000), progress=False)


def test_pairs_need_no_problem(pairs: PosteriorFlow, tmp_path: Path) -> None:
    posterior = pairs.sample(np.array([1.0, -1.0]), 2000, rng=0)
    np.testing.assert_allclose(posterior.mean, [0.8, -0.8], atol=0.15)
    np.testing.assert_allclose(posterior.std, 0.2**0.5, atol=0.1)
    with pytest.raises(ValueError, match="observation and problem must be given"):
        posterior.residuals()
    pairs.save(tmp_path / "run")
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    assert again.problem is None
    np.testing.assert_array_equal(
        again.sample(np.ones(2), 9, 1).samples, pairs.sample(np.ones(2), 9, 1).samples
    )
    problem = Linear([1.0, 1.0]) + Gaussian(STD)
    assert PosteriorFlow.load(tmp_path / "run", problem, device="cpu").problem is problem
    assert str(pairs) == "PosteriorFlow(pairs, FlowMatching: (2,) given (2,))"
    assert str(PosteriorFlow(problem, bounds=(0, 1))) == (
        "PosteriorFlow(linear + gaussian, FlowMatching, bounded: not trained)"
    )


def test_a_function_is_enough(tmp_path: Path) -> None:
    def simulator(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return theta + STD * rng.normal(size=theta.shape)

    theta = _pairs(200)[0]
    for problem in (simulator, Function(np.sin) + Gaussian(0.1), Linear([1.0, 1.0])):
        flow = PosteriorFlow(problem, **FAST).fit(theta, progress=False)
        assert flow.sample(np.ones(2), 5, rng=0).samples.shape == (5, 2)
    flow = PosteriorFlow(simulator, **FAST)
    flow.fit(theta, out=tmp_path / "run", progress=False)
    for problem in (None, simulator):
        again = PosteriorFlow.load(tmp_path / "run", problem, device="cpu")
        np.testing.assert_array_equal(
            again.sample(np.ones(2), 5, 1).samples, flow.sample(np.ones(2), 5, 1).samples
        )


def test_observations_in_batches(pairs: PosteriorFlow, monkeypatch: Any) -> None:
    seen = _pairs(6, seed=1)[1]
    several = pairs.sample(seen, 400, rng=0)
    assert several.samples.shape == (6, 400, 2)
    assert several.mean.shape == several.std.shape == several.interval()[0].shape == (6, 2)
    assert several[3].observation is not None
    np.testing.assert_array_equal(several[3].observation, seen[3])
    np.testing.assert_allclose(several.mean, 0.8 * seen, atol=0.3)
    one = pairs.sample(seen[:1], 400, rng=0)
    assert one.samples.shape == (1, 400, 2)
    np.testing.assert_array_equal(one[0].samples, pairs.sample(seen[0], 400, rng=0).samples)
    guesses = pairs.first_guess(seen)
    assert guesses.shape == (6, 2)
    np.testing.assert_allclose(pairs.first_guess(seen[2]), guesses[2], rtol=1e-5)
    monkeypatch.setattr("energyflow.inverse._posterior_flow._MOST_CONDITIONS", 1600)
    parts = pairs.sample(seen, 400, rng=0)  # two observations at a time
    np.testing.assert_allclose(parts.mean, several.mean, atol=0.15)


def test_images_in_batches(rng: np.random.Generator) -> None:
    from energyflow.inverse import BlurDownsample

    problem = BlurDownsample(1, 4, 2) + Gaussian(0.1)
    images = rng.random((60, 1, 8, 8), np.float32)
    flow = PosteriorFlow(problem, **FAST | {"n_steps": 4}).fit(images, progress=False)
    seen = problem.simulate(images[:3], 1)
    posterior = flow.sample(seen, 5, rng=0)
    assert posterior.samples.shape == (3, 5, 1, 8, 8)
    assert posterior.residuals().shape == (3, 5)
    with pytest.raises(ValueError, match=r"posterior\[k\]\.save_picture"):
        posterior.save_picture("p.png")


def test_images_of_pairs(rng: np.random.Generator) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is an extra")
    images = rng.random((60, 1, 4, 4), np.float32)
    fast = FAST | {"n_steps": 4}
    for how in ({}, {"components": 0.9}, {"guess": "regression"}):
        flow = PosteriorFlow(**how, **fast).fit(images, images.mean((1, 2)), progress=False)
        assert flow.sample(images[0].mean((0, 1)), 5, rng=0).samples.shape == (5, 1, 4, 4)
        assert flow.first_guess(images.mean((1, 2))).shape == images.shape


def test_density_of_a_normal_posterior(pairs: PosteriorFlow) -> None:
    theta, seen = _pairs(300, seed=2)
    exact = stats.norm(0.8 * seen, 0.2**0.5).logpdf(theta).sum(axis=1)
    found = pairs.log_prob(theta, seen)  # one observation for each
    assert found.shape == (300,)
    assert np.abs(found - exact).mean() < 0.3
    assert (exact - found).mean() == pytest.approx(0, abs=0.1)
    np.testing.assert_allclose(
        pairs.log_prob(theta[:5], seen[7])[2:3], pairs.log_prob(theta[2:3], seen[7]), rtol=1e-4
    )
    each = pairs.log_prob(theta[:6].reshape(2, 3, 2), seen[:2])
    assert each.shape == (2, 3)
    np.testing.assert_allclose(each[1], pairs.log_prob(theta[3:6], seen[1]), rtol=1e-4)


@pytest.mark.parametrize("how", [{}, {"guess": "lift"}])
def test_densities_between_bounds_integrate_to_one(how: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    theta = np.stack([rng.uniform(-1, 2, 1000), np.exp(rng.normal(size=1000))], axis=1)
    seen = theta + 0.5 * rng.normal(size=theta.shape)
    flow = PosteriorFlow(bounds=([-1, 0], [2, np.inf]), **how, **FAST)
    flow.fit(theta, seen, progress=False)
    grid = np.stack(
        np.meshgrid(np.linspace(-1, 2, 151)[:-1] + 0.01, np.geomspace(1e-3, 200, 200)), axis=-1
    )
    logs = flow.log_prob(grid.reshape(-1, 2), np.array([-0.8, 1.0]), n_steps=10).reshape(200, 150)
    inner = np.exp(logs).sum(axis=1) * 0.02
    assert np.trapezoid(inner, grid[:, 0, 1]) == pytest.approx(1, abs=0.02)
    outside = flow.log_prob(np.array([[-1.1, 1.0], [0.0, -0.1], [0.0, 1.0]]), np.zeros(2))
    np.testing.assert_array_equal(np.isneginf(outside), [True, True, False])


class _Sums(torch.nn.Module):
    """Features of a set that do not see its order."""

    def __init__(self) -> None:
        super().__init__()
        self.each = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.SiLU())
        self.last = torch.nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.last(self.each(x).mean(1))


def test_an_embedding_of_sets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(1000, 1)).astype(np.float32)
    seen = (1e4 + 100 * (theta[:, None] + rng.normal(size=(1000, 9, 1)))).astype(np.float32)
    flow = PosteriorFlow(embedding=_Sums(), **FAST | {"n_steps": 400})
    flow.fit(theta, seen, out=tmp_path / "run", progress=False)
    one = np.full((9, 1), 1e4 + 100, np.float32)
    posterior = flow.sample(one, 1000, rng=0)
    assert posterior.mean[0] == pytest.approx(0.9, abs=0.2)
    assert posterior.std[0] == pytest.approx(0.1**0.5, abs=0.15)
    batch = flow.sample(np.stack([seen[0], seen[0][::-1]]), 20, rng=0).samples
    assert batch.shape == (2, 20, 1)
    logs = flow.log_prob(theta[:3], np.stack([seen[0], seen[0][::-1], seen[1]])[:3])
    assert logs.shape == (3,)
    order = flow.log_prob(np.zeros((2, 1)), np.stack([seen[0], seen[0][::-1]]))
    assert order[0] == pytest.approx(order[1], abs=1e-4)
    again = PosteriorFlow.load(tmp_path / "run", embedding=_Sums(), device="cpu")
    np.testing.assert_array_equal(again.sample(one, 9, 1).samples, flow.sample(one, 9, 1).samples)
    with pytest.raises(ValueError, match="embedding of its own; pass it as embedding="):
        PosteriorFlow.load(tmp_path / "run", device="cpu")
    moved = flow.model.fitted.networks.velocity.network.embedding.last.weight
    assert not torch.equal(moved, flow.model.embedding.last.weight)  # the user's own is a copy


def test_a_run_with_an_embedding_is_resumed(tmp_path: Path) -> None:
    theta, seen = _pairs(100)

    def fit(**how: Any) -> np.ndarray:
        embedding = torch.nn.Linear(2, 3)
        torch.nn.init.constant_(embedding.weight, 0.1)
        torch.nn.init.zeros_(embedding.bias)
        flow = PosteriorFlow(embedding=embedding, **FAST).fit(theta, seen, progress=False, **how)
        return flow.sample(seen[0], 9, rng=1).samples

    fit(out=tmp_path / "run", stop_after="40 steps")
    np.testing.assert_array_equal(fit(out=tmp_path / "run", resume=True), fit())
    with pytest.raises((ValueError, OSError), match="run"):
        PosteriorFlow(**FAST, guess="lift").fit(theta, seen, out=tmp_path / "run", resume=True)


def test_bad_embeddings() -> None:
    theta, seen = _pairs(30)
    with pytest.raises(TypeError, match="embedding must be a torch Module, got int"):
        PosteriorFlow(embedding=3)
    for module, message in (
        (torch.nn.Linear(7, 2), r"embedding must take conditions of shape \(n, 2\)"),
        (torch.nn.Flatten(0), r"must give features \(n, k\) .* got shape \(4,\) for 2"),
    ):
        with pytest.raises(ValueError, match=message):
            PosteriorFlow(embedding=module, **FAST).fit(theta, seen, progress=False)
    with pytest.raises(ValueError, match="embedding needs conditions that are vectors"):
        FlowMatching(embedding=torch.nn.Identity(), **FAST).fit(theta, progress=False)


def test_tensors_are_taken(pairs: PosteriorFlow) -> None:
    theta, seen = _pairs(100)
    flow = PosteriorFlow(**FAST).fit(
        torch.from_numpy(theta), torch.from_numpy(seen), progress=False
    )
    same = PosteriorFlow(**FAST).fit(theta, seen, progress=False)
    given = torch.from_numpy(seen[0]).requires_grad_()
    np.testing.assert_array_equal(
        flow.sample(given, 5, rng=0).samples, same.sample(seen[0], 5, rng=0).samples
    )


def test_bad_input(pairs: PosteriorFlow) -> None:
    theta, seen = _pairs(20)
    for given, kind, message in (
        ((theta[:, 0], seen), ValueError, r"images or parameters must have .*\[:, None\]$"),
        ((theta, seen[:, 0]), ValueError, r"observations\[:, None\] is of one number"),
        (
            (theta, seen[:3]),
            ValueError,
            "observations must be one for each of the 20 images or parameters, got 3",
        ),
        ((theta, None), ValueError, "observations must be given"),
        ((theta, seen * np.nan), ValueError, "observations must be finite"),
        (
            (theta, seen * np.full(2, 1e-300)),
            ValueError,
            "must be of sizes .*: divide column 0 by its size",
        ),
        ((theta, seen * [1, 1e300]), ValueError, "must be of sizes .*: divide column 1 by its"),
        ((theta, [1, 2]), ValueError, "observations must be one for each of the 20"),
        ((theta, "seen"), TypeError, "observations must be an array"),
        ((object(), seen), TypeError, "images or parameters must be an array"),
        ((theta, seen[:, None, None, None]), ValueError, r"observations must be vectors \(n, m\)"),
    ):
        with pytest.raises(kind, match=message):
            PosteriorFlow(**FAST).fit(*given, progress=False)
    with pytest.raises(ValueError, match="held_out_observations must have shape"):
        PosteriorFlow(**FAST).fit(
            theta, seen, held_out=theta, held_out_observations=seen[:, :1], progress=False
        )
    with pytest.raises(ValueError, match="held_out_observations need held_out"):
        PosteriorFlow(**FAST).fit(theta, seen, held_out_observations=seen, progress=False)
    for points, observation in (
        (theta[:, :1], seen[0]),
        (theta[:3], seen),
        (theta[0], seen[0]),
        (theta[None], seen[0]),
    ):
        with pytest.raises(ValueError, match=r"points must have shape \("):
            pairs.log_prob(points, observation)
    other = PosteriorFlow(n_blocks=1, n_particles=20, n_steps=2, device="cpu")
    with pytest.raises(RuntimeError, match="not trained"):
        other.log_prob(theta, seen[0])
    other.fit(theta, seen, progress=False)
    with pytest.raises(ValueError, match=r"needs a FlowMatching of vectors, .* got FlowGenerator"):
        other.log_prob(theta, seen[0])
