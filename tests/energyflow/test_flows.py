"""Flows: known answers, the rate at which they fall, resuming, and how they fail."""

import pickle
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

import energyflow as ef


def midpoints(n: int) -> np.ndarray:
    return ((np.arange(n) + 0.5) / n)[:, None]


def quiet(flow: ef.ParticleFlow, particles, steps: int, **how) -> ef.FlowResult:
    return flow.run(particles, steps, progress=False, **how)


# -- known answers -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:after 100 steps:energyflow.FlowWarning")
def test_from_a_point_to_the_uniform_distribution(rng: np.random.Generator) -> None:
    start = rng.uniform(-1e-9, 1e-9, size=(1000, 1))
    flow = ef.ParticleFlow(midpoints(1000), step_size=0.01, rng=0)
    result = quiet(flow, start, 100)
    np.testing.assert_array_equal(result.history_step, np.arange(0, 101, 10))
    expected = 2 / 3 * (1 - 2 * 0.01) ** (2 * result.history_step)
    np.testing.assert_allclose(result.history_distance, expected, rtol=2e-3)
    assert result.history_distance[-1] == pytest.approx(1.1726e-2, rel=1e-3)


def test_identical_particles_stick_together() -> None:
    flow = ef.ParticleFlow(midpoints(50), step_size=0.1, rng=0)
    result = quiet(flow, np.zeros((20, 1)), 50)
    assert np.ptp(result.particles) == 0
    # a point mass rests at the median
    assert result.particles[0, 0] == pytest.approx(0.5, abs=0.02)


def test_at_rest_particles_sit_at_the_levels_of_the_target(rng: np.random.Generator) -> None:
    n, m, tau = 30, 100, 0.05
    target = np.sort(rng.normal(size=m))
    result = quiet(
        ef.ParticleFlow(target[:, None], step_size=tau, rng=0), rng.normal(size=(n, 1)), 6000
    )
    jitter = 3 * tau * (1 / n + 1 / m)
    level = (np.arange(n) + 0.5) / n * m
    below = target[np.ceil(level - 1e-9).astype(int) - 1]
    above = target[np.minimum(np.floor(level + 1e-9).astype(int), m - 1)]
    particles = np.sort(result.particles.ravel())
    assert np.all(particles >= below - jitter)
    assert np.all(particles <= above + jitter)


@pytest.mark.parametrize("exponent", [1.0, 1.5])
def test_the_distance_falls_at_the_rate_of_the_squared_gradient(
    exponent: float, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)) + 2
    theta = ef.sample_projections(20, 2, rng=0)
    how = {"projections": theta, "exponent": exponent}
    tau = 1e-5
    value, gradient = ef.sliced_energy_value_and_gradient(x, y, **how)
    moved = x - tau * len(x) * gradient / 2
    fall = (value - ef.sliced_energy_distance(moved, y, **how)) / tau
    # d/dt E = - N / 2 |grad E|^2 along x' = - N grad F, F = E / 2
    assert fall == pytest.approx(len(x) * np.sum(gradient**2) / 2, rel=1e-2)


def test_steps_equal_the_reference(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 1)), rng.normal(size=(15, 1))
    result = quiet(ef.ParticleFlow(y, step_size=0.3, momentum=0.5, rng=0), x, 4)
    position, velocity = x, np.zeros_like(x)
    for _ in range(4):
        position, velocity = ef.reference.flow_step(
            position, velocity, y, projections=np.ones((1, 1)), step_size=0.3, momentum=0.5
        )
    np.testing.assert_allclose(result.particles, position, atol=1e-12)
    np.testing.assert_allclose(result.velocity, velocity, atol=1e-12)


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.5])
def test_particles_reach_a_two_dimensional_target(
    exponent: float, rng: np.random.Generator
) -> None:
    centres = np.array([[2.0, 0], [-2, 0], [0, 2], [0, -2]])
    target = centres[rng.integers(4, size=200)] + 0.1 * rng.normal(size=(200, 2))
    other = centres[rng.integers(4, size=200)] + 0.1 * rng.normal(size=(200, 2))
    flow = ef.ParticleFlow(
        target, exponent=exponent, n_projections=16, step_size=0.5, momentum=0.7, rng=0
    )
    result = quiet(flow, rng.normal(size=(100, 2)), 300)
    floor = ef.energy_distance(other, target, exponent=exponent)
    assert ef.energy_distance(result.particles, target, exponent=exponent) < 3 * floor


def test_target_weights(rng: np.random.Generator) -> None:
    target = np.array([[0.0], [1.0]])
    flow = ef.ParticleFlow(target, target_weights=np.array([0.8, 0.2]), step_size=0.02, rng=0)
    result = quiet(flow, rng.uniform(0.4, 0.6, size=(10, 1)), 400)
    assert np.sum(result.particles > 0.5) == 2


