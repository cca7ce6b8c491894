"""Extreme weights and exponents, ties everywhere, estimators and single points, in sixty digits."""

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import weights

import energyflow as ef

pytest.importorskip("mpmath", reason="mpmath is not installed")

rng = np.random.default_rng(11)
X, Y = rng.normal(size=(6, 2)), rng.normal(size=(5, 2)) + 0.5
T = ef.sample_projections(3, 2, rng=0)

EXTREME = {
    "one has nearly all": [1 - 1e-12, *[2e-13] * 5],
    "one has all": [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    "1e-300": [1e-300, 1e-300, 1e-300, 0.5, 0.25, 0.25],
    "subnormal": [5e-324, 0.0, 0.0, 0.5, 0.25, 0.25],
}


def both(implementation, x, y, a=None, **how):
    """Exact and sliced results, each with what the oracle says."""
    u, v = implementation.asarray(x), implementation.asarray(y)
    w = None if a is None else implementation.asarray(a)
    slices = {"n_projections": 3, "rng": 0}
    exact = ef.energy_distance(u, v, w, **how), ef.energy_gradient(u, v, w, **how)
    sliced = ef.sliced_energy_value_and_gradient(u, v, w, **slices, **how)
    for found, theta in ((exact, None), (sliced, T)):
        arrays = tuple(implementation.to_numpy(f) for f in found)
        yield arrays, oracle.energy(x, y, a, **how, directions=theta)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("kind", EXTREME)
def test_every_gradient_has_its_digits_whatever_it_weighs(
    implementation, kind: str, exponent: float
) -> None:
    if kind == "subnormal" and implementation.backend == "jax":
        pytest.skip("XLA takes subnormal numbers for zero")
    a = np.asarray(EXTREME[kind])
    for found, expected in both(implementation, X, Y, a, exponent=exponent):
        assert oracle.error(found[0], expected[0]) <= 1e-12
        heavy = [row for row, w in zip(expected[1], a, strict=True) if w > 1e-320]
        assert oracle.error_of_each(found[1][a > 1e-320], heavy) <= 1e-11
        assert not found[1][a == 0].any()


@pytest.mark.parametrize("exponent", [1e-300, 1e-9, 2 - 1e-9, np.nextafter(2, 0)])
def test_exponents_at_the_ends(implementation, exponent: float) -> None:
    for found, expected in both(implementation, X, Y, exponent=exponent):
        assert oracle.error(found[0], expected[0]) <= 1e-12
        assert oracle.error(found[1], expected[1]) <= 1e-12


def test_what_the_ends_are() -> None:
    """r = 0 counts coincidences, r = 2 sees the means alone."""
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [5.0]])
    assert ef.energy_distance(x, y, exponent=1e-300) == pytest.approx(2 * 3 / 4 - 2 * 1 / 2)
    apart = float(np.sum((X.mean(axis=0) - Y.mean(axis=0)) ** 2))
    assert ef.energy_distance(X, Y, exponent=np.nextafter(2, 0)) == pytest.approx(2 * apart)


GRIDS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda sizes: st.tuples(
        *(
            hnp.arrays(np.float64, (n, 1), elements=st.integers(-3, 3).map(float))
            for n in sizes
        )
    )
)  # fmt: skip


@given(GRIDS, st.sampled_from([np.float32, np.float64]))
def test_ties_everywhere_on_the_line(drawn: tuple, dtype: type) -> None:
    x, y = (v.astype(dtype) for v in drawn)
    value, gradient = ef.sliced_energy_value_and_gradient(x, y)
    expected = oracle.energy(x, y)
    rounding = 4 * np.finfo(dtype).eps
    assert oracle.error(value, expected[0]) <= rounding
    assert oracle.error(gradient, expected[1]) <= rounding
    assert ef.energy_distance(x, x[::-1]) == 0
    assert not ef.energy_gradient(x, x[::-1]).any()


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("d", [1, 3, 100])
def test_all_points_equal(implementation, d: int, exponent: float) -> None:
    point = np.linspace(-1, 1, d) / 3
    x, y = (implementation.asarray(np.tile(point, (n, 1))) for n in (7, 5))
    for slicing in ("auto", "hadamard"):
        value, gradient = ef.sliced_energy_value_and_gradient(
            x, y, n_projections=5, exponent=exponent, slicing=slicing, rng=0
        )
        assert float(value) == 0
        assert not implementation.to_numpy(gradient).any()
    assert float(ef.energy_distance(x, y, exponent=exponent)) == 0
    assert not implementation.to_numpy(ef.energy_gradient(x, y, exponent=exponent)).any()


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_all_points_equal_however_they_weigh(implementation, seed: int, exponent: float) -> None:
    """Weights whose sums round to a neighbour of one."""
    rng = np.random.default_rng(seed)
    a, b = (implementation.asarray(rng.dirichlet(np.ones(n))) for n in (65, 33))
    x, y = (implementation.asarray(np.full((n, 1), 0.3)) for n in (65, 33))
    value, gradient = ef.sliced_energy_value_and_gradient(x, y, a, b, exponent=exponent)
    assert float(value) == 0
    assert not implementation.to_numpy(gradient).any()


@given(st.data(), st.sampled_from([0.5, 1.0, 1.5]), st.integers(2, 8), st.integers(2, 8))
def test_estimators_differ_by_their_self_terms(
    data: st.DataObject, exponent: float, n: int, m: int
) -> None:
    """E_U = E_V - (s_a - 1) sum a a |x - x|^r - (s_b - 1) sum b b |y - y|^r."""
    x, y = (
        data.draw(hnp.arrays(np.float64, (k, 2), elements=st.floats(-100, 100, width=32)))
        for k in (n, m)
    )
    a, b = (data.draw(weights(k).filter(lambda w: w.max() < 0.99)) for k in (n, m))
    how = {"exponent": exponent}
    v, u = (ef.energy_distance(x, y, a, b, estimator=e, **how) for e in "VU")
    riesz = ef.kernels.Riesz(exponent)
    own = [w @ -ef.kernel_sum(s, s, w, kernel=riesz, method="direct") for s, w in ((x, a), (y, b))]
    excess = [np.sum(w**2) / (1 - np.sum(w**2)) for w in (a, b)]
    assert u == pytest.approx(
        v - np.dot(excess, own), abs=1e-11 * (1 + sum(own)) * (1 + sum(excess))
    )


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_one_point_against_one(implementation, exponent: float) -> None:
    x, y = np.array([[3.0, -1.0]]), np.array([[0.0, 3.0]])  # five apart
    u, v = map(implementation.asarray, (x, y))
    assert float(ef.energy_distance(u, v, exponent=exponent)) == pytest.approx(2 * 5**exponent)
    gradient = implementation.to_numpy(ef.energy_gradient(u, v, exponent=exponent))
    np.testing.assert_allclose(gradient, 2 * exponent * 5 ** (exponent - 2) * (x - y), rtol=1e-14)
    for found, expected in both(implementation, x, y, exponent=exponent):
        assert oracle.error(found[0], expected[0]) <= 1e-14
        assert oracle.error(found[1], expected[1]) <= 1e-14


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize(("n", "m"), [(1, 5), (6, 1)])
def test_one_point_against_many(implementation, n: int, m: int, exponent: float) -> None:
    for found, expected in both(implementation, X[:n], Y[:m], exponent=exponent):
        assert oracle.error(found[0], expected[0]) <= 1e-13
        assert oracle.error(found[1], expected[1]) <= 1e-12
