"""Conditional Wasserstein distances: closed forms, axioms, the limits of beta, and couplings."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import energyflow as ef

distance = ef.conditional_wasserstein_distance
ORDERS = np.array(list(permutations(range(5))))


def needs_pot() -> None:
    pytest.importorskip("ot", reason="POT is an extra")


def clouds(seed: int, n: int = 12, d: int = 2, kinds: int = 3) -> tuple[np.ndarray, ...]:
    """Two sets of n points whose conditions are the same few, each as often in both."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(kinds, 1))[np.arange(n) % kinds]
    order = rng.permutation(n)
    return rng.normal(size=(n, d)), y, rng.normal(size=(n, d)) + 1, y[order]


def brute(x, y_x, z, y_z, p: float, beta: float) -> float:
    """The least cost of all permutations of five points."""
    cost = np.linalg.norm(x[:, None] - z[None], axis=2) ** p
    cost = cost + (beta * np.linalg.norm(y_x[:, None] - y_z[None], axis=2)) ** p
    return float(cost[np.arange(5), ORDERS].mean(axis=1).min()) ** (1 / p)


# -- values --------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from([1.0, 1.5, 2.0, 3.0]), st.floats(0, 100))
def test_the_best_of_all_permutations(seed: int, p: float, beta: float) -> None:
    x, y_x, z, y_z = clouds(seed, n=5)
    found = distance(x, y_x, z, y_z, p=p, beta=beta)
    assert float(found) == pytest.approx(brute(x, y_x, z, y_z, p, beta), rel=1e-9)


@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_gaussians_whose_mean_is_linear_in_the_condition(seed: int, slope: float) -> None:
    """X = s y + N(0, 1) against Z = N(0, 1): W_2^2 given y is (s y)^2, on equal noise exactly."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=20)
    y = np.repeat(rng.normal(size=3), 20)[:, None]
    z = np.tile(noise, 3)[:, None]
    expected = slope * math.sqrt(np.mean(y**2))
    assert float(distance(z + slope * y, y, z, y)) == pytest.approx(expected, rel=1e-9)


def test_gaussians_whose_spread_depends_on_the_condition() -> None:
    """Quantiles of N(m, s^2) and N(0, 1): W_2^2 = m^2 + (s - 1)^2 for each condition."""
    from scipy.stats import norm

    quantiles = norm.ppf((np.arange(400) + 0.5) / 400)
    groups = np.repeat(np.arange(2), 400)
    means, spreads = np.array([0.5, -2.0]), np.array([0.3, 2.0])
    x = (means[groups] + spreads[groups] * np.tile(quantiles, 2))[:, None]
    z = np.tile(quantiles, 2)[::-1].copy()[:, None]
    found = distance(x, None, z, None, groups=(groups, groups[::-1].copy()))
    assert float(found) == pytest.approx(
        math.sqrt(np.mean(means**2 + (spreads - 1) ** 2)), rel=1e-2
    )


@given(st.integers(0, 10**6), st.sampled_from([1.0, 2.0, 2.5]))
def test_groups_are_the_mean_over_conditions(seed: int, p: float) -> None:
    x, y_x, z, y_z = clouds(seed)
    inner = [
        float(distance(x[here], None, z[there], None, p=p, beta=0)) ** p
        for kind in np.unique(y_x)
        for here, there in [(y_x[:, 0] == kind, y_z[:, 0] == kind)]
    ]
    expected = np.mean(inner) ** (1 / p)
    numbers = tuple(np.unique(y, return_inverse=True)[1].reshape(-1) for y in (y_x, y_z))
    assert float(distance(x, y_x, z, y_z, p=p)) == pytest.approx(expected, rel=1e-9)
    grouped = distance(x, None, z, None, p=p, groups=numbers)
    assert float(grouped) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 10**6), st.sampled_from([1.0, 2.0]), st.floats(0.1, 10))
def test_groups_beside_other_conditions(seed: int, p: float, beta: float) -> None:
    """A discrete condition in groups, a continuous one by beta: the mean over groups."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, 12, 2))
    y_x, y_z = rng.normal(size=(2, 12, 1))
    groups = tuple(rng.permutation(np.repeat(np.arange(3), 4)) for _ in range(2))
    found, coupling = distance(x, y_x, z, y_z, p=p, beta=beta, groups=groups, return_coupling=True)
    assert (groups[0][coupling.rows] == groups[1][coupling.columns]).all()
    parts = [
        float(distance(x[i], y_x[i], z[j], y_z[j], p=p, beta=beta)) ** p
        for k in range(3)
        for i, j in [(groups[0] == k, groups[1] == k)]
    ]
    assert float(found) == pytest.approx(np.mean(parts) ** (1 / p), rel=1e-9)
    rows, columns = ef.conditional_coupling(x, y_x, z, y_z, p=p, beta=beta, groups=groups)
    np.testing.assert_array_equal(rows, coupling.rows)
    np.testing.assert_array_equal(columns, coupling.columns)