# -- libraries, schedules, callbacks -------------------------------------------------------------


def test_every_library_takes_the_same_path(xp, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 1
    expected = quiet(ef.ParticleFlow(y, rng=0, momentum=0.5), x, 20)
    result = quiet(ef.ParticleFlow(xp.asarray(y), rng=0, momentum=0.5), xp.asarray(x), 20)
    assert type(result.particles) is type(xp.asarray(x)) or xp.name.startswith("numpy")
    np.testing.assert_allclose(xp.to_numpy(result.particles), expected.particles, atol=1e-9)
    np.testing.assert_allclose(result.history_distance, expected.history_distance, rtol=1e-9)


def test_schedules(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)) + 1
    seen: list[int] = []

    def falling(step: int) -> float:
        seen.append(step)
        return 1 / (1 + step)

    constant = quiet(ef.ParticleFlow(y, rng=0, step_size=lambda k: 0.5, momentum=0.1), x, 10)
    plain = quiet(ef.ParticleFlow(y, rng=0, step_size=0.5, momentum=lambda k: 0.1), x, 10)
    np.testing.assert_array_equal(constant.particles, plain.particles)
    quiet(ef.ParticleFlow(y, rng=0, step_size=falling), x, 10)
    assert seen == list(range(10))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("unit", [2.0**-40, 2.0**40])
def test_the_automatic_step_has_the_units_of_the_data(
    unit: float, exponent: float, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)) + 1
    how = {"exponent": exponent, "n_projections": 8, "momentum": 0.5, "rng": 0}
    expected = quiet(ef.ParticleFlow(y, **how), x, 20).particles
    particles = quiet(ef.ParticleFlow(unit * y, **how), unit * x, 20).particles
    np.testing.assert_allclose(particles / unit, expected, rtol=1e-9)


def test_automatic_settings_at_the_edge(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(1, 3))
    alone = quiet(ef.ParticleFlow(y, rng=0), x, 10)
    assert np.all(np.isfinite(alone.particles))
    assert alone.floor is None
    assert alone.arrived is None
    with pytest.raises(ValueError, match="step_size must be positive and finite, got inf"):
        ef.ParticleFlow(1e300 * x, exponent=0.5)


def test_a_result_says_what_it_is(rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 2))
    result = quiet(ef.ParticleFlow(x, rng=0), x + 1, 20)
    distance = f"{result.history_distance[-1]:.4g}"
    assert repr(result) == (
        f"FlowResult(30 particles in 2 dimensions, 20 steps, distance {distance})"
    )


def test_callback_sees_and_stops(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)) + 1
    calls: list[tuple[int, float]] = []

    def callback(step: int, particles: np.ndarray, distance: float) -> bool:
        calls.append((step, distance))
        return step == 20

    result = quiet(ef.ParticleFlow(y, rng=0), x, 100, callback=callback)
    assert [step for step, _ in calls] == [0, 10, 20]
    assert result.state["step"] == 20
    np.testing.assert_array_equal(result.history_distance, [distance for _, distance in calls])
    assert calls[0][1] == ef.sliced_energy_distance(x, y, rng=0)


def test_a_callback_may_do_with_the_particles_what_it_wants(xp, rng) -> None:
    start, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)) + 1
    x, flow = xp.asarray(start.copy()), ef.ParticleFlow(xp.asarray(y), rng=0)

    def spoil(step: int, particles, distance: float) -> None:
        with suppress(TypeError):  # JAX's arrays stay as they are
            particles[...] = 7

    result = quiet(flow, x, 20, callback=spoil)
    np.testing.assert_array_equal(xp.to_numpy(x), start)
    wanted = quiet(flow, x, 20)
    np.testing.assert_array_equal(xp.to_numpy(result.particles), xp.to_numpy(wanted.particles))


@pytest.mark.parametrize(
    ("callback", "told"),
    [
        ("a", "callback must be callable, got str"),
        (lambda *given: np.ones(2), "callback must return something true or false, got ndarray"),
    ],
)
def test_bad_callbacks(callback, told: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 2))
    with pytest.raises(TypeError, match=told):
        quiet(ef.ParticleFlow(x, rng=0), x, 3, callback=callback)


def test_progress_draws_on_a_terminal_only(rng: np.random.Generator, capsys) -> None:
    x = rng.normal(size=(5, 2))
    ef.ParticleFlow(x + 1, rng=0).run(x, 3)
    assert capsys.readouterr() == ("", "")


