"""From one dimension to a hundred thousand, and counts that fill small integers."""

import tracemalloc

import numpy as np
import oracle
import pytest
from energyflow_backends.sums.sorted_rows import cdf_difference

import energyflow as ef
from energyflow import reference

DIMENSIONS = [1, 2, 10, 343, 1000, 30_000, 100_000]


@pytest.mark.parametrize("d", [*DIMENSIONS, 99, 100, 10**12])
@pytest.mark.parametrize("exponent", [1e-12, 0.5, 1.0, 1.5, 2 - 1e-12])
def test_slicing_constant(d: int, exponent: float) -> None:
    pytest.importorskip("mpmath", reason="mpmath is not installed")
    expected = oracle.constant(d, exponent)
    assert oracle.error(ef.slicing_constant(d, exponent), expected) <= 2e-15


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("method", ["iid", "orthogonal", "sobol"])
def test_directions_have_length_one(method: str, d: int) -> None:
    if method == "sobol" and d > 21201:
        with pytest.raises(ValueError, match="1 to 21201 dimensions"):
            ef.sample_projections(5, d, method=method, rng=0)
        return
    theta = ef.sample_projections(5, d, method=method, rng=0)
    assert theta.shape == (5, d)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize(("d", "spread"), [(2, 0.48), (3, 0.58), (10, 0.70), (1000, 0.756)])
def test_the_error_of_independent_slices(d: int, spread: float) -> None:
    """Of one norm: the variance of c |<t, z>| is c^2 / d - 1."""
    theta = ef.sample_projections(20_000, d, method="iid", rng=0)
    lengths = ef.slicing_constant(d) * np.abs(theta[:, 0])
    assert lengths.std() == pytest.approx(np.sqrt(ef.slicing_constant(d) ** 2 / d - 1), rel=0.02)
    assert lengths.std() == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize("d", [1000, 100_000])
@pytest.mark.parametrize("slicing", ["orthogonal", "hadamard"])
def test_a_hundred_thousand_dimensions(implementation, slicing: str, d: int) -> None:
    if implementation.backend == "array-api" and slicing == "hadamard":
        pytest.skip("strict arrays are slow")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, d)), rng.normal(size=(6, d)) + 0.1
    u, v = map(implementation.asarray, (x, y))
    how = {"n_projections": 4, "slicing": slicing, "rng": 0}
    value, gradient = ef.sliced_energy_value_and_gradient(u, v, **how)
    if slicing == "orthogonal":
        theta = ef.sample_projections(4, d, method=slicing, rng=0)
        expected = reference.sliced_energy_distance(x, y, projections=theta)
        slope = reference.sliced_energy_gradient(x, y, projections=theta)
    else:
        with ef.use_backend("numpy"):
            expected, slope = ef.sliced_energy_value_and_gradient(x, y, **how)
    assert float(value) == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(
        implementation.to_numpy(gradient), slope, atol=1e-12 * np.abs(slope).max()
    )


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_memory_in_a_hundred_thousand_dimensions(backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="numba is an extra")
    d, rng = 100_000, np.random.default_rng(0)
    x, y = rng.normal(size=(10, d)), rng.normal(size=(10, d))
    with ef.use_backend(backend):
        ef.sliced_energy_gradient(x[:2, :9], y[:2, :9], n_projections=2, rng=0)  # compile first
        tracemalloc.start()
        ef.sliced_energy_gradient(x, y, n_projections=64, slicing="iid", rng=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # directions in blocks of 64, drawn and normalised, and a few arrays like the points
    assert peak <= 64 * 2**20 + 8 * (4 * 64 * d + 6 * x.size)


@pytest.mark.parametrize("whole", ["int32", "int64"])
def test_counts_of_ten_million_points(whole: str) -> None:
    """N M leaves 32 bits, where a device has no more: then A and B are divided before."""
    n = m = 10_000_000
    above_a, above_b = (np.asarray([v], dtype=whole) for v in ([1, n - 1, n], [0, 2, m]))
    difference = cdf_difference(above_a, above_b, n, m, None, None)
    np.testing.assert_allclose(difference, [[1e-7, 1 - 3e-7, 0]], rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("n", [50_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_ten_million_points(n: int, backend: str, dtype: str) -> None:
    """Points at 0, 1, ... and halfway between them: A - B is 1 / N on half of the line.

    From 50 000 on, products of two counts leave 32 bits.
    """
    if backend == "numba":
        pytest.importorskip("numba", reason="numba is an extra")
    x = np.arange(n, dtype=dtype)[:, None]  # whole numbers to 2^24, halves to 2^23, in float32
    y = x[: n // 2] + np.asarray(0.5, dtype) if dtype == "float32" else x + 0.5
    with ef.use_backend(backend):
        value, gradient = ef.sliced_energy_value_and_gradient(x, y)
    m = len(y)
    above = np.arange(1.0, n + 1) / n, np.minimum(np.arange(1.0, n + 1), m) / m
    before = above[0], np.minimum(np.arange(n), m) / m  # up to x_i, y below x_i
    expected = np.sum((before[0] - before[1]) ** 2) + np.sum((above[0] - above[1]) ** 2)
    assert float(value) == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-9, abs=0)
    slope = 2 / n * (2 * before[1] - (2 * np.arange(n) + 1) / n)
    np.testing.assert_allclose(gradient[:, 0], slope, atol=1e-5 / n)


@pytest.mark.parametrize("exponent", [0.5, 1.5])
def test_the_tree_has_the_digits_of_sums_over_pairs(exponent: float) -> None:
    """On the line, where one slice is exact; differences of near points are so in float64."""
    pytest.importorskip("numba", reason="numba is an extra")
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(3000, 1)), rng.normal(size=(2000, 1)) + 0.5

    def pull(other: np.ndarray) -> np.ndarray:
        away = x - other.T  # (N, M)
        far = np.where(away == 0, 1, np.abs(away))
        return 2 * exponent * np.mean(np.sign(away) * far ** (exponent - 1), axis=1) / len(x)

    expected = pull(y) - pull(x)
    with ef.use_backend("numba"):
        found = ef.sliced_energy_gradient(x, y, exponent=exponent)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
