"""KALE and its flow: optimality, limits, an independent optimiser, gradients, resuming."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import rel_entr
from strategies import pairs

import energyflow as ef
from energyflow._flows.kale_dual import KaleDual
from energyflow._flows.kernel_pairs import kernel_pairs
from energyflow.kernels import Gauss, Kernel, Laplace, Linear, Matern

DEFINITE = [Gauss(0.8), Laplace(1.3), Matern(1.5, 0.9), Linear()]
X = np.random.default_rng(1).normal(size=(11, 2))
Y = np.random.default_rng(2).normal(size=(8, 2)) + 0.4
A = np.random.default_rng(3).dirichlet(np.ones(11))
B = np.random.default_rng(4).dirichlet(np.ones(8))


def gram(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    one = np.ones(1)
    columns = [ef.reference.kernel_sum(x, y_j[None], one, kernel=kernel) for y_j in y]
    return np.stack(columns, axis=1)


def primal(x, y, a, b, kernel: Kernel, scale: float) -> float:
    """The maximum over h = sum_k c_k K(z_k, .), z both sets, by SciPy's BFGS."""
    z = np.concatenate([x, y])
    values, vectors = np.linalg.eigh(gram(kernel, z, z))
    kept = values > 1e-12 * values[-1]
    features = vectors[:, kept] * values[kept] ** 0.5  # h = features c, |h|^2 = |c|^2

    def negative(c: np.ndarray) -> tuple[float, np.ndarray]:
        h = features @ c
        growth = b * np.exp(h[len(x) :])
        value = 1 + a @ h[: len(x)] - growth.sum() - scale / 2 * c @ c
        return -value, scale * c - features.T @ np.concatenate([a, -growth])

    start = np.zeros(features.shape[1])
    found = minimize(negative, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-10})
    return -(1 + scale) * float(found.fun)


@pytest.mark.parametrize("scale", [0.03, 1.0, 50.0])
@pytest.mark.parametrize("kernel", DEFINITE, ids=str)
def test_another_optimiser_of_the_primal_finds_the_same(kernel: Kernel, scale: float) -> None:
    for a, b in ((A, B), (None, None)):
        weights = [np.full(len(v), 1 / len(v)) if w is None else w for v, w in ((X, a), (Y, b))]
        expected = primal(X, Y, *weights, kernel, scale)
        found = ef.kale(X, Y, a, b, kernel=kernel, regularization=scale)
        assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("kernel", DEFINITE, ids=str)
def test_the_solution_is_optimal(kernel: Kernel, scale: float) -> None:
    """v = h(y), and the primal value of h is the dual value: no gap is left."""
    yy, yx, xx = (gram(kernel, *v) for v in ((Y, Y), (Y, X), (X, X)))
    drive, norm = yx @ A, float(A @ xx @ A)
    v, least = KaleDual(yy, B, scale).solve(drive, norm)
    u = B * np.exp(v)
    h_at_x, h_at_y = (xx @ A - yx.T @ u) / scale, (drive - yy @ u) / scale
    np.testing.assert_allclose(v, h_at_y, atol=1e-5 * (1 + least**0.5))
    square = (norm - 2 * u @ drive + u @ yy @ u) / scale**2
    highest = 1 + A @ h_at_x - B @ np.exp(h_at_y) - scale / 2 * square
    assert highest == pytest.approx(least, rel=1e-8, abs=1e-10 / scale)


@given(pairs(weighted=True), st.sampled_from(DEFINITE[:3]), st.floats(-2, 3))
def test_bounds(drawn, kernel: Kernel, log_scale: float) -> None:
    """0 <= KALE <= (1 + lambda) / (2 lambda) MMD^2, and it falls with lambda / (1 + lambda)."""
    x, y, a, b = drawn
    scale = 10**log_scale
    value = float(ef.kale(x, y, a, b, kernel=kernel, regularization=scale))
    squared = float(ef.mmd_squared(x, y, a, b, kernel=kernel))
    assert 0 <= value <= (1 + scale) / (2 * scale) * squared * (1 + 1e-9) + 1e-9
    weaker = float(ef.kale(x, y, a, b, kernel=kernel, regularization=2 * scale))
    assert weaker / (1 + 2 * scale) <= value / (1 + scale) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("kernel", DEFINITE, ids=str)
def test_a_large_lambda_gives_half_the_squared_mmd(kernel: Kernel) -> None:
    squared = float(ef.mmd_squared(X, Y, A, B, kernel=kernel))
    value = float(ef.kale(X, Y, A, B, kernel=kernel, regularization=1e5))
    assert value == pytest.approx(squared / 2, rel=1e-4)