# -- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [3, None])
def test_going_on_equals_an_uninterrupted_run(tmp_path, seed, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(30, 5)) + 1
    how = {"momentum": 0.7, "step_size": lambda k: 1 / (1 + k / 50), "n_projections": 20}
    flow = ef.ParticleFlow(y, rng=seed, **how)
    whole = quiet(flow, x, 60)
    part = quiet(flow, x, 25)
    part.save(tmp_path / "flow.npz")
    # another process, which does not know the seed
    again = ef.ParticleFlow(y, **how)
    result = quiet(again, ef.FlowResult.load(tmp_path / "flow.npz"), 35)
    np.testing.assert_array_equal(result.particles, whole.particles)
    np.testing.assert_array_equal(result.velocity, whole.velocity)
    assert result.state == whole.state
    kept = result.history_step % 10 == 0
    np.testing.assert_array_equal(result.history_step[kept], whole.history_step)
    np.testing.assert_array_equal(result.history_distance[kept], whole.history_distance)
    assert np.all(np.diff(result.history_seconds) > 0)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_velocity_and_a_first_step_take_the_place_of_a_result(conditional: bool, rng) -> None:
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)) + 5
    how = {"momentum": 0.9, "step_size": lambda step: 1 / (1 + step), "rng": 0, "n_projections": 8}
    flow = ef.ConditionalFlow(y, y, **how) if conditional else ef.ParticleFlow(y, **how)
    given = (x,) if conditional else ()
    half = flow.run(x, *given, 5, progress=False)
    start = {"velocity": half.velocity, "first_step": 5}
    rest = flow.run(half.particles, *given, 5, progress=False, **start)
    whole = flow.run(x, *given, 10, progress=False)
    np.testing.assert_array_equal(rest.particles, whole.particles)
    assert rest.state == whole.state
    for name, value in start.items():
        with pytest.raises(ValueError, match="velocity and first_step must be left out"):
            flow.run(half, *given, 5, **{name: value})
    for wrong in (half.velocity[1:], half.velocity.astype(np.float32)):
        with pytest.raises(ValueError, match=r"velocity must have the shape .* and the dtype"):
            flow.run(x, *given, 5, velocity=wrong)


def test_load_into_another_library(tmp_path, xp, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 2))
    quiet(ef.ParticleFlow(y, rng=0), x, 5).save(tmp_path / "flow.npz")
    like = xp.asarray(y)
    loaded = ef.FlowResult.load(tmp_path / "flow.npz", like=like)
    result = quiet(ef.ParticleFlow(like, rng=0), loaded, 5)
    expected = quiet(ef.ParticleFlow(y, rng=0), x, 10).particles
    np.testing.assert_allclose(xp.to_numpy(result.particles), expected, atol=1e-9)


def test_going_on_with_other_settings_is_refused(rng: np.random.Generator) -> None:
    x = rng.normal(size=(10, 2))
    result = quiet(ef.ParticleFlow(x, n_projections=8), x + 1, 2)
    with pytest.raises(ValueError, match=r"n_projections = 9 .* got one with 8"):
        quiet(ef.ParticleFlow(x, n_projections=9), result, 2)
    with pytest.raises(ValueError, match="particles must have the dimension of the target, 3, got"):
        quiet(ef.ParticleFlow(rng.normal(size=(10, 3))), result, 2)


def test_every_library_saves(tmp_path, xp, rng: np.random.Generator) -> None:
    x = xp.asarray(rng.normal(size=(10, 2)))
    result = quiet(ef.ParticleFlow(x + 1, rng=0), x, 3)
    result.save(tmp_path / "flow.npz")
    loaded = ef.FlowResult.load(tmp_path / "flow.npz")
    np.testing.assert_array_equal(loaded.particles, xp.to_numpy(result.particles))


def test_a_flow_keeps_no_graph(tmp_path, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")

    x = torch.asarray(rng.normal(size=(10, 2))).requires_grad_()
    result = quiet(ef.ParticleFlow(x.detach() + 1, rng=0), x, 3)
    assert not result.particles.requires_grad
    result.save(tmp_path / "flow.npz")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"step": None}, "its step is None"),
        ({"step": 4.7}, r"its step is 4\.7"),
        ({"step": -5}, "its step is -5"),
        ({"step": 2**63}, "its step is 9223372036854775808, expected a whole number below"),
        ({"key": [1]}, "its key is"),
        ({"key": [-1, 2]}, "its key is"),
        ({"key": "zz"}, "its key is 'zz'"),
        ({"format": 2}, "its format is 2, expected 1"),
    ],
)
def test_a_damaged_state_is_refused(tmp_path, fault: dict, message: str, rng) -> None:
    x = rng.normal(size=(10, 2))
    result = quiet(ef.ParticleFlow(x + 1, rng=0), x, 3)
    result.state.update(fault)
    result.save(tmp_path / "flow.npz")
    with pytest.raises(ValueError, match=rf"flow\.npz is not a saved flow: {message}"):
        ef.FlowResult.load(tmp_path / "flow.npz")
    with pytest.raises(ValueError, match=f"particles must be a result to resume from: {message}"):
        quiet(ef.ParticleFlow(x + 1, rng=0), result, 3)


