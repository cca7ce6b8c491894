"""Ridge regression as a first guess: what it finds, what is beyond it, and files."""

from __future__ import annotations

import numpy as np
import pytest

from energyflow.inverse import CrossFittedRidge, Gaussian, Linear


def test_a_linear_map_is_found(rng: np.random.Generator) -> None:
    q = rng.normal(1, 2, size=(400, 6))
    p = (q @ rng.normal(size=(6, 8)) + 3).reshape(400, 2, 4)
    guess, beyond = CrossFittedRidge.fit(p, q)
    assert beyond.shape == p.shape
    np.testing.assert_allclose(beyond, 0, atol=1e-3)
    np.testing.assert_allclose(guess(q), p.reshape(400, 8), atol=1e-3)


def test_without_a_relation_the_guess_is_the_mean(rng: np.random.Generator) -> None:
    p, q = rng.normal(5, 1, size=(600, 2)), rng.normal(size=(600, 200))
    guess, _ = CrossFittedRidge.fit(p, q)
    new = guess(rng.normal(size=(300, 200)))
    assert np.abs(new - 5).mean() < 0.3


def test_what_is_beyond_is_as_large_as_for_new_pairs(rng: np.random.Generator) -> None:
    """With few pairs a regression fits those it has seen far better than others."""
    q, q_new = rng.normal(size=(150, 60)), rng.normal(size=(2000, 60))
    matrix = rng.normal(size=(60, 5)) / 8
    p, p_new = (v @ matrix + rng.normal(size=(len(v), 5)) for v in (q, q_new))
    guess, beyond = CrossFittedRidge.fit(p, q)
    seen = np.square(p - guess(q)).mean()
    unseen = np.square(p_new - guess(q_new)).mean()
    assert seen < 0.8 * unseen
    assert np.square(beyond).mean() == pytest.approx(unseen, rel=0.2)


@pytest.mark.parametrize("n", [30, 90])
def test_fewer_pairs_than_numbers_and_numbers_that_are_constant(
    n: int, rng: np.random.Generator
) -> None:
    """The formula, fold by fold, at the ridge that is chosen: with constants it is the same."""
    p, q = rng.normal(size=(n, 1, 5, 3)), rng.normal(size=(n, 1, 5, 10))
    p += q[..., :3]
    q[:, :, :, 7:] = 0.5
    guess, beyond = CrossFittedRidge.fit(p, q)
    flat, points = q.reshape(n, -1), p.reshape(n, -1)

    def left(ridge: float) -> np.ndarray:
        result = np.empty_like(points)
        for k in range(5):
            out = np.arange(n) % 5 == k
            mean, middle = flat[~out].mean(axis=0), points[~out].mean(axis=0)
            gram = (flat[~out] - mean).T @ (flat[~out] - mean)
            joint = (flat[~out] - mean).T @ (points[~out] - middle)
            matrix = np.linalg.solve(gram + ridge * np.trace(gram) / 50 * np.eye(50), joint)
            result[out] = points[out] - middle - (flat[out] - mean) @ matrix
        return result

    every = [left(10.0**k) for k in range(-5, 1)]
    best = min(every, key=lambda v: np.square(v).mean())
    np.testing.assert_allclose(beyond.reshape(n, -1), best, atol=1e-7)
    moved = q.copy()
    moved[:, :, :, 7:] = 9
    np.testing.assert_array_equal(guess(moved), guess(q))


def test_files(tmp_path, rng: np.random.Generator) -> None:
    guess, _ = CrossFittedRidge.fit(rng.normal(size=(9, 2)), rng.normal(size=(9, 3)))
    guess.save(tmp_path / "r.npz")
    again = CrossFittedRidge.load(tmp_path / "r.npz")
    np.testing.assert_array_equal(again.matrix, guess.matrix)
    np.testing.assert_array_equal(again.offset, guess.offset)
    np.savez(tmp_path / "r.npz", matrix=np.zeros((3, 2)), offset=np.zeros(3))
    with pytest.raises(ValueError, match=r"r\.npz: expected arrays matrix"):
        CrossFittedRidge.load(tmp_path / "r.npz")


@pytest.mark.parametrize("size", [1e-280, 1e-200, 1e280])
def test_no_size_of_conditions_matters(size: float, rng: np.random.Generator) -> None:
    q, noise = rng.normal(size=(2, 200, 3))
    for points in (q + 0.1 * noise, noise):
        plain, scaled = (CrossFittedRidge.fit(points, q * s) for s in (1.0, size))
        np.testing.assert_allclose(scaled[1], plain[1], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(scaled[0](q * size), plain[0](q), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_seen_well_is_not_shrunk_for_what_is_not(seed: int) -> None:
    """The second condition is nearly the first one: a large ridge would mix them."""
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(400, 2))
    q[:, 1] = q[:, 0] + 0.05 * q[:, 1]
    clear, hidden = q[:, :1] + 1e-4 * rng.normal(size=(400, 1)), 5 * rng.normal(size=(400, 1))
    _, left = CrossFittedRidge.fit(np.hstack([clear, hidden]), q)
    np.testing.assert_allclose(left[:, :1], CrossFittedRidge.fit(clear, q)[1], atol=1e-12)
    assert left[:, 0].std() < 2e-3


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="pairs, at least 2, got 1 and 1"):
        CrossFittedRidge.fit(np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="at most 4096 numbers, got 5000"):
        CrossFittedRidge.fit(np.zeros((2, 2)), np.zeros((2, 5000)))
    with pytest.raises(ValueError, match="conditions must be finite"):
        CrossFittedRidge.fit(np.zeros((2, 2)), np.full((2, 2), np.nan))


def test_a_posterior_flow_learns_what_is_beyond(tmp_path, rng: np.random.Generator) -> None:
    pytest.importorskip("torch", reason="torch is an extra")
    pytest.importorskip("safetensors", reason="safetensors is an extra")
    from energyflow.inverse import PosteriorFlow
    from energyflow.models import MLP

    fast = {
        "n_particles": 200, "n_projections": 8, "n_blocks": 2, "n_steps": 30,
        "architecture": MLP(width=16, depth=1), "device": "cpu",
    }  # fmt: skip
    flow = PosteriorFlow(Linear([1.0, 0.5]) + Gaussian(0.1), guess="regression", **fast)
    with pytest.raises(RuntimeError, match="this posterior is not trained"):
        flow.first_guess(np.zeros((1, 2)))
    points = rng.normal(size=(500, 2)).astype(np.float32)
    flow.fit(points, held_out=points[:50], out=tmp_path / "run", progress=False)
    seen = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
    step = np.diff(flow.first_guess(seen), axis=0)[0]
    np.testing.assert_allclose(step, [1 / 1.01, 0.5 / 0.26], rtol=0.1)
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    assert again.guess == "regression"
    np.testing.assert_array_equal(
        again.sample(seen[1], 5, 1).samples, flow.sample(seen[1], 5, 1).samples
    )
    (tmp_path / "run" / "regression.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"regression\.npz"):
        PosteriorFlow.load(tmp_path / "run", device="cpu")
