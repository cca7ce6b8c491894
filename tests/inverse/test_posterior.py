"""Summaries of samples, and a posterior that is learned."""

from __future__ import annotations

import numpy as np
import pytest

from energyflow.inverse import BlurDownsample, Gaussian, Linear, Posterior

FAST = {
    "n_particles": 400, "n_projections": 16, "n_blocks": 4, "block_cap": 16,
    "n_steps": 100, "batch_size": 100, "learning_rate": 3e-3, "device": "cpu",
}  # fmt: skip


def test_summaries_of_normal_samples(rng: np.random.Generator) -> None:
    samples = rng.normal(2, 3, size=(20_000, 3))
    posterior = Posterior(samples)
    np.testing.assert_allclose(posterior.mean, 2, atol=0.1)
    np.testing.assert_allclose(posterior.std, 3, atol=0.1)
    low, high = posterior.interval(0.9)
    np.testing.assert_allclose([low, high], [[2 - 4.935] * 3, [2 + 4.935] * 3], atol=0.2)
    with pytest.raises(ValueError, match="observation and problem must be given"):
        posterior.residuals()
    with pytest.raises(ValueError, match="level must lie strictly"):
        posterior.interval(1)


def test_residuals_of_the_posterior_of_a_linear_gaussian(rng: np.random.Generator) -> None:
    problem = Linear(np.ones(50)) + Gaussian(0.1)
    seen = problem.simulate(rng.normal(size=(1, 50)), rng)[0]
    spread = 1 / np.sqrt(1 + 100)
    samples = seen * 100 / 101 + spread * rng.normal(size=(500, 50))
    residuals = Posterior(samples, seen, problem).residuals()
    expected = np.sqrt(100 / 101 + np.mean(seen**2) / 101**2 * 100)
    assert np.sqrt(np.mean(residuals**2)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures(channels: int, tmp_path, rng: np.random.Generator) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is an extra")
    problem = BlurDownsample(1, 4, 2) + Gaussian(0.1)
    truth = rng.random((channels, 8, 8))
    seen = problem.simulate(truth[None], rng)[0]
    posterior = Posterior(truth + 0.1 * rng.normal(size=(9, *truth.shape)), seen, problem)
    path = posterior.save_picture(tmp_path / "p.png", truth)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="sample 1 must be an image"):
        Posterior(rng.random((4, 5))).save_picture(tmp_path / "q.png")
    assert not (tmp_path / "q.png").exists()


@pytest.mark.parametrize("some", [slice(1, 3), [3, 0], np.array([2]), np.arange(5) > 1])
def test_some_of_several_observations_stay_apart(some, rng: np.random.Generator) -> None:
    samples, seen = rng.normal(size=(5, 7, 2)), rng.normal(size=(5, 3))
    part = Posterior(samples, seen, batched=True)[some]
    assert part.batched
    np.testing.assert_array_equal(part.mean, samples.mean(1)[some])
    np.testing.assert_array_equal(part.observation, seen[some])


def test_what_is_no_index_of_observations() -> None:
    several = Posterior(np.zeros((5, 7, 2)), batched=True)
    assert len([one.mean for one in several]) == 5  # and iterating ends
    assert several[np.int64(-1)].mean.shape == (2,)
    for wrong in (5, slice(9, 12), [], (0, 1), np.zeros((2, 2), int)):
        with pytest.raises(IndexError):
            several[wrong]


def test_one_line_says_how_many_samples() -> None:
    assert str(Posterior(np.zeros((9, 3)))) == "Posterior(9 samples of shape (3,))"
    several = Posterior(np.zeros((5, 7, 2)), np.ones((5, 4)), batched=True)
    assert str(several) == "Posterior(7 samples of shape (2,), of 5 observations)"


def test_bad_samples() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        Posterior(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="samples must be finite"):
        Posterior(np.full((2, 3), np.nan))
    with pytest.raises(TypeError, match="floating"):
        Posterior(np.zeros((2, 3), complex))
    assert Posterior([[1, 2], [3, 4]]).mean.tolist() == [2.0, 3.0]


