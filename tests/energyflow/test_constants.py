"""The slicing constant: known values, simulation, and bad arguments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import energyflow as ef


@pytest.mark.parametrize(
    ("d", "value"),
    [
        (1, 1), (2, math.pi / 2), (3, 2), (5, 8 / 3),
        (10, 3.8656316), (100, 12.501848), (784, 35.081607),
    ],
)  # fmt: skip
def test_known_values(d: int, value: float) -> None:
    assert ef.slicing_constant(d) == pytest.approx(value, rel=1e-7)


@given(st.integers(1, 10**5), st.floats(0.01, 1.99))
def test_agrees_with_the_reference(d: int, r: float) -> None:
    expected = ef.reference.slicing_constant(d, r)
    assert ef.slicing_constant(d, r) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("d", [2, 7, 50])
@pytest.mark.parametrize("r", [0.3, 1.0, 1.7])
def test_simulation(d: int, r: float) -> None:
    normal = np.random.default_rng(d).normal(size=(200_000, d))
    first = np.abs(normal[:, 0] / np.linalg.norm(normal, axis=1)) ** r
    scaled = ef.slicing_constant(d, r) * first
    assert abs(scaled.mean() - 1) < 4 * scaled.std() / math.sqrt(len(scaled))
