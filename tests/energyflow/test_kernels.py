"""Kernels as objects: their values and slopes, their slices, and what they refuse."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from energyflow_backends import LineKernel
from energyflow_backends.libraries.numpy import NumpyBackend
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import hyp1f1, roots_legendre

import energyflow as ef
from energyflow.kernels import (
    Energy,
    Gauss,
    Laplace,
    Linear,
    Matern,
    RadialKernel,
    Riesz,
    SmoothKernel,
    as_kernel,
)
from energyflow.kernels._spectra import line_kernel

RADIAL = [
    Energy(), Riesz(0.5), Riesz(1.5), Gauss(0.7), Laplace(1.3),
    Matern(0.5, 0.8), Matern(1.5, 0.8), Matern(2.5, 2.0), Matern(4.5, 1.1),
]  # fmt: skip
SMOOTH = [k for k in RADIAL if isinstance(k, SmoothKernel)]


def slices(line: LineKernel, u: np.ndarray, *, derivative: bool = False) -> np.ndarray:
    """f(u), from the sum over a single point at 0."""
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    how = {"derivative": derivative, "tolerance": 1e-10}
    return NumpyBackend().line_sums(line, u[None, :], zero, one, **how)[0]


@pytest.mark.parametrize("kernel", RADIAL, ids=str)
def test_values_and_slopes(kernel: RadialKernel) -> None:
    s = np.array([1e-3, 0.1, 0.5, 1.0, 2.0, 7.0])
    expected = ef.reference.kernel_sum(s[:, None], np.zeros((1, 1)), kernel=kernel)
    np.testing.assert_allclose(kernel.value(s), expected, rtol=1e-12)
    h = 1e-5 * s
    differences = (kernel.value(s + h) - kernel.value(s - h)) / (2 * h)
    np.testing.assert_allclose(kernel.slope(s), differences, rtol=1e-5, atol=1e-7)


@given(st.floats(0.05, 20), st.floats(0, 30))
def test_special_cases_of_matern(length: float, s: float) -> None:
    at = np.asarray(s)
    laplace = Laplace(length)
    np.testing.assert_allclose(Matern(0.5, length).value(at), laplace.value(at), rtol=1e-12)
    np.testing.assert_allclose(Matern(0.5, length).slope(at), laplace.slope(at), rtol=1e-12)
    t = 3**0.5 * s / length
    np.testing.assert_allclose(Matern(1.5, length).value(at), (1 + t) * np.exp(-t), rtol=1e-12)
    near = Matern(80.5, length).value(np.minimum(at, 3 * length))
    assert abs(near - Gauss(length).value(np.minimum(at, 3 * length))) < 0.01


@pytest.mark.parametrize("nu", [0.5, 1.5, 10.5, 150.5])
def test_matern_at_any_distance(nu: float) -> None:
    """Against Bessel functions as far as they are not zero, and zero beyond."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed")
    kernel, rate = Matern(nu), mpmath.sqrt(2 * nu)
    scale = 2 / (mpmath.gamma(nu) * mpmath.mpf(2) ** nu)
    for s in (1e-300, 1e-3, 1.0, 10.0, 30.0):
        t = rate * s
        value = scale * t**nu * mpmath.besselk(nu, t)
        slope = -rate * scale * t**nu * mpmath.besselk(nu - 1, t)
        assert kernel.value(np.asarray(s)) == pytest.approx(float(value), rel=1e-11)
        assert kernel.slope(np.asarray(s)) == pytest.approx(float(slope), rel=1e-11)
    far = np.array([1e4, 1e100, 1e200, 1.7e308])
    with np.errstate(over="ignore", under="ignore"):
        assert not kernel.value(far).any()
        assert not kernel.slope(far).any()
    x = np.array([[0.0], [1e200], [3.0]])
    sums = 3 * ef.kernel_sum(x, x, kernel=kernel, method="direct")
    np.testing.assert_allclose(sums, [1 + kernel.value(np.asarray(3.0)), 1.0, sums[0]])


@pytest.mark.parametrize("d", [1, 2, 3, 10, 784])
def test_slices_of_gauss_are_confluent_hypergeometric(d: int) -> None:
    u = np.linspace(-4, 4, 41)
    line = line_kernel(Gauss(1.5).spectrum(d), 4.0, tolerance=1e-8, derivative=False)
    expected = hyp1f1(d / 2, 0.5, -((u / 1.5) ** 2) / 2) if d < 100 else None
    if expected is not None:
        np.testing.assert_allclose(slices(line, u), expected, atol=1e-8)
    assert np.max(np.abs(slices(line, u))) <= 1 + 1e-8