@pytest.fixture(scope="module")
def learned():
    """The posterior of X ~ N(0, 1) seen with noise 0.5, and of small images seen coarsely."""
    pytest.importorskip("torch", reason="torch is an extra")
    pytest.importorskip("safetensors", reason="safetensors is an extra")
    from energyflow.inverse import PosteriorFlow
    from energyflow.models import MLP

    rng = np.random.default_rng(5)
    small = {**FAST, "architecture": MLP(width=32, depth=1)}
    line = PosteriorFlow(Linear([1.0]) + Gaussian(0.5), **small)
    line.fit(rng.normal(size=(1000, 1)).astype(np.float32), rng=0, progress=False)
    plane = rng.random((200, 1, 1, 2)) * np.linspace(0, 1, 8)[:, None]
    images = np.repeat(plane, 4, axis=3).astype(np.float32)  # (200, 1, 8, 8)
    coarse = PosteriorFlow(BlurDownsample(1, 4, 2) + Gaussian(0.02), **small | {"n_blocks": 2})
    return line, coarse.fit(images, held_out=images[:50], progress=False), images


def test_a_posterior_is_learned(learned) -> None:
    line = learned[0]
    for seen in (-1.0, 0.5):
        samples = line.sample(np.array([seen]), 2000, rng=0).samples
        assert samples.mean() == pytest.approx(0.8 * seen, abs=0.25)
        assert samples.std() == pytest.approx(0.447, abs=0.15)


def test_samples_are_near_what_was_observed(learned) -> None:
    _, coarse, images = learned
    seen = coarse.problem.simulate(images[:1], 1)[0]
    posterior = coarse.sample(seen, 20, rng=0)
    assert posterior.samples.shape == (20, 1, 8, 8)
    assert np.abs(posterior.mean - images[0]).mean() < 0.15
    np.testing.assert_array_equal(coarse.sample(seen, 20, rng=0).samples, posterior.samples)


def test_folders_keep_model_and_problem(learned, tmp_path) -> None:
    from energyflow.inverse import PosteriorFlow

    line = learned[0]
    line.save(tmp_path / "run")
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    seen = np.array([0.3])
    np.testing.assert_array_equal(again.sample(seen, 9, 1).samples, line.sample(seen, 9, 1).samples)
    (tmp_path / "run" / "problem.json").unlink()
    with pytest.raises(ValueError, match=r"holds no problem\.json"):
        PosteriorFlow.load(tmp_path / "run")
    assert PosteriorFlow.load(tmp_path / "run", line.problem).problem is line.problem


def test_the_folder_of_another_run_is_left_alone(learned, tmp_path) -> None:
    from energyflow.inverse import PosteriorFlow

    line = learned[0]
    line.save(tmp_path / "run")
    kept = (tmp_path / "run" / "problem.json").read_bytes()
    other = PosteriorFlow(Linear([2.0]) + Gaussian(0.1), **FAST)
    with pytest.raises((ValueError, OSError), match="run"):
        other.fit(np.ones((9, 1), np.float32), out=tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "problem.json").read_bytes() == kept


def test_bad_input(learned) -> None:
    from energyflow.inverse import PosteriorFlow

    line, coarse, images = learned
    for seen in (np.zeros(2), np.zeros((0, 1)), np.zeros((5, 1, 1))):
        with pytest.raises(
            ValueError, match=r"observation must have shape \(1,\), or \(m, 1,\) for"
        ):
            line.sample(seen, 5)
    with pytest.raises(ValueError, match=r"must have shape \(1, 4, 4\), .* got \(1, 1, 4, 5\)"):
        coarse.sample(np.zeros((1, 1, 4, 5)), 5)
    with pytest.raises(TypeError, match=r"observation must be an array, .*got int"):
        line.sample(10, np.zeros(1))
    with pytest.raises(TypeError, match="n must be an integer, got float"):
        line.sample(np.zeros(1), 1.5)
    with pytest.raises(TypeError, match="problem must be a Problem, an Operator or a function"):
        PosteriorFlow(5)
    with pytest.raises(ValueError, match=r"observations must be given, .* there is no problem"):
        PosteriorFlow().fit(np.zeros((9, 2)))
    with pytest.raises(TypeError, match="model must be a Model, got int"):
        PosteriorFlow(line.problem, 5)
    with pytest.raises(ValueError, match="settings belong to the model"):
        PosteriorFlow(line.problem, line.model, n_blocks=3)
    with pytest.raises(ValueError, match="observations must be one for each of the 200"):
        coarse.fit(images, images[:5, :, :4, :4])
    with pytest.raises(ValueError, match=r"of shape \(3, 8, 8\), got those of shape \(1, 8, 8\)"):
        coarse.fit(np.repeat(images, 3, axis=1), images[:, :, :4, :4])
    with pytest.raises(ValueError, match=r"held_out must be of the training's shape \(1, 8, 8\)"):
        coarse.fit(images, held_out=np.zeros((9, 3, 8, 8)), progress=False)
    with pytest.raises(TypeError, match="images or parameters must be an array"):
        coarse.fit("images", images[:, :, :4, :4])
    with pytest.raises(TypeError, match="images or parameters must be real numbers, got text"):
        coarse.fit(images.astype(str).tolist(), images[:, :, :4, :4])