def test_a_small_lambda_gives_the_kl_divergence() -> None:
    points = np.arange(6.0)[:, None]
    p, q = (np.random.default_rng(k).dirichlet(np.ones(6)) for k in (0, 1))
    value = ef.kale(points, points, p, q, kernel=Laplace(1.0), regularization=1e-6)
    assert float(value) == pytest.approx(rel_entr(p, q).sum(), rel=1e-4)


def test_one_point_each_in_closed_form() -> None:
    """For P = Q + far away, K_P vanishes on Q: h(y) = -W(1 / lambda), by Lambert's function."""
    from scipy.special import lambertw

    scale, far = 0.1, np.array([[1e3]])
    w = float(lambertw(1 / scale).real)  # v = -exp(v) / lambda
    least = 1 - np.exp(-w) * (w + 1) + (np.exp(-2 * w) + 1) / (2 * scale)
    value = ef.kale(far, np.zeros((1, 1)), kernel="gauss", regularization=scale)
    assert float(value) == pytest.approx((1 + scale) * least, rel=1e-12)


def test_equal_sets_have_none() -> None:
    for scale in (1e-6, 1.0, 1e6):
        assert float(ef.kale(X, X[::-1], kernel="gauss", regularization=scale)) < 1e-9


@pytest.mark.parametrize("kernel", DEFINITE, ids=str)
def test_torch_differentiates(kernel: Kernel) -> None:
    import torch

    x, y = (torch.asarray(v).requires_grad_() for v in (X, Y))
    a, b = (torch.asarray(v) for v in (A, B))
    ef.kale(x, y, a, b, kernel=kernel, regularization=0.2).backward()
    for grad, which in ((x.grad, 0), (y.grad, 1)):
        values = []
        for h in (1e-5, -1e-5):
            moved = [X.copy(), Y.copy()]
            moved[which][3, 1] += h
            values.append(float(ef.kale(*moved, A, B, kernel=kernel, regularization=0.2)))
        difference = (values[0] - values[1]) / 2e-5
        assert grad[3, 1].item() == pytest.approx(difference, rel=1e-5, abs=1e-7)


def test_jax_differentiates_but_does_not_trace() -> None:
    import jax

    y = jax.numpy.asarray(Y)

    def value(v: jax.Array) -> jax.Array:
        return ef.kale(v, y, kernel=Gauss(0.8), regularization=0.2)

    flow = ef.KALEFlow(Y, Gauss(0.8), regularization=0.2, step_size=1.0)
    expected = (X - flow.run(X, 1, progress=False).particles) / len(X)
    np.testing.assert_allclose(jax.grad(value)(jax.numpy.asarray(X)), expected, atol=1e-7)
    with pytest.raises(TypeError, match="x must have known values"):
        jax.jit(value)(jax.numpy.asarray(X))


def test_every_library(xp) -> None:
    arrays = [xp.asarray(v) for v in (X, Y, A, B)]
    value = ef.kale(*arrays, regularization=0.3)
    expected = ef.kale(X, Y, A, B, regularization=0.3)
    np.testing.assert_allclose(xp.to_numpy(value), expected, rtol=1e-9)
    result = ef.KALEFlow(arrays[1], "gauss", regularization=0.3).run(arrays[0], 5, progress=False)
    path = ef.KALEFlow(Y, "gauss", regularization=0.3).run(X, 5, progress=False)
    np.testing.assert_allclose(xp.to_numpy(result.particles), path.particles, atol=1e-8)


def test_batches_and_dtypes() -> None:
    x = np.stack([X, X + 1])
    both = ef.kale(x, Y, A, regularization=0.1)
    for k in range(2):
        assert both[k] == pytest.approx(float(ef.kale(x[k], Y, A, regularization=0.1)))
    small = ef.kale(X.astype(np.float32), Y.astype(np.float32), regularization=0.1)
    assert small.dtype == np.float32
    assert float(small) == pytest.approx(float(ef.kale(X, Y, regularization=0.1)), rel=1e-5)


def test_bad_input() -> None:
    for kernel in ("energy", "riesz"):
        with pytest.raises(ValueError, match="kernel must be positive definite"):
            ef.kale(X, Y, kernel=kernel, regularization=1.0)
    for scale, error in ((0.0, ValueError), (np.inf, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="regularization must be"):
            ef.kale(X, Y, regularization=scale)
    with pytest.raises(ValueError, match="y must be finite"):
        ef.kale(X, np.where(Y > 1, np.nan, Y), regularization=1.0)
    with pytest.raises(ValueError, match="step_size must be one of auto"):
        ef.KALEFlow(Y, regularization=1.0, step_size="big")
    with pytest.raises(ValueError, match="target must have shape"):
        ef.KALEFlow(Y[None], regularization=1.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30])
