"""Bounds of parameters, from numbers and from distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from energyflow.inverse._learned.bounds import Bounds

INF = np.inf


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        ((0, 1), [0, 0], [1, 1]),
        (([0, -INF], 2), [0, -INF], [2, 2]),
        ((np.zeros(2, np.float32), np.ones(2)), [0, 0], [1, 1]),
        (stats.uniform([1, 2], [1, 3]), [1, 2], [2, 5]),
        (([0, 1], [2, 3]), [0, 1], [2, 3]),
        ([(0, 0), (1, 2)], [0, 0], [1, 2]),  # (0, 0) is no pair
        ([(0, 1), (1, 2)], [0, 1], [1, 2]),  # the same either way
        (np.array([[0, 0], [1, 1]]), [0, 0], [1, 1]),
        (stats.norm(), [-INF, -INF], [INF, INF]),
        ([stats.expon(), stats.beta(2, 3)], [0, 0], [INF, 1]),
        ((stats.uniform(-1, 4), stats.norm()), [-1, -INF], [3, INF]),
    ],
)
def test_what_bounds_may_be(given: Any, low: list[float], high: list[float]) -> None:
    found = Bounds.of(given).of_columns(2)
    np.testing.assert_array_equal(found, (low, high))


def test_supports_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    d = torch.distributions
    low, high = torch.tensor([0.0, -2.0]), torch.tensor([1.0, 3.0])
    cat = d.constraints.cat([d.constraints.unit_interval, d.constraints.real], lengths=[2, 1])
    for given, ends in (
        (d.Uniform(low, high), (low, high)),
        (d.Independent(d.Uniform(low, high), 1), (low, high)),
        (d.MultivariateNormal(low, torch.eye(2)), ([-INF] * 2, [INF] * 2)),
        ([d.LogNormal(0.0, 1.0), d.Uniform(0.0, 2.0)], ([0, 0], [INF, 2])),
        ((low, high), (low, high)),
    ):
        np.testing.assert_array_equal(Bounds.of(given).of_columns(2), [np.asarray(e) for e in ends])

    class Together(d.Distribution):
        support = cat

    found = Bounds.of(Together(event_shape=torch.Size([3]), validate_args=False))
    np.testing.assert_array_equal(found.of_columns(3), ([0, 0, -INF], [1, 1, INF]))
    with pytest.raises(TypeError, match="on a box, got support Simplex"):
        Bounds.of(d.Dirichlet(torch.ones(3)))


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (1.5, TypeError, r"bounds must be \(low, high\).*got float"),
        ("ab", TypeError, "got str"),
        ((0, 1, 2), ValueError, "got 3 entries"),
        ((1, 1), ValueError, "low < high"),
        ((0, np.nan), ValueError, "low < high"),
        ((INF, INF), ValueError, "low < high"),
        ((-INF, -INF), ValueError, "low < high"),
        ((-1.7e308, 1.7e308), ValueError, "high - low exceeds"),
        (([0, 0], [1, 1, 1]), ValueError, "of one length"),
        ((np.zeros((2, 2)), 1), ValueError, "of one length"),
        ([(0, 1), (2, 3)], ValueError, r"for pairs write bounds=\(\[0.0, 2.0\], \[1.0, 3.0\]\), "),
        (((0, 1), (2, 3)), ValueError, r"else bounds=\(\[0.0, 1.0\], \[2.0, 3.0\]\)$"),
        (np.array([[0, 10], [-5, 5]]), ValueError, r"bounds must be \(lows, highs\)"),
        ([(0, 1), (2, 3), (4, 5)], ValueError, r"bounds must be \(low, high\).*got 3 entries"),
        ([stats.uniform(0, 1), (2, 3)], TypeError, "bounds must be distributions .*, got tuple"),
        ((0, "x"), TypeError, "bounds must be real numbers"),
    ],
)
def test_bad_bounds(given: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Bounds.of(given)


def test_bounds_of_other_parameters() -> None:
    with pytest.raises(ValueError, match="of the 2 parameters, got 3"):
        Bounds.of((np.zeros(3), 1)).of_columns(2)