def test_images_that_are_seen_as_vectors(learned) -> None:
    """Whether observations are lifted is told by the images, not by the observations."""
    from energyflow.inverse import Operator, PosteriorFlow

    class Columns(Operator):
        name = "columns"

        def settings(self):
            return {}

        def forward(self, images):
            return images.mean(axis=(1, 2))

        def to_images(self, observations):
            return np.repeat(observations[:, None, None], 8, axis=2)

    images = learned[2]
    flow = PosteriorFlow(Columns() + Gaussian(0.1), **FAST | {"n_blocks": 1, "n_steps": 5})
    posterior = flow.fit(images, progress=False).sample(images[0, 0, 0], 3, rng=0)
    assert posterior.samples.shape == (3, 1, 8, 8)


def test_observations_far_from_zero_keep_their_digits(rng) -> None:
    """Float32 knows only every eighth number there."""
    pytest.importorskip("torch", reason="torch is an extra")
    from energyflow.inverse import PosteriorFlow

    points = 1e8 + rng.normal(size=(400, 1))
    flow = PosteriorFlow(Linear([1.0]) + Gaussian(0.1), **FAST | {"n_blocks": 1})
    flow.fit(points, progress=False)
    means = [flow.sample(np.array([1e8 + step]), 200, rng=0).mean[0] for step in (-2, 0, 2)]
    assert np.diff(means).min() > 0.2
    assert flow.sample(np.array([1e8]), 5, rng=0).samples.dtype == np.float64


def test_a_fit_that_fails_leaves_the_posterior_as_it_was(rng) -> None:
    small = {"n_blocks": 1, "n_particles": 50, "n_steps": 3}
    pytest.importorskip("torch", reason="torch is an extra")
    from energyflow.inverse import PosteriorFlow

    problem = Linear([[1.0, 1.0]]) + Gaussian(0.5)
    flow = PosteriorFlow(problem, guess="regression", components=1.0, **small)
    with pytest.raises(RuntimeError, match="not trained"):
        flow.first_guess(np.zeros((1, 1), np.float32))
    x = rng.normal(size=(60, 2)).astype(np.float32)
    flow.fit(x, progress=False)
    before = flow.sample(np.ones(1), 5, rng=0).samples
    with pytest.raises(ValueError, match="budget must be"):
        flow.fit(100 * x, progress=False, budget="never")
    np.testing.assert_array_equal(flow.sample(np.ones(1), 5, rng=0).samples, before)


def test_the_model_that_is_taken_by_itself(tmp_path, rng) -> None:
    pytest.importorskip("torch", reason="torch is an extra")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")
    from energyflow.inverse import PosteriorFlow
    from energyflow.models import FlowGenerator, FlowMatching

    problem = Linear([[1.0, 1.0]]) + Gaussian(0.5)
    assert isinstance(PosteriorFlow(problem).model, FlowMatching)
    assert isinstance(PosteriorFlow(problem, seed=3, preset="toy").model, FlowMatching)
    assert isinstance(PosteriorFlow(problem, n_particles=9, seed=3).model, FlowGenerator)
    assert isinstance(PosteriorFlow(problem, preset="digits").model, FlowGenerator)
    with pytest.raises(TypeError, match="n_partcles"):
        PosteriorFlow(problem, n_partcles=9)
    flow = PosteriorFlow(problem, n_steps=4, n_rounds=1, sampling_steps=2)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    flow.fit(x, progress=False, out=tmp_path / "run", n_validation=20)
    seen = np.array([[2.25]])  # whose posterior mean is 1, 1
    np.testing.assert_allclose(flow.first_guess(seen), 1, atol=0.5)
    again = PosteriorFlow.load(tmp_path / "run")
    np.testing.assert_array_equal(again.first_guess(seen), flow.first_guess(seen))
    samples = [f.sample(seen[0], 5, rng=0).samples for f in (flow, again)]
    np.testing.assert_array_equal(*samples)
    taken = PosteriorFlow(problem, again.model)  # trained already, on points as they are
    assert taken.sample(seen[0], 5, rng=0).samples.shape == (5, 2)