def test_a_lambda_below_rounding_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="regularization must be larger"):
        ef.kale(X, Y, regularization=scale)


def test_products_that_overflow_are_told() -> None:
    with pytest.raises(ValueError, match="x and y must be small enough"):
        ef.kale(1e300 * X, 1e300 * Y, kernel="linear", regularization=1.0)
    with pytest.raises(ValueError, match="regularization must be larger"):
        ef.kale(1e150 * X, 1e150 * Y, kernel="linear", regularization=1.0)
    with pytest.raises(ValueError, match="target must be small enough"):
        ef.KALEFlow(1e300 * Y, regularization=1.0)
    with pytest.raises(ef.FlowDiverged):
        ef.KALEFlow(Y, "linear", regularization=1.0, step_size=1e200).run(X, 3, progress=False)


# -- the flow ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.05, 2.0])
def test_a_step_follows_the_gradient(scale: float) -> None:
    """N times the gradient of the value moves the particles, and is that of differences."""
    flow = ef.KALEFlow(Y, Gauss(0.8), regularization=scale, target_weights=B, step_size=0.01)
    result = flow.run(X, 1, progress=False)
    velocity = (X - result.particles) / 0.01
    value = ef.kale(X, Y, None, B, kernel=Gauss(0.8), regularization=scale)
    assert result.history_distance[0] == pytest.approx(float(value), rel=1e-9)
    ends = []
    for h in (1e-5, -1e-5):
        moved = X.copy()
        moved[4, 0] += h
        ends.append(float(ef.kale(moved, Y, None, B, kernel=Gauss(0.8), regularization=scale)))
    expected = len(X) * (ends[0] - ends[1]) / 2e-5
    assert velocity[4, 0] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_default_step_falls_all_the_way() -> None:
    kernel = Gauss(0.8)
    for scale in (1e-2, 1.0, 1e3):
        flow = ef.KALEFlow(Y, kernel, regularization=scale)
        result = flow.run(X, 300, record_every=20, progress=False)
        assert np.all(np.diff(result.history_distance) < 0)
        assert result.history_distance[-1] < 0.05 * result.history_distance[0]


def test_going_on_equals_an_uninterrupted_run(tmp_path) -> None:
    how = {"regularization": 0.01, "momentum": 0.8}
    whole = ef.KALEFlow(Y, Gauss(0.8), **how).run(X, 30, progress=False)
    part = ef.KALEFlow(Y, Gauss(0.8), **how).run(X, 13, progress=False)
    part.save(tmp_path / "flow.npz")
    loaded = ef.FlowResult.load(tmp_path / "flow.npz")
    again = ef.KALEFlow(Y, Gauss(0.8), **how).run(loaded, 17, progress=False)
    np.testing.assert_array_equal(again.particles, whole.particles)
    assert again.state == whole.state
    with pytest.raises(ValueError, match=r"regularization = 0\.02 to resume"):
        ef.KALEFlow(Y, Gauss(0.8), regularization=0.02).run(loaded, 1, progress=False)
    with pytest.raises(ValueError, match=r"kernel = 'Gauss\(sigma=0\.9\)' to resume"):
        ef.KALEFlow(Y, Gauss(0.9), **how).run(loaded, 1, progress=False)


def test_a_state_that_is_damaged_is_refused(tmp_path) -> None:
    result = ef.KALEFlow(Y, regularization=1.0).run(X, 2, progress=False)
    for damaged in ([1.0, float("nan")], [1.0, "2"], "none"):
        result.state["carried"] = {"potential": damaged}
        result.save(tmp_path / "flow.npz")
        with pytest.raises(ValueError, match="what it carries"):
            ef.FlowResult.load(tmp_path / "flow.npz")


def test_divergence_is_told() -> None:
    flow = ef.KALEFlow(Y, regularization=1.0, step_size=1e308, momentum=0.9)
    with pytest.raises(ef.FlowDiverged) as caught:
        flow.run(X, 50, progress=False)
    assert np.isfinite(caught.value.particles).all()


def test_pairs_of_coincident_points_pull_nothing() -> None:
    x = np.zeros((2, 3))
    for kernel in (Gauss(), Laplace(), Matern()):
        pairs = kernel_pairs(kernel, x, x)
        np.testing.assert_array_equal(pairs.values, 1.0)
        np.testing.assert_allclose(pairs.gradients(np.ones(2)), 0.0, atol=1e-15)