@given(st.integers(0, 10**6))
def test_beta_leads_from_plain_to_conditional(seed: int) -> None:
    x, y_x, z, y_z = clouds(seed)
    betas = (0.0, 0.1, 1.0, 10.0, 1e4)
    values = [float(distance(x, y_x, z, y_z, beta=beta)) for beta in betas]
    exact = float(distance(x, y_x, z, y_z))
    assert all(a <= b + 1e-9 for a, b in pairwise(values))
    assert values[-1] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("gap", [0.5, 0.05, 0.005])
def test_near_joint_distributions_with_far_posteriors(gap: float) -> None:
    """(y, x) on {(0, 0), (gap, 1)} or {(0, 1), (gap, 0)}: W_2 is the gap, conditionally 1."""
    y, x = np.array([[0.0], [gap]]), np.array([[0.0], [1.0]])
    assert float(distance(x, y, x[::-1].copy(), y, beta=1)) == pytest.approx(gap)
    assert float(distance(x, y, x[::-1].copy(), y)) == pytest.approx(1)
    for beta in (0.5 / gap, 2 / gap):
        found = float(distance(x, y, x[::-1].copy(), y, beta=beta))
        assert found == pytest.approx(min(beta * gap, 1))


@given(st.integers(0, 10**6), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.5, math.inf]))
def test_the_axioms_of_a_metric(seed: int, p: float, beta: float) -> None:
    x, y_x, z, y_z = clouds(seed)
    w = np.random.default_rng(seed + 1).normal(size=x.shape)
    how = {"p": p, "beta": beta}
    xz = float(distance(x, y_x, z, y_z, **how))
    assert float(distance(z, y_z, x, y_x, **how)) == pytest.approx(xz, rel=1e-9)
    assert float(distance(x, y_x, x[::-1].copy(), y_x[::-1].copy(), **how)) == 0
    assert xz > 0
    through = distance(x, y_x, w, y_x, **how) + distance(w, y_x, z, y_z, **how)
    assert xz <= float(through) + 1e-9


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_units(seed: int, scale: float) -> None:
    x, y_x, z, y_z = clouds(seed)
    whole = float(distance(x, y_x, z, y_z, beta=2))
    scaled = distance(scale * x + 5, y_x - 3, scale * z + 5, y_z - 3, beta=2 * scale)
    assert float(scaled) == pytest.approx(scale * whole, rel=1e-6)


def test_weights_are_repeated_points(rng: np.random.Generator) -> None:
    needs_pot()
    x, z = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    y_x, y_z = np.zeros((3, 1)), np.zeros((2, 1))
    times, others = np.array([1, 2, 3]), np.array([4, 2])
    found = distance(x, y_x, z, y_z, times / 6, others / 6)
    repeated = distance(
        np.repeat(x, times, 0), np.zeros((6, 1)), np.repeat(z, others, 0), np.zeros((6, 1))
    )
    assert float(found) == pytest.approx(float(repeated), rel=1e-9)


