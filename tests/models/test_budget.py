"""Budgets: what they are written as, and what fits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energyflow.models import Budget


@given(st.integers(1, 10**6))
def test_units(k: int) -> None:
    assert Budget.of(k) == Budget.of(f"{k}s") == Budget.of(f" {k} S ") == Budget(seconds=k)
    assert Budget.of(f"{k}m").seconds == 60 * k
    assert Budget.of(f"{k}h").seconds == 3600 * k
    assert Budget.of(f"{k} steps") == Budget.of(f"{k}step") == Budget(steps=k)


def test_without_a_limit_everything_fits() -> None:
    assert Budget.of(None).allows(1e9, 10**9, 1e9, 10**9)
    assert Budget.of("0.5h").seconds == 1800


@pytest.mark.parametrize("text", ["", "ten", "-5m", "0 steps", "0s", "5 minutes ago", "nan", "1e3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="budget must be"):
        Budget.of(text)


@pytest.mark.parametrize(
    ("budget", "error"),
    [(0, ValueError), (-1.0, ValueError), (math.inf, ValueError), (True, TypeError)],
)
def test_other_numbers_are_refused(budget: float, error: type) -> None:
    with pytest.raises(error, match="budget must be"):
        Budget.of(budget)


def test_what_fits() -> None:
    assert Budget.of("10s").allows(4, 0, 5, 0)
    assert not Budget.of("10s").allows(5, 0, 5, 0)
    assert Budget.of("10 steps").allows(99, 5, 99, 5)
    assert not Budget.of("10 steps").allows(0, 6, 0, 5)