def test_slices_of_laplace_in_three_dimensions() -> None:
    u = np.linspace(-9, 9, 61)
    f, slope = ((1 - np.abs(u)) * np.exp(-np.abs(u)), (np.abs(u) - 2) * np.exp(-np.abs(u)))
    for derivative, expected in ((False, f), (True, np.sign(u) * slope)):
        line = line_kernel(Laplace().spectrum(3), 9.0, tolerance=1e-5, derivative=derivative)
        found = slices(line, u, derivative=derivative)
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("d", [2, 3, 4, 10, 50])
@pytest.mark.parametrize("kernel", [*SMOOTH, Matern(1.2, 0.9)], ids=str)
def test_mean_of_slices_over_the_sphere_is_the_kernel(
    kernel: SmoothKernel, d: int, derivative: bool
) -> None:
    tolerance = 1e-3 if kernel == Matern(1.2, 0.9) else 1e-5
    if derivative and kernel in (Matern(1.2, 0.9), Matern(1.5, 0.8)):
        tolerance = 1e-2
    line = line_kernel(kernel.spectrum(d), 4.0, tolerance=tolerance, derivative=derivative)
    # the angle between a uniform direction and a line has the density sin^(d - 2)
    nodes, weights = roots_legendre(200)
    angle = np.pi / 4 * (1 + nodes)
    t, weights = np.cos(angle), weights * np.sin(angle) ** (d - 2)
    for s in (0.1, 1.0, 3.0):
        found = slices(line, s * t, derivative=derivative) * (t if derivative else 1.0)
        mean = found @ weights / np.sum(weights)
        if derivative:
            h, scale = 1e-4, 5 * d**0.5
            ends = ef.reference.kernel_sum([[s + h], [s - h]], [[0.0]], kernel=kernel)
            expected = (ends[0] - ends[1]) / (2 * h)
        else:
            scale, expected = 1.0, ef.reference.kernel_sum([[s]], [[0.0]], kernel=kernel)[0]
        assert abs(mean - expected) < 2 * tolerance * scale


def test_one_dimension_needs_no_slicing() -> None:
    u = np.linspace(0, 6, 31)
    for kernel in (*SMOOTH, Matern(1.2, 0.9)):
        line = line_kernel(kernel.spectrum(1), 6.0, tolerance=1e-4, derivative=False)
        expected = ef.reference.kernel_sum(u[:, None], [[0.0]], kernel=kernel)
        np.testing.assert_allclose(slices(line, u), expected, atol=1e-4)


def test_names() -> None:
    assert as_kernel("energy") == Energy()
    assert as_kernel("riesz") == Riesz(1.0)
    assert as_kernel("gauss") == Gauss(1.0)
    assert as_kernel("laplace") == Laplace(1.0)
    assert as_kernel("matern") == Matern(1.5, 1.0)
    assert as_kernel("linear") == Linear()
    assert as_kernel(Gauss(3.0)) == Gauss(3.0)
    assert set(ef.kernels.__all__) <= set(vars(ef.kernels))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Riesz(2.0), ValueError, "exponent must lie strictly between 0 and 2"),
        (lambda: Gauss(0), ValueError, "sigma must be positive and finite, got 0"),
        (lambda: Gauss("1"), TypeError, "sigma must be a number, got str"),
        (lambda: Laplace(-1.0), ValueError, "beta must be positive and finite, got -1.0"),
        (lambda: Laplace(alpha=2.0), TypeError, "alpha is now beta = 1 / alpha, .* alpha=2.0"),
        (lambda: Matern(0.0), ValueError, "nu must be positive and finite, got 0.0"),
        (lambda: Matern(1.5, float("inf")), ValueError, "beta must be positive and finite"),
        (lambda: Matern(1.5, True), TypeError, "beta must be a number, got bool"),
        (lambda: as_kernel("cosine"), ValueError, "kernel must be one of energy, .* 'cosine'"),
        (lambda: as_kernel(3), TypeError, "kernel must be a name or an object .* got int"),
        (lambda: as_kernel(Gauss), TypeError, "kernel must be .* got the class Gauss"),
        (lambda: Matern(1.2).value(np.ones(2)), ValueError, r"nu = 1/2, 3/2, .* got 1\.2"),
    ],
)
def test_faults(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_the_former_name_of_a_length_gives_its_inverse() -> None:
    assert Laplace(0.5).alpha == 2.0
    assert Laplace(0.5) == Laplace(beta=0.5) != Laplace(2.0)
    assert repr(Laplace(0.5)) == "Laplace(beta=0.5)"
    assert replace(Laplace(0.5), beta=4.0).alpha == 0.25


def test_too_many_frequencies() -> None:
    for spectrum, extent in ((Gauss(1e-4).spectrum(3), 10.0), (Matern(0.3).spectrum(3), 1.0)):
        with pytest.raises(ValueError, match="kernel must need at most 32768 frequencies, got"):
            line_kernel(spectrum, extent, tolerance=1e-4, derivative=False)
    with pytest.raises(ValueError, match="got inf for projected points up to 1 apart"):
        line_kernel(Matern(0.4).spectrum(3), 1.0, tolerance=1e-4, derivative=True)


@pytest.mark.parametrize("name", ["gauss", "laplace", "matern"])
def test_named_kernels_warn_of_a_length_that_is_not_the_points(rng, name) -> None:
    x, y = rng.normal(size=(2, 20, 3))
    ef.mmd_squared(x, y, kernel=name)  # no warning, which would be an error
    for unit in (100.0, 0.01):
        points = {"x": unit * x, "y": unit * y}
        for call in (ef.mmd_squared, partial(ef.kernel_sum, method="direct")):
            with pytest.warns(UserWarning, match=rf"'{name}' has the length 1, where points lie"):
                call(**points, kernel=name)
        with pytest.warns(UserWarning, match="has the length 1"):
            ef.MMDFlow(unit * y, name)
        with pytest.warns(UserWarning, match="has the length 1"):
            ef.KALEFlow(unit * y, name, regularization=0.1)
    ef.mmd_squared(100 * x, 100 * y, kernel="energy")  # has no length
    ef.mmd_squared(100 * x, 100 * y, kernel=ef.kernels.Gauss(1.0))  # is meant