def test_entropy_costs_and_vanishes(rng: np.random.Generator) -> None:
    needs_pot()
    x, y_x, z, y_z = clouds(0)
    exact = float(distance(x, y_x, z, y_z, beta=1))
    how = {"beta": 1, "method": "sinkhorn"}
    loose, tight = (float(distance(x, y_x, z, y_z, regularization=r, **how)) for r in (3.0, 0.1))
    assert exact - 1e-6 <= tight < loose
    assert tight == pytest.approx(exact, rel=0.02)
    assert float(distance(x, y_x, z, y_z, reg=0.1, **how)) == tight  # as POT calls it
    with pytest.raises(ValueError, match="reg must be left out where regularization"):
        distance(x, y_x, z, y_z, reg=0.1, regularization=0.1, **how)
    grouped = distance(x, y_x, z, y_z, method="sinkhorn", regularization=0.1)
    assert float(grouped) == pytest.approx(float(distance(x, y_x, z, y_z)), rel=0.02)


# -- array libraries and gradients ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("beta", "method"), [(math.inf, "exact"), (2.0, "exact"), (2.0, "sinkhorn")]
)
def test_every_library(xp, beta: float, method: str) -> None:
    needs_pot()
    given_ = [v.astype(np.float32) for v in clouds(3)]
    arrays = [xp.asarray(v) for v in given_]
    how = {"beta": beta, "method": method, "regularization": 1.0 if method != "exact" else None}
    value, coupling = distance(*arrays, return_coupling=True, **how)
    assert type(value) is type(arrays[0]) or np.ndim(value) == 0
    assert value.dtype == arrays[0].dtype
    assert value.shape == ()
    expected, other = distance(*given_, return_coupling=True, **how)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(xp.to_numpy(coupling.plan), other.plan, atol=1e-5)
    rows, columns = ef.conditional_coupling(*arrays, **how)
    assert type(rows) is type(arrays[0])
    assert rows.shape == columns.shape


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_more(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    arrays = [torch.from_numpy(v).to(getattr(torch, name)) for v in clouds(3)]
    value, coupling = distance(*arrays, beta=2.0, return_coupling=True)
    assert value.dtype == arrays[0].dtype
    wide = distance(*(v.double() for v in arrays), beta=2.0)
    assert float(value) == pytest.approx(float(wide), rel=1e-2)
    found = ef.conditional_coupling(*arrays, beta=2.0)
    assert torch.equal(found.columns, coupling.columns)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("beta", [0.7, math.inf])
def test_the_gradient_in_torch(p: float, beta: float) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    x, y_x, z, y_z = (torch.from_numpy(v) for v in clouds(5))
    x.requires_grad_()
    z.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, z: distance(x, y_x, z, y_z, p=p, beta=beta), (x, z), eps=1e-6, atol=1e-6
    )


def test_the_gradient_in_jax() -> None:
    jax = pytest.importorskip("jax", reason="JAX is an extra")
    x, y_x, z, y_z = (jax.numpy.asarray(v) for v in clouds(5))
    slope = jax.grad(lambda x: distance(x, y_x, z, y_z))(x)
    rows, columns = ef.conditional_coupling(x, y_x, z, y_z)
    expected = (x[rows] - z[columns]) / len(x) / distance(x, y_x, z, y_z)
    np.testing.assert_allclose(slope, expected, rtol=1e-9)


def test_the_gradient_where_points_coincide() -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    x = torch.zeros((4, 2), dtype=torch.float64, requires_grad=True)
    distance(x, None, torch.zeros((4, 2), dtype=torch.float64), None, beta=0, p=1).backward()
    assert not x.grad.any()


# -- couplings -----------------------------------------------------------------------------------


