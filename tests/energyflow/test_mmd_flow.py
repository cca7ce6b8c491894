"""MMD flows: the flow of the energy distance as a special case, schedules, and resuming."""

from __future__ import annotations

import numpy as np
import pytest

import energyflow as ef
from energyflow.kernels import Energy, Gauss, Kernel, Laplace, Linear, Matern, Riesz

KERNELS = [Energy(), Riesz(1.5), Gauss(0.9), Laplace(1.1), Matern(2.5, 0.8), Linear()]
X = np.random.default_rng(1).normal(size=(11, 2))
Y = np.random.default_rng(2).normal(size=(8, 2)) + 0.4
B = np.random.default_rng(4).dirichlet(np.ones(8))


def quiet(flow: ef.MMDFlow, particles, steps: int, **how) -> ef.FlowResult:
    return flow.run(particles, steps, progress=False, **how)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_a_step_follows_the_gradient_of_half_the_squared_mmd(kernel: Kernel) -> None:
    result = quiet(ef.MMDFlow(Y, kernel, target_weights=B, step_size=0.1), X, 1)
    velocity = (X - result.particles) / 0.1
    squared = ef.mmd_squared(X, Y, None, B, kernel=kernel)
    assert result.history_distance[0] == pytest.approx(float(squared), rel=1e-12)
    for k in range(2):
        ends = []
        for h in (1e-6, -1e-6):
            moved = X.copy()
            moved[4, k] += h
            ends.append(float(ef.mmd_squared(moved, Y, None, B, kernel=kernel)))
        expected = len(X) * (ends[0] - ends[1]) / 2e-6 / 2
        assert velocity[4, k] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_on_the_line_the_energy_kernel_gives_the_particle_flow() -> None:
    how = {"step_size": 0.2, "momentum": 0.5}
    expected = ef.ParticleFlow(Y[:, :1], **how).run(X[:, :1], 20, progress=False)
    result = quiet(ef.MMDFlow(Y[:, :1], "energy", **how), X[:, :1], 20)
    np.testing.assert_allclose(result.particles, expected.particles, atol=1e-10)
    np.testing.assert_allclose(result.history_distance, expected.history_distance, atol=1e-10)


def test_slices_take_nearly_the_same_path() -> None:
    exact = quiet(ef.MMDFlow(Y, Gauss(1.0), step_size=0.2), X, 10)
    how = {"method": "sliced", "n_projections": 500, "rng": 0, "step_size": 0.2}
    sliced = quiet(ef.MMDFlow(Y, Gauss(1.0), **how), X, 10)
    np.testing.assert_allclose(sliced.particles, exact.particles, atol=0.02)


@pytest.mark.filterwarnings("ignore:after 250 steps:energyflow.FlowWarning")
def test_a_bandwidth_that_falls_with_the_steps() -> None:
    """From afar a narrow kernel moves nothing, a falling one arrives."""
    far = X + 6

    def falling(step: int) -> Kernel:
        return Gauss(max(4 * 0.98**step, 0.4))

    narrow = quiet(ef.MMDFlow(Y, Gauss(0.4), step_size=0.2), far, 250, record_every=250)
    scheduled = quiet(
        ef.MMDFlow(Y, falling, step_size=lambda k: 0.2 * falling(k).sigma ** 2),
        far, 250, record_every=250,
    )  # fmt: skip
    ends = [ef.mmd_squared(r.particles, Y, kernel=Gauss(0.4)) for r in (narrow, scheduled)]
    assert ends[1] < 0.5 * ends[0]
    assert scheduled.history_distance[0] == ef.mmd_squared(far, Y, kernel=Gauss(4.0))
    assert quiet(ef.MMDFlow(Y, lambda k: "gauss"), X, 1).state["kernel"] == "a function of the step"


def test_every_library_takes_the_same_path(xp) -> None:
    expected = quiet(ef.MMDFlow(Y, Gauss(0.9), target_weights=B, momentum=0.5), X, 10)
    flow = ef.MMDFlow(xp.asarray(Y), Gauss(0.9), target_weights=xp.asarray(B), momentum=0.5)
    result = quiet(flow, xp.asarray(X), 10)
    np.testing.assert_allclose(xp.to_numpy(result.particles), expected.particles, atol=1e-9)
    np.testing.assert_allclose(result.history_distance, expected.history_distance, rtol=1e-9)


