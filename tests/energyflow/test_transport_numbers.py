"""Transport between points of any scale and dtype, and conditions of any weight."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import energyflow as ef

distance = ef.conditional_wasserstein_distance
SEEDS = st.integers(0, 10**6)


def clusters(seed: int, spread: float, n: int = 30, d: int = 2) -> tuple[np.ndarray, ...]:
    """Two sets, in float32, around the same three centres so far from each other."""
    rng = np.random.default_rng(seed)
    centres = spread * rng.normal(size=(3, d))[np.arange(n) % 3]
    return tuple((centres + rng.normal(size=(n, d))).astype(np.float32) for _ in range(2))


def cost(x: np.ndarray, z: np.ndarray, columns: np.ndarray, p: float) -> float:
    """Of a permutation, in float64."""
    away = x.astype(np.float64) - z.astype(np.float64)[columns]
    return float(np.mean(np.linalg.norm(away, axis=1) ** p))


def least(x: np.ndarray, z: np.ndarray, p: float) -> float:
    """Of all permutations, from differences in float64."""
    away = x.astype(np.float64)[:, None] - z.astype(np.float64)[None]
    every = np.linalg.norm(away, axis=2) ** p
    rows, columns = linear_sum_assignment(every)
    return float(every[rows, columns].mean())


@given(SEEDS, st.sampled_from([1.0, 3.0, 1e3, 3e4, 1e5]), st.sampled_from([1.0, 2.0]))
def test_plans_of_float32_are_the_best_of_float64(seed: int, spread: float, p: float) -> None:
    x, z = clusters(seed, spread)
    columns = np.asarray(ef.conditional_coupling(x, None, z, None, p=p, beta=0).columns)
    assert cost(x, z, columns, p) == pytest.approx(least(x, z, p), rel=1e-5)


@given(SEEDS, st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.0, 2.0, math.inf]))
def test_no_scale_is_too_large_or_too_small(seed: int, p: float, beta: float) -> None:
    """Powers of two change no bit of a plan, nor of a distance but its exponent."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, 12, 2))
    y, other = (rng.permutation(np.repeat(np.arange(3.0), 4))[:, None] for _ in range(2))
    value, plan = distance(x, y, z, other, p=p, beta=beta, return_coupling=True)
    for k in (-900, -60, 60, 1000):
        scaled, same = distance(
            np.ldexp(x, k), y, np.ldexp(z, k), other,
            p=p, beta=math.ldexp(beta, k), return_coupling=True,
        )  # fmt: skip
        np.testing.assert_array_equal(same.columns, plan.columns)
        assert scaled == np.ldexp(value, k)


@given(SEEDS, st.sampled_from([1e-30, 1e20, 1e30]), st.sampled_from([1.0, 2.0, 20.0]))
def test_powers_beyond_the_range_of_float32(seed: int, scale: float, p: float) -> None:
    x, z = (v * np.float32(scale) for v in clusters(seed, 1.0))
    value, coupling = distance(x, None, z, None, p=p, beta=0, return_coupling=True)
    u, v = (w.astype(np.float64) / scale for w in (x, z))
    assert cost(u, v, coupling.columns, p) == pytest.approx(least(u, v, p), rel=1e-5)
    assert value.dtype == np.float32
    assert float(value) / scale == pytest.approx(least(u, v, p) ** (1 / p), rel=1e-5)


def test_what_cannot_be_represented_is_refused() -> None:
    far = np.full((2, 1), 3e38, np.float32)
    with pytest.raises(ValueError, match="distance to be finite in float32"):
        distance(far, None, -far, None, beta=0)
    y = np.array([[0.0], [1e200]])
    with pytest.raises(ValueError, match="distance to be finite in float64, got inf"):
        distance(y, y, y, y + 1e200, beta=1e200)


