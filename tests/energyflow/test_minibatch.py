"""Flows that see a random part of their target at each step."""

from __future__ import annotations

import tracemalloc
from itertools import combinations, product

import numpy as np
import pytest

import energyflow as ef
from energyflow._core.random import as_source
from energyflow._flows.minibatch import Minibatch
from energyflow._slices.directions import sampled_projector


def quiet(flow, *start, **how) -> ef.FlowResult:
    return flow.run(*start, progress=False, **how)


def self_term(y: np.ndarray, b: np.ndarray, exponent: float) -> float:
    far = np.linalg.norm(y[:, None] - y[None], axis=2)
    return float(b @ far**exponent @ b)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_bias_of_the_distance(exponent: float, rng: np.random.Generator) -> None:
    """Means over all batches that there are, each as likely as it is drawn."""
    x, y, m = rng.normal(size=(4, 2)), rng.normal(size=(5, 2)), 3
    b = rng.dirichlet(np.ones(5))
    uniform = np.full(5, 1 / 5)
    how = {"exponent": exponent}

    values = [ef.energy_distance(x, y[list(some)], **how) for some in combinations(range(5), m)]
    bias = self_term(y, uniform, exponent) * (5 - m) / (m * (5 - 1))
    expected = ef.energy_distance(x, y, **how) + bias
    assert np.mean(values) == pytest.approx(expected, rel=1e-12)

    drawn = [list(some) for some in product(range(5), repeat=m)]
    values = [ef.energy_distance(x, y[some], **how) for some in drawn]
    likely = [np.prod(b[some]) for some in drawn]
    expected = ef.energy_distance(x, y, None, b, **how) + self_term(y, b, exponent) / m
    assert np.dot(likely, values) == pytest.approx(expected, rel=1e-12)
    gradients = [ef.energy_gradient(x, y[some], **how) for some in drawn]
    np.testing.assert_allclose(
        np.tensordot(likely, gradients, 1), ef.energy_gradient(x, y, None, b, **how), atol=1e-12
    )


def test_every_point_is_seen_equally_often() -> None:
    batch, source = Minibatch(3, 10, None), as_source(0)
    seen = np.array([batch.places(source, step) for step in range(4000)])
    assert (np.diff(seen, axis=1) > 0).all()  # distinct, in order
    assert abs(np.bincount(seen.ravel(), minlength=10) / 4000 - 0.3).max() < 0.03
    pairs = np.zeros((10, 10))
    for some in seen:
        pairs[np.ix_(some, some)] += 1 / 4000
    off = pairs[~np.eye(10, dtype=bool)]
    assert abs(off - 3 * 2 / (10 * 9)).max() < 0.02


def test_points_are_seen_in_proportion_to_their_weights() -> None:
    weights = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    batch, source = Minibatch(5, 6, weights), as_source(0)
    seen = np.array([batch.places(source, step) for step in range(4000)])
    assert (np.diff(seen, axis=1) >= 0).all()
    shares = np.bincount(seen.ravel(), minlength=6) / seen.size
    assert not shares[weights == 0].any()
    assert abs(shares - weights).max() < 0.01


@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_one_to_the_batch(xp, weighted: bool, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(40, 3)) + 1
    b = rng.dirichlet(np.ones(40)) if weighted else None
    flow = ef.ParticleFlow(
        xp.asarray(y),
        target_weights=None if b is None else xp.asarray(b),
        step_size=0.5, momentum=0.5, batch_size=10, rng=7,
    )  # fmt: skip
    result = quiet(flow, xp.asarray(x), 3, record_every=1)
    position, velocity = x, 0.0
    for step in range(3):
        some = y[Minibatch(10, 40, b).places(as_source(7), step)]
        directions = sampled_projector(128, 3, "auto", as_source(7), step).directions()
        value, gradient = ef.sliced_energy_value_and_gradient(
            position, some, projections=directions
        )
        assert result.history_distance[step] == pytest.approx(float(value), rel=1e-9)
        velocity = 30 / 2 * gradient + 0.5 * velocity
        position = position - 0.5 * velocity
    np.testing.assert_allclose(xp.to_numpy(result.particles), position, atol=1e-9)


def test_a_batch_of_all_is_the_target(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(40, 2))
    every = quiet(ef.ParticleFlow(y, batch_size=40, rng=0), x, 10)
    np.testing.assert_array_equal(
        quiet(ef.ParticleFlow(y, rng=0), x, 10).particles, every.particles
    )


@pytest.mark.parametrize("conditional", [False, True])
def test_going_on_equals_an_uninterrupted_run(tmp_path, conditional, rng) -> None:
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2))
    how = {"batch_size": 7, "momentum": 0.5, "rng": 3}

    def run(start, steps: int, **other) -> ef.FlowResult:
        if conditional:
            flow = ef.ConditionalFlow(y, y[:, :1] ** 2, **(how | other))
            return quiet(flow, start, x[:, 1:], steps)
        return quiet(ef.ParticleFlow(y, **(how | other)), start, steps)

    whole = run(x, 20)
    run(x, 8).save(tmp_path / "half.npz")
    half = ef.FlowResult.load(tmp_path / "half.npz")
    np.testing.assert_array_equal(run(half, 12).particles, whole.particles)
    for other in (6, None):
        with pytest.raises(ValueError, match=f"batch_size = {other}"):
            run(half, 12, batch_size=other)


def test_pairs_stay_together(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    p, q = rng.normal(size=(30, 2)) + 1, rng.normal(size=(30, 1))
    how = {"n_projections": 50, "step_size": 0.1, "momentum": 0, "rng": 7}
    result = quiet(ef.ConditionalFlow(p, q, condition_weight=2.5, batch_size=9, **how), x, y, 1)
    some = Minibatch(9, 30, None).places(as_source(7), 0)
    alone = ef.ConditionalFlow(p[some], q[some], condition_weight=2.5, **how)
    np.testing.assert_allclose(result.particles, quiet(alone, x, y, 1).particles, atol=1e-12)


def test_particles_arrive_as_near_as_with_the_whole_target(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(200, 2)), rng.uniform(size=(2000, 2))
    how = {"step_size": lambda step: 0.5 / (1 + step / 20), "n_projections": 32, "rng": 0}
    ends = [
        float(
            ef.energy_distance(quiet(ef.ParticleFlow(y, batch_size=m, **how), x, 300).particles, y)
        )
        for m in (None, 200)
    ]
    floor = self_term(y[:200], np.full(200, 1 / 200), 1.0) / 200  # of independent points
    assert ends[1] < ends[0] + 0.1 * floor


def test_a_memory_map_is_not_copied(tmp_path, rng) -> None:
    np.save(tmp_path / "target.npy", rng.normal(size=(2**22, 2)).astype(np.float32))
    target = np.load(tmp_path / "target.npy", mmap_mode="r")
    x = rng.normal(size=(100, 2)).astype(np.float32)
    quiet(ef.ParticleFlow(target[:200], batch_size=100, n_projections=4, rng=0), x, 2)
    tracemalloc.start()
    quiet(ef.ParticleFlow(target, batch_size=1000, n_projections=4, rng=0), x, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * target.nbytes


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (0, ValueError, "batch_size must be at least 1, got 0"),
        (41, ValueError, "batch_size must be at most the 40 points of the target, got 41"),
        (2.0, TypeError, "batch_size must be an integer, got float"),
    ],
)
def test_bad_sizes(size, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ef.ParticleFlow(np.ones((40, 2)), batch_size=size)
    with pytest.raises(error, match=message):
        ef.ConditionalFlow(np.ones((40, 2)), np.ones((40, 1)), batch_size=size)