@pytest.mark.parametrize("method", ["direct", "sliced"])
def test_going_on_equals_an_uninterrupted_run(tmp_path, method: str) -> None:
    how = {"method": method, "n_projections": 9, "momentum": 0.7}
    whole = quiet(ef.MMDFlow(Y, "laplace", rng=3, **how), X, 20)
    quiet(ef.MMDFlow(Y, "laplace", rng=3, **how), X, 8).save(tmp_path / "flow.npz")
    loaded = ef.FlowResult.load(tmp_path / "flow.npz")
    again = quiet(ef.MMDFlow(Y, "laplace", **how), loaded, 12)
    np.testing.assert_array_equal(again.particles, whole.particles)
    assert again.state == whole.state
    with pytest.raises(ValueError, match=r"kernel = 'Laplace\(beta=2\)' to resume"):
        quiet(ef.MMDFlow(Y, Laplace(2), **how), loaded, 1)


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("Laplace(alpha=2.0)", None),
        ("Laplace(alpha=2)", None),
        ("Laplace(alpha=4.0)", r"kernel = 'Laplace\(beta=0\.5\)' .* with 'Laplace\(beta=0\.25\)'"),
        ("Laplace(alpha=0.0)", r"with 'Laplace\(beta=0\.0\)'"),
        ("Laplace(alpha=two)", r"with 'Laplace\(alpha=two\)'"),
    ],
)
def test_laplace_kernels_of_files_that_wrote_alpha(written: str, error: str | None) -> None:
    flow = ef.MMDFlow(Y, Laplace(0.5), rng=3)
    whole, start = quiet(flow, X, 5), quiet(flow, X, 2)
    start.state["kernel"] = written
    if error is not None:
        with pytest.raises(ValueError, match=error):
            quiet(flow, start, 3)
        return
    resumed = quiet(flow, start, 3)
    np.testing.assert_array_equal(resumed.particles, whole.particles)
    assert resumed.state["kernel"] == "Laplace(beta=0.5)"


def test_callbacks_stop_and_distances_are_recorded_when_due() -> None:
    seen: list[int] = []

    def callback(step: int, particles: np.ndarray, distance: float) -> bool:
        seen.append(step)
        return step == 14

    result = quiet(ef.MMDFlow(Y), X, 50, record_every=7, callback=callback)
    assert seen == [0, 7, 14]
    np.testing.assert_array_equal(result.history_step, seen)


@pytest.mark.parametrize("kernel", [Energy(), Linear()], ids=str)
def test_divergence_is_told(kernel: Kernel) -> None:
    flow = ef.MMDFlow(Y, kernel, step_size=lambda k: 1e308 if k else 1.0, momentum=0.9)
    with pytest.raises(ef.FlowDiverged) as caught:
        quiet(flow, X, 50)
    assert np.isfinite(caught.value.particles).all()


def test_a_target_that_requires_grad_is_data_only() -> None:
    import torch

    result = quiet(ef.MMDFlow(torch.asarray(Y).requires_grad_()), torch.asarray(X), 2)
    assert not result.particles.requires_grad


@pytest.mark.parametrize("step_size", ["auto", 0.1])
def test_a_function_of_the_step_is_called_once_for_each(step_size: float | str) -> None:
    steps: list[int] = []

    def falling(step: int) -> Kernel:
        steps.append(step)
        return Gauss(2 * 0.9**step)

    flow = ef.MMDFlow(Y, falling, step_size=step_size)
    first = quiet(flow, X, 3, record_every=1)
    assert steps == [0, 1, 2, 3]
    again = quiet(ef.MMDFlow(Y, lambda k: Gauss(2 * 0.9**k), step_size=step_size), X, 3)
    np.testing.assert_array_equal(again.particles, first.particles)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="kernel must be one of energy"):
        ef.MMDFlow(Y, "box")
    for wrong in (3.0, Gauss):
        with pytest.raises(TypeError, match="kernel must be a name or an object"):
            ef.MMDFlow(Y, wrong)
    with pytest.raises(TypeError, match="kernel must be a name or an object"):
        quiet(ef.MMDFlow(Y, lambda step: 3.0), X, 1)
    with pytest.raises(ValueError, match="method must be one of direct, sliced"):
        ef.MMDFlow(Y, method="fast")
    with pytest.raises(ValueError, match="target_weights must sum to one"):
        ef.MMDFlow(Y, target_weights=2 * B)
    with pytest.raises(ValueError, match="dimension of the target, 2, got 1"):
        quiet(ef.MMDFlow(Y), X[:, :1], 1)
