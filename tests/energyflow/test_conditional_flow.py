"""Conditional flows: conditions stay, posteriors come out, plain flows are the special case."""

from __future__ import annotations

import numpy as np
import pytest

import energyflow as ef


def quiet(flow: ef.ConditionalFlow, particles, condition, steps: int, **how) -> ef.FlowResult:
    return flow.run(particles, condition, steps, progress=False, **how)


def fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of x on y, and the standard deviation about the line."""
    slope, level = np.polyfit(y[:, 0], x[:, 0], 1)
    return slope, float(np.std(x[:, 0] - slope * y[:, 0] - level))


@pytest.mark.parametrize(
    ("noise", "scale", "n", "steps"),
    [
        (0.5, 1.0, 300, 400),
        (0.1, 1000.0, 300, 600),
        pytest.param(0.02, 1.0, 1000, 1500, marks=pytest.mark.slow),
    ],
)
def test_the_posterior_of_a_linear_gaussian(noise, scale, n, steps, rng) -> None:
    """The defaults reach slope and spread of the sample itself, in any unit."""
    x = scale * rng.normal(size=(n, 1))
    y = x + scale * noise * rng.normal(size=(n, 1))
    flow = ef.ConditionalFlow(x, y, rng=0)
    result = quiet(flow, scale * rng.normal(size=(n, 1)), y, steps, record_every=steps)
    assert fit(result.particles, y) == pytest.approx(fit(x, y), rel=0.03)


def test_a_step_is_the_moving_part_of_the_joint_gradient(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 3))
    p, q = rng.normal(size=(20, 2)) + 1, rng.normal(size=(20, 3))
    flow = ef.ConditionalFlow(
        p, q, condition_weight=2.5, n_projections=50, step_size=0.1, momentum=0, rng=7
    )
    joint = np.hstack([x, 2.5 * y]), np.hstack([p, 2.5 * q])
    gradient = ef.sliced_energy_gradient(*joint, n_projections=50, rng=7)
    expected = x - 0.1 * 30 / 2 * gradient[:, :2]
    result = quiet(flow, x, y, 1)
    np.testing.assert_allclose(result.particles, expected, atol=1e-12)
    distance = ef.sliced_energy_distance(*joint, n_projections=50, rng=7)
    assert result.history_distance[0] == pytest.approx(float(distance), rel=1e-12)


@pytest.mark.parametrize(("unit", "offset"), [(1e200, 0.0), (1e-200, 0.0), (1.0, 1e9)])
def test_the_automatic_weight_at_the_edge_of_numbers(unit, offset, rng) -> None:
    p, q = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    expected = ef.ConditionalFlow(p, q).condition_weight
    found = ef.ConditionalFlow(unit * p + offset, unit * q + offset).condition_weight
    assert found == pytest.approx(expected, rel=1e-5)
    mixed = ef.ConditionalFlow(unit * p + offset, q).condition_weight
    assert mixed == pytest.approx(unit * expected, rel=1e-5)


def test_every_library_takes_the_same_path(xp, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(30, 1))
    p, q = rng.normal(size=(20, 2)) + 1, rng.normal(size=(20, 1))
    expected = quiet(ef.ConditionalFlow(p, q, rng=0), x, y, 15)
    flow = ef.ConditionalFlow(xp.asarray(p), xp.asarray(q), rng=0)
    assert flow.condition_weight == pytest.approx(ef.ConditionalFlow(p, q).condition_weight)
    result = quiet(flow, xp.asarray(x), xp.asarray(y), 15)
    np.testing.assert_allclose(xp.to_numpy(result.particles), expected.particles, atol=1e-5)


def test_classes_are_kept_apart(rng: np.random.Generator) -> None:
    label = np.arange(100) % 2
    target = rng.normal(size=(100, 2)) * 0.2 + 3 * label[:, None]
    code = np.eye(2)[label]
    flow = ef.ConditionalFlow(target, code, condition_weight=10.0, n_projections=32, rng=0)
    particles = quiet(flow, rng.normal(size=(100, 2)), code, 200, record_every=200).particles
    assert np.all((particles.mean(axis=1) > 1.5) == (label == 1))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_automatic_weight_does_not_depend_on_units(scale, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(50, 2)), rng.normal(size=(50, 3))
    weight = ef.ConditionalFlow(x, y).condition_weight
    assert ef.ConditionalFlow(x, y * scale).condition_weight == pytest.approx(weight / scale)
    assert np.std(x) * np.sqrt(2) / (weight * np.std(y) * np.sqrt(3)) == pytest.approx(1, rel=0.1)


def test_a_constant_condition_has_weight_one(rng: np.random.Generator) -> None:
    assert ef.ConditionalFlow(rng.normal(size=(9, 2)), np.ones((9, 1))).condition_weight == 1.0


def test_going_on_equals_an_uninterrupted_run(tmp_path, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    p, q = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    flow = ef.ConditionalFlow(p, q, rng=3)
    whole = quiet(flow, x, y, 30)
    quiet(flow, x, y, 12).save(tmp_path / "flow.npz")
    again = quiet(ef.ConditionalFlow(p, q), ef.FlowResult.load(tmp_path / "flow.npz"), y, 18)
    np.testing.assert_array_equal(again.particles, whole.particles)
    other = ef.ConditionalFlow(p, q, condition_weight=3.0)
    with pytest.raises(ValueError, match=r"condition_weight = 3\.0 to resume"):
        quiet(other, whole, y, 1)


def test_bad_input(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 1))
    flow = ef.ConditionalFlow(x, y)
    with pytest.raises(ValueError, match="one row for each pair, got 10 and 9"):
        ef.ConditionalFlow(x, y[:9])
    with pytest.raises(ValueError, match=r"target_condition must have shape \(M, d\)"):
        ef.ConditionalFlow(x, y[:, 0:1, None])
    refused = (0.0, ValueError), (np.inf, ValueError), ("big", TypeError), (np.ones(2), TypeError)
    for weight, error in refused:
        with pytest.raises(error, match="condition_weight must be"):
            ef.ConditionalFlow(x, y, condition_weight=weight)
    with pytest.raises(ValueError, match="condition must have one row for each of the 10"):
        flow.run(x, y[:9], 1)
    with pytest.raises(ValueError, match="dimension of target_condition, 1, got 2"):
        flow.run(x, x, 1)
    with pytest.raises(ValueError, match="particles must have the dimension of the target, 2"):
        flow.run(y, y, 1)
    with pytest.raises(ValueError, match="condition must be finite"):
        flow.run(x, np.full((10, 1), np.nan), 1)
