"""Flows that choose their own settings: noise, steps, arrival, warnings, stopping and resuming."""

import json
from pathlib import Path

import numpy as np
import pytest

import energyflow as ef
from energyflow._flows.automatic.arrival import complaint, is_converged
from energyflow._flows.automatic.curvature import few_directions, of_kernel, of_slices
from energyflow._flows.automatic.directions import choose_directions
from energyflow._flows.automatic.noise import measured_noise, slice_noise
from energyflow._flows.automatic.plan import Pace, choose_pace, fastest_step, saved_pace
from energyflow._flows.automatic.sample import effective_size, sample


def quiet(flow: ef.ParticleFlow, particles, steps: int, **how) -> ef.FlowResult:
    return flow.run(particles, steps, progress=False, **how)


# -- the noise of slices -------------------------------------------------------------------------


@pytest.mark.parametrize("slicing", ["iid", "orthogonal", "hadamard"])
@pytest.mark.parametrize(("n", "d"), [(16, 64), (40, 64), (100, 64), (200, 20), (64, 64)])
def test_the_noise_in_closed_form_is_the_measured_one(slicing: str, n: int, d: int) -> None:
    expected = slice_noise(n, d, slicing)
    assert measured_noise(n, d, slicing) == pytest.approx(expected, rel=0.15, abs=0.02)


@pytest.mark.parametrize("slicing", ["iid", "orthogonal"])
def test_the_noise_of_some_coordinates(slicing: str) -> None:
    expected = slice_noise(8, 24, slicing, moving=3)
    pulls = []
    u = np.eye(24)[0]
    for seed in range(4000):
        theta = ef.sample_projections(8, 24, method=slicing, rng=seed)
        pulls.append((24 / 8 * theta.T @ (theta @ u))[:3])
    noise = np.mean(np.sum(np.square(pulls), axis=1)) - 1
    assert noise == pytest.approx(expected, rel=0.1)


def test_whole_frames_have_no_noise() -> None:
    assert slice_noise(30, 10, "orthogonal") == 0
    assert slice_noise(1024, 784, "hadamard") == 0
    assert slice_noise(128, 1, "auto") == 0
    assert slice_noise(128, 2, "auto") == pytest.approx(0, abs=1e-12)


def test_frames_are_chosen_in_many_dimensions() -> None:
    assert choose_directions("auto", 2, "auto", 1.0).n == 128
    large = choose_directions("auto", 784, "auto", 1.0)
    assert (large.n, large.slicing.name) == (1024, "hadamard")
    assert choose_directions("auto", 784, "auto", 2.0).n == 2048
    given = choose_directions(100, 784, "iid", 1.0)
    assert (given.n, given.slicing.name, given.open) == (100, "iid", frozenset())
    with pytest.raises(ValueError, match='n_projections must be a positive integer or "auto"'):
        choose_directions("many", 784, "iid", 1.0)


# -- the step size -------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0])
def test_twice_the_fastest_step_is_the_edge_of_stability(momentum: float, noise: float) -> None:
    """The variance of y' = (1 + m - h a) y - m y_prev, with independent a of mean 1, variance V."""

    def growth(h: float) -> float:
        m, mean, square = momentum, 1 + momentum - h, (1 + momentum - h) ** 2 + h * h * noise
        moments = np.array([[square, -2 * m * mean, m * m], [mean, -m, 0], [1, 0, 0]])
        return float(np.max(np.abs(np.linalg.eigvals(moments))))  # of E y^2, E y y_prev, E y_prev^2

    edge = 2 * fastest_step(momentum, noise)
    assert growth(0.99 * edge) < 1 < growth(1.01 * edge)


def test_simulated_variances_fall_below_the_edge_and_grow_above(rng: np.random.Generator) -> None:
    momentum, noise = 0.7, 2.0
    for factor, falls in ((0.6, True), (1.5, False)):
        h = factor * 2 * fastest_step(momentum, noise)
        before = now = np.ones(20000)
        for _ in range(60):
            a = 1 + np.sqrt(noise) * rng.choice([-1.0, 1.0], size=now.shape)
            before, now = now, (1 + momentum - h * a) * now - momentum * before
        assert (np.mean(now**2) < 1) == falls


