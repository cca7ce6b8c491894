"""Distance covariances and correlations: axioms, twins, dcor, gradients, and every library."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from energyflow_backends import ProjectorPair, sliced_distance_covariance
from hypothesis import given
from hypothesis import strategies as st
from strategies import pairs

import energyflow as ef
from energyflow._core.random import as_source
from energyflow._dependence.direction_pairs import DirectionPairs
from energyflow._slices.projectors import DenseProjector

EXPONENTS = (0.5, 1.0, 1.5)


def distances(x: np.ndarray, exponent: float = 1.0) -> np.ndarray:
    x = x.reshape(len(x), -1)
    return np.linalg.norm(x[:, None] - x, axis=2) ** exponent


def doubly_centred(a: np.ndarray) -> np.ndarray:
    return a - a.mean(0) - a.mean(1)[:, None] + a.mean()


def u_centred(a: np.ndarray) -> np.ndarray:
    n = len(a)
    rows = a.sum(0)
    centred = a - (rows + rows[:, None]) / (n - 2) + a.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred


def twin(x: np.ndarray, y: np.ndarray, exponent: float, estimator: str) -> float:
    n = len(x)
    a, b = distances(x, exponent), distances(y, exponent)
    if estimator == "V":
        return float((doubly_centred(a) * doubly_centred(b)).mean())
    return float((u_centred(a) * u_centred(b)).sum() / (n * (n - 3)))


@pytest.fixture
def samples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(25, 3))
    return x, x[:, :2] ** 2 + rng.normal(size=(25, 2))


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["V", "U"])
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_twin(implementation, samples, exponent, estimator) -> None:
    x, y = samples
    how = {"exponent": exponent, "estimator": estimator}
    lines = ((x[:, 0], y[:, 0]), (np.rint(x[:, :1]), np.rint(y[:, :1])))
    for u, v in ((x, y), *(lines[1:] if implementation.name == "jax" else lines), (x, x)):
        given_u, given_v = implementation.asarray(u), implementation.asarray(v)
        found = ef.distance_covariance_squared(given_u, given_v, **how)
        assert float(found) == pytest.approx(twin(u, v, **how), rel=1e-12, abs=1e-14)
        tiled = ef.distance_covariance_squared(given_u, given_v, **how, chunk_size=3)
        assert float(tiled) == pytest.approx(twin(u, v, **how), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 63, 64, 65])
def test_sizes(implementation, rng, n) -> None:
    if implementation.name == "jax" and n not in (1, 3):
        pytest.skip("JAX compiles for every size")
    x, y = rng.normal(size=(2, n))
    found = ef.distance_covariance_squared(implementation.asarray(x), implementation.asarray(y))
    assert float(found) == pytest.approx(twin(x, y, 1.0, "V"), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("estimator", ["V", "U"])
def test_slices_are_the_mean_of_lines(implementation, samples, rng, estimator) -> None:
    x, y = samples
    first, second = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    first, second = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (first, second))
    pair = ProjectorPair(DenseProjector(first), DenseProjector(second))
    for exponent in (1.0,) if implementation.name == "jax" else EXPONENTS:
        scale = ef.slicing_constant(3, exponent) * ef.slicing_constant(2, exponent)
        expected = scale * np.mean(
            [twin(x @ t, y @ u, exponent, estimator) for t, u in zip(first, second, strict=True)]
        )
        found = sliced_distance_covariance(
            implementation.asarray(x[None]), implementation.asarray(y[None]), pair,
            exponent=exponent, estimator=estimator, chunk_size=4,
        )[0]  # fmt: skip
        assert float(found[0]) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("slicing", ["iid", "orthogonal", "auto", "sobol", "distance"])
@pytest.mark.parametrize("estimator", ["V", "U"])
def test_slices_are_unbiased(rng, slicing, estimator) -> None:
    x = rng.normal(size=(40, 2))
    y = np.stack([x[:, 0] ** 2, x[:, 1]], axis=1) + 0.1 * rng.normal(size=(40, 2))
    exact = float(ef.distance_covariance_squared(x, y, estimator=estimator))
    found = [
        float(
            ef.sliced_distance_covariance_squared(
                x, y, 64, rng=seed, slicing=slicing, estimator=estimator
            )
        )
        for seed in range(60)
    ]
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / np.sqrt(60)


def test_slices_are_exact_on_the_line(rng) -> None:
    x, y = rng.normal(size=(2, 30))
    exact = ef.distance_covariance_squared(x, y)
    assert ef.sliced_distance_covariance_squared(x, y, rng=0) == exact
    assert ef.sliced_distance_correlation_squared(x, y) == ef.distance_correlation_squared(x, y)


# -- what must be true ---------------------------------------------------------------------------


@given(pairs(minimum=4), st.integers(0, 2**32 - 1))
def test_axioms(drawn, seed) -> None:
    x, z, _, _ = drawn
    y = z[np.random.default_rng(seed).integers(0, len(z), len(x))]
    value = float(ef.distance_covariance_squared(x, y))
    scale = distances(x).mean() * distances(y).mean() + 1e-300
    assert 0 <= value <= 4 * scale
    assert float(ef.distance_covariance_squared(y, x)) == pytest.approx(value, abs=1e-12 * scale)
    order = np.random.default_rng(seed).permutation(len(x))
    shuffled = float(ef.distance_covariance_squared(x[order], y[order]))
    assert shuffled == pytest.approx(value, abs=1e-12 * scale)
    assert -1e-9 <= float(ef.distance_correlation_squared(x, y)) <= 1 + 1e-9


def test_turned_moved_and_scaled_copies_correlate_fully(rng) -> None:
    x = rng.normal(size=(30, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert float(ef.distance_correlation(x, 5 - 7 * x @ turn)) == pytest.approx(1, rel=1e-12)
    assert float(ef.distance_correlation_squared(x, -x, estimator="U")) == pytest.approx(1)


def test_what_does_not_vary_correlates_with_nothing(rng) -> None:
    x, same = rng.normal(size=(10, 2)), np.ones((10, 1))
    for estimator in ("V", "U"):
        assert float(ef.distance_correlation_squared(x, same, estimator=estimator)) == 0
    assert float(ef.partial_distance_correlation(x, x, same)) == pytest.approx(1)
    assert abs(float(ef.partial_distance_correlation(x, same, x))) < 1e-12


def test_what_is_removed_is_gone(rng) -> None:
    x, y = rng.normal(size=(2, 40, 2))
    assert float(ef.partial_distance_covariance(x, y, x)) == pytest.approx(0, abs=1e-14)
    assert abs(float(ef.partial_distance_correlation(x, y, x))) < 1e-6


def test_roots(samples) -> None:
    for root, square in (
        (ef.distance_covariance, ef.distance_covariance_squared),
        (ef.distance_correlation, ef.distance_correlation_squared),
    ):
        assert float(root(*samples)) ** 2 == pytest.approx(float(square(*samples)))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_units(samples, scale, exponent) -> None:
    x, y = samples
    for u, v in ((x, y), (x[:, 0], y[:, 0])):
        expected = ef.distance_covariance_squared(u, v, exponent=exponent) * scale**exponent
        found = ef.distance_covariance_squared(u * scale, v, exponent=exponent)
        assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_the_u_estimator_is_unbiased(rng) -> None:
    x, y = rng.normal(size=(2, 3000, 8))
    found = ef.distance_covariance_squared(x[..., None], y[..., None], estimator="U")
    assert abs(float(found.mean())) < 4 * float(found.std()) / np.sqrt(3000)


# -- dcor ----------------------------------------------------------------------------------------


@pytest.mark.slow  # dcor compiles for a minute
def test_dcor_is_an_oracle() -> None:
    dcor = pytest.importorskip("dcor", reason="dcor is an oracle of these tests")
    # the examples of its docstrings
    a = np.arange(1.0, 17).reshape(4, 4)
    b = np.array([[1.0], [0], [0], [1]])
    c = np.array([[1, 3, 4], [5, 6, 8], [25, 62, 73], [444, 20, 2]], dtype=float)
    cases = [(a, a, c), (a, b, c), (b, b, c)]
    rng = np.random.default_rng(0)
    for k in range(50):
        n, d, e = rng.integers(5, 60), *((1, 1) if k % 3 == 0 else rng.integers(1, 4, 2))
        x = rng.normal(size=(n, d))
        x = np.rint(2 * x) if k % 5 == 0 else x
        y = rng.normal(size=(n, e)) + (k % 2) * x[:, :1]
        cases.append((x, y, rng.normal(size=(n, 2)) + x[:, :1]))
    u = {"estimator": "U"}
    for k, (x, y, z) in enumerate(cases):
        exponent = EXPONENTS[k % 3] if k > 2 else 1.0
        how = {"exponent": exponent}
        for found, theirs in [
            (ef.distance_covariance(x, y, **how), dcor.distance_covariance(x, y, **how)),
            (
                ef.distance_covariance_squared(x, y, **how),
                dcor.distance_covariance_sqr(x, y, **how),
            ),
            (ef.distance_correlation(x, y, **how), dcor.distance_correlation(x, y, **how)),
            (
                ef.distance_correlation_squared(x, y, **how),
                dcor.distance_correlation_sqr(x, y, **how),
            ),
            (
                ef.distance_covariance_squared(x, y, **how, **u),
                dcor.u_distance_covariance_sqr(x, y, **how),
            ),
            (
                ef.distance_correlation_squared(x, y, **how, **u),
                dcor.u_distance_correlation_sqr(x, y, **how),
            ),
        ]:
            assert float(found) == pytest.approx(float(theirs), rel=1e-12, abs=1e-12)
        if k > 2:  # of four points, rounding decides
            for mine, theirs in (
                (ef.partial_distance_covariance, dcor.partial_distance_covariance),
                (ef.partial_distance_correlation, dcor.partial_distance_correlation),
            ):
                expected = float(theirs(x, y, z))
                assert float(mine(x, y, z)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


# -- libraries, batches and gradients ------------------------------------------------------------


def test_every_library(xp, samples) -> None:
    x, y = samples
    z = x[:, :1] + y[:, :1]
    for function, arrays in [
        (ef.distance_covariance_squared, (x, y)),
        (ef.distance_covariance_squared, (x[:, 0], y[:, 0])),
        (ef.distance_correlation, (x, y)),
        (lambda *v: ef.sliced_distance_correlation_squared(*v, 8, rng=0), (x, y)),
        (lambda *v: ef.sliced_distance_covariance_squared(*v, 8, rng=0, exponent=1.5), (x, y)),
        (ef.partial_distance_correlation, (x, y, z)),
    ]:
        found = function(*(xp.asarray(v) for v in arrays))
        assert type(found) is type(xp.asarray(np.float64(0))) or found.ndim == 0
        assert found.shape == ()
        assert float(found) == pytest.approx(float(function(*arrays)), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_dtype_comes_back(samples, dtype) -> None:
    x, y = (v.astype(dtype) for v in samples)
    assert ef.distance_covariance_squared(x, y).dtype == dtype
    assert ef.sliced_distance_correlation_squared(x, y, rng=0).dtype == dtype


def test_batches(rng) -> None:
    x, y = rng.normal(size=(2, 1, 9, 2)), rng.normal(size=(3, 9, 1))
    found = ef.distance_correlation_squared(x, y)
    assert found.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            expected = ef.distance_correlation_squared(x[i, 0], y[j])
            assert found[i, j] == pytest.approx(expected, rel=1e-12)


LOSSES = [
    lambda x, y: ef.distance_covariance_squared(x, y),
    lambda x, y: ef.distance_covariance_squared(x, y, exponent=1.5, estimator="U"),
    lambda x, y: ef.distance_covariance_squared(x[:, :1], y[:, 0]),
    lambda x, y: ef.distance_correlation_squared(x, y, estimator="U"),
    lambda x, y: ef.sliced_distance_correlation_squared(x, y, 7, rng=0),
    lambda x, y: ef.sliced_distance_covariance_squared(x, y, 7, rng=0, estimator="U"),
    lambda x, y: ef.partial_distance_correlation(x, y, x[:, :1] * 2),
]


def by_differences(loss, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    slopes = [np.zeros_like(x), np.zeros_like(y)]
    for place, slope in enumerate(slopes):
        for index in np.ndindex(slope.shape):
            ends = []
            for step in (1e-6, -1e-6):
                points = [x.copy(), y.copy()]
                points[place][index] += step
                ends.append(float(loss(*points)))
            slope[index] = (ends[0] - ends[1]) / 2e-6
    return slopes


@pytest.mark.parametrize("number", range(len(LOSSES)))
def test_gradients(rng, number) -> None:
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    loss = LOSSES[number]
    expected = by_differences(loss, x, y)
    if importlib.util.find_spec("torch"):
        import torch

        for backend in ("numba", "torch"):
            given_x, given_y = (torch.tensor(v, requires_grad=True) for v in (x, y))
            with ef.use_backend(backend):
                loss(given_x, given_y).backward()
            for found, slope in zip((given_x.grad, given_y.grad), expected, strict=True):
                np.testing.assert_allclose(found, slope, atol=1e-8)
    if importlib.util.find_spec("jax"):
        import jax

        for found in (
            jax.grad(loss, argnums=(0, 1))(jax.numpy.asarray(x), jax.numpy.asarray(y)),
            jax.jit(jax.grad(loss, argnums=(0, 1)))(jax.numpy.asarray(x), jax.numpy.asarray(y)),
        ):
            for mine, slope in zip(found, expected, strict=True):
                np.testing.assert_allclose(mine, slope, atol=1e-8)


def test_ties_have_no_slope(implementation) -> None:
    if implementation.name not in ("torch", "jax"):
        pytest.skip("gradients are for torch and JAX")
    x = np.array([0.0, 1.0, 1.0, 1.0, 2.0, 5.0])
    y = np.array([1.0, 3.0, 3.0, 0.0, 2.0, 2.0])
    b = doubly_centred(distances(y))
    expected = 2 / 36 * (b * np.sign(x[:, None] - x)).sum(1)
    if implementation.name == "torch":
        import torch

        given_x = torch.tensor(x, requires_grad=True)
        ef.distance_covariance_squared(given_x, torch.tensor(y)).backward()
        found = given_x.grad
    else:
        import jax

        slope = jax.jit(jax.grad(ef.distance_covariance_squared))
        found = slope(jax.numpy.asarray(x), jax.numpy.asarray(y))
    np.testing.assert_allclose(found, expected, atol=1e-14)


# -- how it says no ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": "12"}, TypeError, "x must be an array"),
        ({"y": np.ones((4, 1))}, ValueError, "as many points, got 5 and 4"),
        ({"x": np.ones((5, 2), complex)}, TypeError, "floating dtype"),
        ({"x": np.full((5, 2), np.nan)}, ValueError, "x must be finite, got 10 NaN"),
        ({"y": np.full(5, np.inf)}, ValueError, "y must be finite, got 5 NaN"),
        ({"x": np.ones((2, 5, 1)), "y": np.ones((3, 5, 1))}, ValueError, "batch dimensions"),
        ({"exponent": 2}, ValueError, "exponent must lie"),
        ({"estimator": "W"}, ValueError, "estimator must be one of"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1"),
        (
            {"x": np.ones(3), "y": np.ones(3), "estimator": "U"},
            ValueError,
            "at least 4 points for estimator 'U', got 3",
        ),
    ],
)
def test_bad_input(change, error, message) -> None:
    arguments = {"x": np.arange(10.0).reshape(5, 2), "y": np.arange(5.0), **change}
    with pytest.raises(error, match=message):
        ef.distance_covariance_squared(**arguments)
    with pytest.raises(error, match=message):
        ef.sliced_distance_covariance_squared(**arguments)


def test_bad_slices(samples) -> None:
    for change, message in [
        ({"slicing": "hadamard"}, "slicing must be one of"),
        ({"n_projections": 0}, "n_projections must be at least 1"),
        ({"rng": -1}, "rng must be a non-negative seed"),
    ]:
        with pytest.raises(ValueError, match=message):
            ef.sliced_distance_covariance_squared(*samples, **change)


# -- pairs of directions --------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "e"), [(2, 2), (3, 2), (4, 6), (5, 3)])
def test_axes_of_frames_meet_once(d, e) -> None:
    pair = DirectionPairs(as_source(0), 2 * d * e, "auto").projectors(d, e)
    u, v = pair.first.directions, pair.second.directions
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1)
    for part in (slice(0, d * e), slice(d * e, None)):
        outer = (u[part, :, None] * v[part, None, :]).reshape(d * e, d * e)
        np.testing.assert_allclose(outer @ outer.T, np.eye(d * e), atol=1e-12)  # a basis
    axes = u[: min(d, e)]
    np.testing.assert_allclose(axes @ axes.T, np.eye(len(axes)), atol=1e-12)  # taken evenly


def test_pairs_of_axes_have_less_error(rng) -> None:
    x = rng.normal(size=(100, 3))
    y = x + 0.5 * rng.normal(size=(100, 3))
    truth = float(ef.distance_covariance_squared(x, y))

    def error(slicing):
        values = [
            float(ef.sliced_distance_covariance_squared(x, y, 36, slicing=slicing, rng=k))
            for k in range(20)
        ]
        return np.sqrt(np.mean((np.array(values) - truth) ** 2))

    assert error("auto") < 0.5 * error("iid")