def test_a_permutation_inside_conditions() -> None:
    x, y_x, z, y_z = clouds(1, n=60)
    rows, columns = coupling = ef.conditional_coupling(x, y_x, z, y_z)
    assert rows.tolist() == list(range(60))
    assert sorted(columns.tolist()) == list(range(60))
    np.testing.assert_array_equal(y_x, y_z[columns])
    np.testing.assert_allclose(coupling.plan.sum(0), 1 / 60)
    np.testing.assert_allclose(coupling.plan.sum(1), 1 / 60)


def test_a_large_beta_in_float32_still_minds_the_points() -> None:
    x, y_x, z, y_z = (v.astype(np.float32) for v in clouds(2, n=90))
    near = ef.conditional_coupling(x, y_x, z, y_z, beta=1e3).columns
    np.testing.assert_array_equal(near, ef.conditional_coupling(x, y_x, z, y_z).columns)


@pytest.mark.parametrize("method", ["exact", "sinkhorn"])
def test_a_batch_is_its_members(method: str) -> None:
    needs_pot()
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 3, 7, 2)), rng.normal(size=(2, 3, 5, 2))
    y_x, y_z = rng.normal(size=(2, 3, 7, 1)), rng.normal(size=(2, 3, 5, 1))
    how = {"beta": 1.5, "method": method}
    plan = ef.conditional_coupling(x, y_x, z, y_z, **how).plan
    assert plan.shape == (2, 3, 7, 5)
    one = ef.conditional_coupling(x[1, 2], y_x[1, 2], z[1, 2], y_z[1, 2], **how).plan
    np.testing.assert_allclose(plan[1, 2], one, atol=1e-12)