def test_the_step_size_is_a_function_of_the_step_alone() -> None:
    pace = Pace(2.0, 0.1, rest=1000.0, first=30.0)
    sizes = [pace.step_size(k, 0.7) for k in range(0, 20000, 100)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] / sizes[2] == pytest.approx(np.e)
    assert sizes[0] / pace.step_size(round(pace.decay_steps), 0.7) == pytest.approx(30, rel=0.01)
    assert sizes[4] / sizes[8] == pytest.approx(2)
    assert Pace(1.0, 0.0, first=2.0).decay_steps == 200
    assert sizes[0] / sizes[-1] == pytest.approx(1000)
    assert saved_pace(json.loads(json.dumps({"pace": vars(pace)}))) == pace
    assert saved_pace({"pace": {"unit": 1.0}}) is None


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_curvature_is_that_of_a_displaced_target(exponent: float, rng) -> None:
    y = rng.normal(size=(256, 3))
    measured = of_slices(y, 256, few_directions(3, "auto"), exponent)
    assert measured is not None
    s, k = measured.lengths[-1], measured.coarse
    theta = rng.normal(size=(2000, 3))
    theta /= np.linalg.norm(theta, axis=1)[:, None]
    moved = np.mean(
        [ef.energy_distance(y + s * np.sqrt(3) * t, y, exponent=exponent) for t in theta[:50]]
    )
    assert moved == pytest.approx(k * 3 * s**2, rel=0.3)
    assert measured.mean == pytest.approx(
        np.mean(np.linalg.norm(y[:, None] - y, axis=-1) ** exponent), rel=0.1
    )


@pytest.mark.parametrize("d", [3, 64, 700])
def test_the_curvature_of_normal_targets_in_any_dimension(d: int, rng: np.random.Generator) -> None:
    y = rng.normal(size=(256, d))
    measured = of_slices(y, 256, few_directions(d, "auto"), 1.0)
    assert measured is not None
    assert measured.coarse == pytest.approx(0.7 / np.sqrt(d), rel=0.2)


def test_far_conditions_do_not_lengthen_displacements(rng: np.random.Generator) -> None:
    y, far = rng.normal(size=(256, 2)), 100.0 * rng.integers(2, size=(256, 1))
    directions = few_directions(3, "auto")
    alone, beside = (
        of_slices(np.hstack([y, c]), 256, directions, 1.0, 2) for c in (np.zeros((256, 1)), far)
    )
    assert alone is not None
    assert beside is not None
    assert beside.lengths[-1] == pytest.approx(alone.lengths[-1])


def test_atoms_ask_for_decay_and_smooth_targets_do_not(rng: np.random.Generator) -> None:
    def pace(y: np.ndarray) -> Pace:
        curvature = of_slices(y, len(y), few_directions(y.shape[1], "auto"), 1.0)
        return choose_pace(curvature, 0.0, 0.1, 1000, 1000)

    assert pace(rng.normal(size=(500, 2))).first < 1.5
    assert pace(rng.integers(2, size=(500, 2)).astype(float)).first > 30


def test_the_curvature_of_kernels(rng: np.random.Generator) -> None:
    y = rng.normal(size=(200, 2))
    linear = of_kernel(y, 200, ef.kernels.Linear())
    assert linear is not None
    assert linear.coarse == 1
    gauss = of_kernel(y, 200, ef.kernels.Gauss(10.0))
    assert gauss is not None
    assert gauss.coarse == pytest.approx(1 / 100, rel=0.1)  # F = |s|^2 / (2 sigma^2)


def test_samples_follow_the_weights(rng: np.random.Generator) -> None:
    y, b = np.arange(1000.0)[:, None], np.zeros(1000)
    b[:10] = 0.1
    assert np.all(sample(y, b) < 10)
    assert effective_size(1000, b) == pytest.approx(10)
    assert len(np.unique(sample(y))) == 256


# -- flows that arrive ---------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.5, 0.8])
def test_singular_forces_on_a_line_take_short_steps(exponent: float, rng) -> None:
    y = rng.normal(size=(600, 1))
    flow = ef.ParticleFlow(y, exponent=exponent, rng=0)
    assert quiet(flow, rng.uniform(size=(100, 1)), 100).arrived


