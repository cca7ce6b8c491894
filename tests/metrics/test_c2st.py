"""The classifier two-sample test finds what the best classifier would."""

import numpy as np
import pytest
from scipy.special import ndtr

from energyflow.metrics import c2st

pytest.importorskip("sklearn", reason="the perceptron is scikit-learn's")


def normal(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift * np.eye(d)[0]


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0, 20.0])
def test_shifted_gaussians_are_told_apart_as_well_as_can_be(shift: float) -> None:
    """The accuracy of the best classifier is Phi(shift / 2)."""
    found = c2st(normal(500, 2, 0, shift), normal(500, 2, 1))
    assert found == pytest.approx(ndtr(shift / 2), abs=0.05)


def test_units_do_not_matter() -> None:
    x, y = normal(200, 2, 0, 1.0), normal(200, 2, 1)
    units = np.array([1e-6, 1e6])
    assert c2st(units * x + 3, units * y + 3) == pytest.approx(c2st(x, y), abs=0.02)


def test_it_is_a_function_of_the_seed() -> None:
    x, y = normal(100, 2, 0, 1.0), normal(100, 2, 1)
    assert c2st(x, y, rng=3) == c2st(x, y, rng=3) != c2st(x, y, rng=4)
    assert c2st(x, y, rng=2**40 + 3) == c2st(x, y, rng=3)  # scikit-learn's seeds are below 2^32


def test_a_number_that_never_changes_does_no_harm() -> None:
    x, y = (np.pad(normal(200, 1, k), ((0, 0), (0, 1))) for k in range(2))
    assert c2st(x, y) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("samples", "rng", "message"),
    [
        (np.zeros((9, 3)), 0, "samples and reference must have one dimension, got 3 and 2"),
        (np.zeros((4, 2)), 0, "samples must have at least 5 points, got 4"),
        (np.full((9, 2), np.nan), 0, "samples must be finite"),
        (np.zeros((9, 2)), -1, "rng must be a non-negative seed, got -1"),
    ],
)
def test_bad_input(samples: np.ndarray, rng: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        c2st(samples, np.ones((9, 2)), rng=rng)