def test_partial_transport_leaves_out_what_is_far() -> None:
    needs_pot()
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    z = np.array([[0.1], [1.1], [2.1], [50.0]])
    plan = ef.conditional_coupling(x, None, z, None, beta=0, mass=0.75).plan
    np.testing.assert_allclose(plan, np.diag([0.25, 0.25, 0.25, 0]), atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_pairs_are_drawn_by_their_mass(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    mass = rng.random(9) * (rng.random(9) > 0.3) + 1e-12 * (np.arange(9) == 4)
    mass /= mass.sum()
    coupling = ef.Coupling(np.arange(9), np.arange(9)[::-1].copy(), mass, (9, 9))
    rows, columns = coupling.draw(n, seed)
    np.testing.assert_array_equal(rows, 8 - columns)
    counts = np.bincount(rows, minlength=9)
    assert (np.abs(counts - n * mass) < 1 + 1e-9).all()
    assert not counts[mass == 0].any()


def test_equal_points_are_drawn_once_each() -> None:
    x, y_x, z, y_z = clouds(4, n=100)
    coupling = ef.conditional_coupling(x, y_x, z, y_z)
    for found, expected in zip(coupling.draw(100, 1), coupling, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_geodesic_has_constant_speed() -> None:
    x, y_x, z, y_z = clouds(6)
    value, coupling = distance(x, y_x, z, y_z, return_coupling=True)
    early, velocity = ef.conditional_geodesic(x, z, coupling, 0.25)
    late, _ = ef.conditional_geodesic(x, z, coupling, 0.75)
    np.testing.assert_allclose(late - early, 0.5 * velocity, atol=1e-12)
    y = y_x[coupling.rows]
    assert float(distance(early, y, late, y)) == pytest.approx(0.5 * float(value))
    end, _ = ef.conditional_geodesic(x, z, coupling, 1)
    np.testing.assert_allclose(end, z[coupling.columns], atol=1e-12)


# -- saying no -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"p": 0.5}, ValueError, "p must be at least 1"),
        ({"p": "2"}, TypeError, "p must be a number, got str"),
        ({"beta": -1}, ValueError, "beta must not be negative"),
        ({"method": "greedy"}, ValueError, "method must be one of exact, sinkhorn"),
        (
            {"regularization": 1.0},
            ValueError,
            "regularization is for method 'sinkhorn', got 1 with 'exact'",
        ),
        ({"reg": 1.5}, ValueError, "reg is for method 'sinkhorn', got 1.5 with 'exact'"),
        (
            {"reg": -1, "method": "sinkhorn"},
            ValueError,
            "reg must be positive and finite, got -1",
        ),
        ({"reg": "1", "method": "sinkhorn"}, TypeError, "reg must be a number, got str"),
        ({"groups": np.zeros(12, int)}, TypeError, "groups must be a pair"),
        ({"groups": (np.zeros(12, int), np.zeros(11, int))}, ValueError, r"integers \(12,\) for z"),
        (
            {"groups": (np.zeros(12, int),) * 2, "beta": 1.0, "y_x": None},
            ValueError,
            "y_x must be given",
        ),
        ({"groups": (np.zeros(12, int), np.ones(12, int))}, ValueError, "got 1 and 0 for group 0"),
        ({"y_x": None}, ValueError, "y_x must be given"),
        ({"y_x": np.zeros((11, 1))}, ValueError, "y_x must have one row for each point of x"),
        ({"y_x": np.zeros((12, 2))}, ValueError, "y_x and y_z must have the same dimension"),
        ({"y_x": np.arange(12.0)[:, None]}, ValueError, "each condition the same mass"),
        ({"x": np.zeros((12, 3))}, ValueError, "x and z must have the same dimension"),
        ({"x": np.zeros((2, 12, 2))}, ValueError, r"x must have shape \(points, dimension\)"),
        ({"x": np.zeros((12, 2), complex)}, TypeError, "x must have a real floating dtype"),
        ({"z": np.full((12, 2), np.nan)}, ValueError, "z must be finite, got 24"),
        ({"a": np.full(12, 0.5)}, ValueError, "a must sum to one"),
    ],
)
def test_bad_input(changes: dict, error: type, message: str) -> None:
    arguments = dict(zip(("x", "y_x", "z", "y_z"), clouds(0), strict=True)) | changes
    with pytest.raises(error, match=message):
        distance(**arguments)


def test_bad_couplings() -> None:
    x, y_x, z, y_z = clouds(0)
    with pytest.raises(ValueError, match="mass must be positive and at most 1"):
        ef.conditional_coupling(x, y_x, z, y_z, mass=1.5)
    with pytest.raises(ValueError, match="mass below 1 is for method 'exact'"):
        ef.conditional_coupling(x, y_x, z, y_z, method="sinkhorn", mass=0.5)
    with pytest.raises(ValueError, match="same dimension and batch dimensions"):
        ef.conditional_coupling(x, y_x, z[None], y_z)
    coupling = ef.conditional_coupling(x, y_x, z, y_z)
    with pytest.raises(ValueError, match="x must be the points of the coupling"):
        ef.conditional_geodesic(x[:5], z, coupling, 0.5)
    with pytest.raises(ValueError, match="t must lie between 0 and 1"):
        ef.conditional_geodesic(x, z, coupling, 2)
    with pytest.raises(ValueError, match="n must be at least 1"):
        coupling.draw(0)


def test_without_pot_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energyflow._core.extras.find_spec", lambda name: None)
    x, y_x, z, y_z = clouds(0)
    with pytest.raises(ModuleNotFoundError, match="needs POT"):
        distance(x[:6], y_x[:6], z, y_z, beta=1)
    assert float(distance(x, y_x, z, y_z)) > 0


def test_a_rare_condition_of_one_side_alone_is_not_lost() -> None:
    x, z = np.array([[0.0], [1e6]]), np.array([[0.0]])
    a = np.array([1 - 8e-6, 8e-6])
    with pytest.raises(ValueError, match="each condition the same mass"):
        ef.conditional_wasserstein_distance(
            x, None, z, None, a, groups=(np.array([0, 1]), np.array([0]))
        )