@pytest.mark.parametrize("d", [1, 2, 20])
def test_flows_arrive_by_default(d: int, rng: np.random.Generator) -> None:
    y = rng.normal(size=(600, d))
    result = quiet(ef.ParticleFlow(y, rng=0), rng.uniform(size=(100, d)), 100)
    assert result.arrived
    assert ef.energy_distance(result.particles, y) < result.floor
    assert "arrived" in str(result)


def test_noise_that_holds_a_flow_is_told(rng: np.random.Generator) -> None:
    y, x = rng.normal(size=(200, 300)), rng.uniform(size=(60, 300))
    flow = ef.ParticleFlow(y, n_projections=16, step_size=20.0, momentum=0.5, rng=0)
    with pytest.warns(ef.FlowWarning, match="noise of 16 slices in 300 dimensions"):
        result = quiet(flow, x, 100)
    assert result.noise > 10
    assert not result.arrived
    assert "not there yet" in str(result)


def test_conditions_that_the_target_has_not_are_asked_for(rng: np.random.Generator) -> None:
    q = rng.normal(size=(200, 1))
    flow = ef.ConditionalFlow(q + 0.5 * rng.normal(size=(200, 1)), q, rng=0)
    with pytest.warns(ef.FlowWarning, match="conditions distributed as the target's"):
        flow.run(rng.normal(size=(200, 1)), np.ones((200, 1)), 200, progress=False)


def test_a_run_that_is_cut_short_still_falls_and_does_not_warn(rng: np.random.Generator) -> None:
    y, x = rng.normal(size=(500, 10)), rng.normal(size=(500, 10)) + 3
    result = quiet(ef.ParticleFlow(y, step_size=0.15, rng=0), x, 120)
    assert not result.arrived
    assert "still falling" in str(result)


def test_a_flow_that_converged_stops(rng: np.random.Generator) -> None:
    y, x = rng.normal(size=(300, 2)), rng.normal(size=(50, 2)) + 3
    result = quiet(ef.ParticleFlow(y, rng=0), x, 5000, until="converged")
    assert result.state["step"] < 1000
    assert result.arrived
    with pytest.raises(ValueError, match="until must be one of converged"):
        quiet(ef.ParticleFlow(y, rng=0), x, 10, until="tired")


def test_converged_means_no_gain_beyond_the_noise(rng: np.random.Generator) -> None:
    falling = [(k, 0.9**k, 0.0) for k in range(40)]
    assert not any(is_converged(falling[:n]) for n in range(1, 41))
    steep = [(k, 70.0 if k == 0 else 6 - 0.2 * k, 0.0) for k in range(10)]
    assert not is_converged(steep)
    loud = [(k, 0.985**k * (1 + 0.3 * (-1) ** k), 0.0) for k in range(41)]
    assert is_converged(loud)
    assert not is_converged(loud, 0.1)  # it falls, and would come near soon
    assert is_converged(loud, 1e-30)
    assert is_converged(loud, 1.0)
    still = [(k, 1 + 0.1 * rng.normal(), 0.0) for k in range(40)]
    assert is_converged(still)
    assert not is_converged(still[:9])


def test_complaints() -> None:
    assert complaint([(0, 1.0, 0.0), (49, 9.0, 0.0)], None, {}) is None
    rising = [(0, 1.0, 0.0), (50, 9.0, 0.0)]
    assert "above its start" in (complaint(rising, None, {}) or "")
    slow = [(10 * k, 0.98**k, 0.0) for k in range(40)]
    assert complaint(slow, 0.01, {}) is None  # it still falls
    rests = [(10 * k, 0.5, 0.0) for k in range(40)]
    assert "hardly falls" in (complaint(rests, 0.01, {"step_size_given": True}) or "")


