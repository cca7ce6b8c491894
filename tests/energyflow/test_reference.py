"""The oracle itself: against SciPy, by finite differences, and on cases done by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import pairs

from energyflow import reference


def test_by_hand() -> None:
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0]])
    assert reference.energy_distance(x, y) == pytest.approx(2 * 1 - 1)
    assert reference.energy_distance(x, y, exponent=0.5) == pytest.approx(2 - np.sqrt(2) / 2)
    assert reference.energy_gradient(x, y).ravel() == pytest.approx([-0.5, 0.5])


@given(pairs(weighted=True))
def test_scipy_in_one_dimension(drawn: tuple) -> None:
    x, y, a, b = drawn
    x, y = x[:, :1], y[:, :1]
    theirs = stats.energy_distance(x.ravel(), y.ravel(), a, b) ** 2
    assert reference.energy_distance(x, y, a, b) == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("estimator", ["V", "U"])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("wrt", ["x", "y"])
def test_gradients_by_finite_differences(estimator: str, exponent: float, wrt: str) -> None:
    rng = np.random.default_rng(0)
    sets = {"x": rng.normal(size=(6, 3)), "y": rng.normal(size=(5, 3))}
    a, b = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(5))
    theta = rng.normal(size=(4, 3))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    how = {"exponent": exponent, "estimator": estimator}
    cases = [
        (reference.energy_distance, reference.energy_gradient, {}),
        (
            reference.sliced_energy_distance,
            reference.sliced_energy_gradient,
            {"projections": theta},
        ),
    ]
    for distance, gradient, more in cases:
        closed = gradient(sets["x"], sets["y"], a, b, wrt=wrt, **how, **more)
        for index in np.ndindex(closed.shape):
            values = []
            for step in (1e-6, -1e-6):
                moved = {name: v.copy() for name, v in sets.items()}
                moved[wrt][index] += step
                values.append(distance(moved["x"], moved["y"], a, b, **how, **more))
            assert closed[index] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


@given(pairs(weighted=True), st.sampled_from([0.5, 1.0, 1.5]))
def test_one_direction_on_the_line_is_exact(drawn: tuple, exponent: float) -> None:
    x, y, a, b = drawn
    x, y = x[:, :1], y[:, :1]
    one = np.ones((1, 1))
    sliced = reference.sliced_energy_distance(x, y, a, b, projections=one, exponent=exponent)
    exact = reference.energy_distance(x, y, a, b, exponent=exponent)
    assert sliced == pytest.approx(exact, abs=1e-9)