def test_damaged_arrays_are_refused(tmp_path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(10, 2))
    good = quiet(ef.ParticleFlow(x + 1, rng=0), x, 3)
    for name, value in (("velocity", x[:1]), ("history_step", np.arange(1)), ("particles", x[0])):
        replace(good, **{name: value}).save(tmp_path / "flow.npz")
        with pytest.raises(ValueError, match=r"flow\.npz is not a saved flow: it"):
            ef.FlowResult.load(tmp_path / "flow.npz")
        with pytest.raises(ValueError, match="particles must be a result to resume from: it"):
            quiet(ef.ParticleFlow(x, rng=0), replace(good, **{name: value}), 3)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_loading_something_else_is_refused(tmp_path, content: bytes) -> None:
    path = tmp_path / "flow.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"flow\.npz is not a saved flow"):
        ef.FlowResult.load(path)
    np.savez(path, particles=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="it has no velocity"):
        ef.FlowResult.load(path)


def test_a_failed_save_keeps_the_older_file(tmp_path, monkeypatch, rng) -> None:
    x = rng.normal(size=(10, 2))
    result = quiet(ef.ParticleFlow(x), x + 1, 2)
    result.save(tmp_path / "flow.npz")
    before = (tmp_path / "flow.npz").read_bytes()

    def full_disk(file, **arrays) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        result.save(tmp_path / "flow.npz")
    assert (tmp_path / "flow.npz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["flow.npz"]


# -- failing -------------------------------------------------------------------------------------


def test_divergence_names_the_step_and_keeps_the_particles(xp, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2)) + 1
    flow = ef.ParticleFlow(
        xp.asarray(y), step_size=lambda k: 1e308 if k >= 3 else 0.1, momentum=0.9, rng=0
    )
    with pytest.raises(ef.FlowDiverged, match="not finite after step") as caught:
        quiet(flow, xp.asarray(x), 50)
    assert caught.value.step >= 4
    assert np.isfinite(xp.to_numpy(caught.value.particles)).all()


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"step_size": 0}, ValueError, "step_size must be positive and finite, got 0"),
        ({"step_size": float("nan")}, ValueError, "step_size must be positive and finite"),
        ({"step_size": "1"}, ValueError, "step_size must be a number, a function of"),
        ({"momentum": 1.0}, ValueError, "momentum must be at least 0 and below 1, got 1"),
        ({"momentum": -0.1}, ValueError, "momentum must be at least 0 and below 1"),
        ({"n_projections": 0}, ValueError, "n_projections must be at least 1, got 0"),
        ({"exponent": 2.0}, ValueError, "exponent must lie strictly between 0 and 2"),
        ({"slicing": "best"}, ValueError, "slicing must be one of auto, iid"),
        ({"rng": 1.5}, TypeError, "rng must be None, an int"),
        ({"target_weights": np.ones(3)}, ValueError, r"target_weights must have shape"),
    ],
)
def test_bad_settings(how: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ef.ParticleFlow(np.zeros((4, 2)), **how)


def test_bad_runs(rng: np.random.Generator) -> None:
    flow = ef.ParticleFlow(rng.normal(size=(4, 2)), step_size=lambda k: -1.0)
    good = rng.normal(size=(4, 2))
    with pytest.raises(ValueError, match=r"particles must have shape \(N, d\)"):
        flow.run(np.zeros((2, 4, 2)), 3)
    with pytest.raises(ValueError, match="particles must have the dimension of the target, 2"):
        flow.run(np.zeros((4, 3)), 3)
    with pytest.raises(ValueError, match="n_steps must be at least 0"):
        flow.run(good, -1)
    with pytest.raises(ValueError, match="record_every must be at least 1"):
        flow.run(good, 3, record_every=0)
    with pytest.raises(ValueError, match="step_size at step 0 must be positive"):
        flow.run(good, 3)
    with pytest.raises(ValueError, match="particles must be finite"):
        flow.run(np.full((4, 2), np.nan), 3)
    with pytest.raises(ValueError, match="target must be finite"):
        ef.ParticleFlow(np.full((4, 2), np.inf))


def test_flows_pickle_as_they_are(rng) -> None:
    """So that they can be sent to worker processes."""
    target, particles = rng.normal(size=(50, 2)), rng.normal(size=(20, 2))
    for how in ({}, {"step_size": 0.3, "momentum": 0.5}):
        flow = ef.ParticleFlow(target, rng=0, **how)
        again = pickle.loads(pickle.dumps(flow))
        runs = [f.run(particles, 3, progress=False).particles for f in (flow, again)]
        np.testing.assert_array_equal(*runs)