@pytest.mark.parametrize("conditional", [False, True])
def test_the_automatic_step_size_makes_the_same_flow(conditional: bool, rng) -> None:
    x, y = rng.normal(size=(30, 2)), rng.integers(2, size=(50, 2)) + 0.0
    more, moved = ((y[:, :1],), (x[:, :1],)) if conditional else ((), ())
    kind = ef.ConditionalFlow if conditional else ef.ParticleFlow
    plain = kind(y, *more, rng=0)
    given = {"step_size": plain.automatic_step_size(30), "momentum": 0.97 if conditional else 0.7}
    steered = kind(y, *more, rng=0, **given)
    runs = [flow.run(x, *moved, 20, progress=False).particles for flow in (plain, steered)]
    np.testing.assert_array_equal(*runs)
    with pytest.raises(ValueError, match="n_particles must be at least 1"):
        plain.automatic_step_size(0)


# -- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", [False, True])
def test_automatic_settings_resume_bit_for_bit(conditional: bool, tmp_path: Path, rng) -> None:
    x, y = rng.normal(size=(30, 2)), rng.integers(2, size=(50, 2)) + 0.0
    if conditional:
        flow, more = ef.ConditionalFlow(y, y[:, :1], rng=0), (x[:, :1],)
    else:
        flow, more = ef.ParticleFlow(y, rng=0), ()
    whole = flow.run(x, *more, 30, progress=False)
    flow.run(x, *more, 13, progress=False).save(tmp_path / "flow.npz")
    resumed = flow.run(ef.FlowResult.load(tmp_path / "flow.npz"), *more, 17, progress=False)
    np.testing.assert_array_equal(whole.particles, resumed.particles)
    assert whole.state == resumed.state


def test_a_result_without_a_plan_resumes_as_it_began(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 400)), rng.normal(size=(50, 400))
    radius = float(np.sqrt(np.mean(np.sum((y - y.mean(axis=0)) ** 2, axis=1))))
    how = {"n_projections": 32, "slicing": "orthogonal", "rng": 0}
    former = ef.ParticleFlow(y, step_size=radius, momentum=0.0, **how)
    whole, part = quiet(former, x, 9), quiet(former, x, 4)
    del part.state["plan"]
    resumed = quiet(ef.ParticleFlow(y), part, 5)
    np.testing.assert_allclose(resumed.particles, whole.particles, rtol=1e-12)
    assert resumed.state["n_projections"] == 32


def test_plans_of_other_kinds_are_refused(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(5, 2))
    part = quiet(ef.ParticleFlow(y, rng=0), x, 1)
    part.state["plan"] = {"noise": "loud"}
    with pytest.raises(ValueError, match="its plan is not made of finite numbers"):
        quiet(ef.ParticleFlow(y), part, 1)


def test_every_library_measures_the_same_noise(xp, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 5)), rng.normal(size=(40, 5))
    expected = quiet(ef.ParticleFlow(y, n_projections=3, rng=0), x, 1)
    result = quiet(ef.ParticleFlow(xp.asarray(y), n_projections=3, rng=0), xp.asarray(x), 1)
    assert result.noise == expected.noise
    assert result.state["plan"]["pace"] == expected.state["plan"]["pace"]


@pytest.mark.parametrize("n_target", [1, 20])
def test_a_target_of_one_place_is_reached(n_target: int, rng: np.random.Generator) -> None:
    particles = rng.normal(size=(50, 2))
    target = np.full((n_target, 2), 3.0)
    result = ef.ParticleFlow(target, rng=0).run(particles, 1000, progress=False)
    start, end = (float(ef.energy_distance(x, target)) for x in (particles, result.particles))
    assert end < 0.02 * start


def test_a_flow_that_resumes_towards_another_target_is_not_blamed_for_it(rng) -> None:
    target, particles = rng.normal(size=(200, 2)), rng.normal(size=(50, 2))
    result = ef.ParticleFlow(target, rng=0).run(particles, 100, progress=False)
    ef.ParticleFlow(target + 3, rng=0).run(result, 60, progress=False)  # warnings are errors


def test_batches_of_the_target_tell_no_floor(rng) -> None:
    flow = ef.ParticleFlow(rng.normal(size=(200, 2)), batch_size=20, rng=0)
    result = flow.run(rng.normal(size=(50, 2)), 20, progress=False)
    assert result.floor is None
    assert result.arrived is None