@pytest.mark.parametrize("beta", [1e9, 1e15, 1e200])
@given(seed=SEEDS, p=st.sampled_from([1.0, 2.0, 3.0]), dtype=st.sampled_from(["f4", "f8"]))
def test_a_huge_beta_is_the_limit(beta: float, seed: int, p: float, dtype: str) -> None:
    """Of equal conditions alone, as infinity; the points still choose among those."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, 12, 2)).astype(dtype)
    y, other = (rng.permutation(np.repeat(np.arange(3.0), 4))[:, None] for _ in range(2))
    found = ef.conditional_coupling(x, y, z, other, p=p, beta=beta)
    limit = ef.conditional_coupling(x, y, z, other, p=p)
    np.testing.assert_array_equal(found.columns, limit.columns)
    near = distance(x, y, z, other, p=p, beta=beta)
    assert near == pytest.approx(distance(x, y, z, other, p=p), rel=1e-6)


@pytest.mark.parametrize("beta", [1e9, 1e200])
@given(seed=SEEDS)
def test_a_huge_beta_leaves_room_for_the_points(beta: float, seed: int) -> None:
    """Conditions that are all moved by a quarter cost as much in every plan that keeps them."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, 12, 2))
    y, other = (rng.permutation(np.repeat(np.arange(3.0), 4))[:, None] for _ in range(2))
    columns = ef.conditional_coupling(x, y, z, other + 0.25, beta=beta).columns
    limit = ef.conditional_coupling(x, y, z, other).columns
    np.testing.assert_array_equal(y, other[columns])
    assert cost(x, z, columns, 2) == pytest.approx(cost(x, z, limit, 2), rel=0.02)


def test_a_huge_beta_where_points_do_not_differ(rng: np.random.Generator) -> None:
    """Then conditions alone are transported: on the line, in their order."""
    x, y, other = np.zeros((9, 2)), *rng.normal(size=(2, 9, 1))
    columns = ef.conditional_coupling(x, y, x, other, beta=1e200).columns
    np.testing.assert_array_equal(np.argsort(y[:, 0]), np.argsort(other[columns, 0]))


def test_conditions_are_equal_as_numbers(rng: np.random.Generator) -> None:
    x, z = rng.normal(size=(2, 8, 2))
    y = np.repeat([[0.5], [-3.0]], 4, axis=0)
    narrow = ef.conditional_coupling(x, y.astype(np.float32), z, y)
    np.testing.assert_array_equal(narrow.columns, ef.conditional_coupling(x, y, z, y).columns)
    with pytest.raises(ValueError, match="each condition the same mass"):
        ef.conditional_coupling(x, (y / 5).astype(np.float32), z, y / 5)


def test_sinkhorn_says_when_it_has_not_converged(xp) -> None:
    pytest.importorskip("ot", reason="POT is an extra")
    x, z = (xp.asarray(v) for v in clusters(0, 3.0))
    how = {"beta": 0, "method": "sinkhorn"}
    with pytest.warns(
        RuntimeWarning, match=r"'sinkhorn' has not converged in 1000 iterations"
    ) as caught:
        plan = ef.conditional_coupling(x, None, z, None, **how, regularization=1e-3).plan
    assert caught[0].filename == __file__
    np.testing.assert_allclose(xp.to_numpy(plan).sum(0), 1 / 30, rtol=1e-5)  # as well as it is
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ef.conditional_coupling(x, None, z, None, **how)
    with pytest.raises(ValueError, match="regularization must not vanish beside the costs"):
        ef.conditional_coupling(x, None, z, None, **how, regularization=1e-320)


@given(SEEDS, st.sampled_from([-300, -20, 20, 300]))
def test_entropy_has_the_unit_of_the_cost(seed: int, k: int) -> None:
    pytest.importorskip("ot", reason="POT is an extra")
    x, z = np.random.default_rng(seed).normal(size=(2, 12, 2))
    how = {"beta": 0, "method": "sinkhorn"}
    plan = ef.conditional_coupling(x, None, z, None, **how, regularization=2.0).plan
    far = [np.ldexp(v, k) for v in (x, z)]
    weight = math.ldexp(2.0, 2 * k)
    scaled = ef.conditional_coupling(far[0], None, far[1], None, **how, regularization=weight)
    np.testing.assert_allclose(scaled.plan, plan, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("method", ["exact", "sinkhorn"])
def test_tensors_that_want_gradients(method: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    pytest.importorskip("ot", reason="POT is an extra")
    rng = np.random.default_rng(0)
    arrays = [torch.from_numpy(rng.normal(size=(6, 2))) for _ in range(4)]
    how = {"beta": 2.0, "method": method}
    expected = ef.conditional_coupling(*arrays, **how)
    found = ef.conditional_coupling(*(v.requires_grad_() for v in arrays), **how)
    assert torch.equal(found.columns, expected.columns)
    assert torch.equal(found.mass, expected.mass)
    assert not found.mass.requires_grad
    distance(*arrays, **how).backward()
    assert arrays[0].grad is not None
    assert arrays[1].grad is None
