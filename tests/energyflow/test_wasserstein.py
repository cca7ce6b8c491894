"""Sliced and max-sliced Wasserstein distances: properties, closed forms, and POT."""

import numpy as np
import pytest
from energyflow_backends import namespace

import energyflow as ef

rng = np.random.default_rng(9)
X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 0.5
T = ef.sample_projections(20, 3, rng=0)


def sliced(x, y, a=None, b=None, projections=T, **how):
    projections = namespace(x).asarray(projections)
    return ef.sliced_wasserstein_distance(x, y, a, b, projections=projections, **how)


def weights(n):
    w = rng.random(n)
    return w / w.sum()


@pytest.mark.parametrize("p", [1.0, 1.7, 2.0, 3.0])
def test_a_shift_is_as_long_as_its_slices(p: float) -> None:
    shift = np.array([3.0, -1.0, 0.5])
    expected = np.mean(np.abs(T @ shift) ** p) ** (1 / p)
    assert sliced(X, X + shift, p=p) == pytest.approx(expected, rel=1e-12)
    assert sliced(X, X[::-1], p=p) == 0


@pytest.mark.parametrize("p", [1.0, 2.0, 2.5])
def test_axioms(implementation, p: float) -> None:
    z = rng.normal(size=(30, 3))
    x, y, w = (implementation.asarray(v) for v in (X, Y, z))

    def far(u, v):
        return float(sliced(u, v, p=p))

    assert far(x, y) == pytest.approx(far(y, x), rel=1e-12)
    assert far(x, w) <= far(x, y) + far(y, w)
    assert far(2 * x, 2 * y) == pytest.approx(2 * far(x, y), rel=1e-12)
    assert far(x + 100, y + 100) == pytest.approx(far(x, y), rel=1e-10)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize("given", ["", "a", "ab"])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 9), (40, 40), (40, 27), (64, 48)])
def test_equals_pot(implementation, n: int, m: int, given: str, p: float) -> None:
    ot = pytest.importorskip("ot", reason="POT is an extra")
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) + 0.3
    a, b = (weights(k) if name in given else None for name, k in (("a", n), ("b", m)))
    expected = ot.sliced_wasserstein_distance(x, y, a, b, p=p, projections=T.T)
    arrays = (None if v is None else implementation.asarray(v) for v in (x, y, a, b))
    assert float(sliced(*arrays, p=p)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("m", [12, 9])
def test_gradients_by_finite_differences(m: int, given: bool, p: float) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(m, 3)) + 0.3
    a, b = (torch.asarray(weights(k)) if given else None for k in (12, m))
    u, v = (torch.asarray(s).requires_grad_() for s in (x, y))
    sliced(u, v, a, b, p=p).backward()
    for points, g in ((x, u.grad), (y, v.grad)):
        kept = points[3, 1]
        ends = []
        for h in (1e-6, -1e-6):
            points[3, 1] = kept + h
            ends.append(float(sliced(torch.asarray(x), torch.asarray(y), a, b, p=p)))
        points[3, 1] = kept
        assert float(g[3, 1]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("p", [1.0, 2.0, 2.5])
@pytest.mark.parametrize("m", [40, 30])
@pytest.mark.parametrize("given", [False, True])
def test_backends_agree_on_gradients_and_ties(m: int, given: bool, p: float) -> None:
    """torch's own backend against Numba's, through the same graph."""
    torch = pytest.importorskip("torch", reason="torch is an extra")
    x, y = (rng.integers(-2, 3, size=(k, 3)).astype(np.float64) for k in (40, m))
    w = torch.asarray(weights(40)) if given else None
    found = {}
    for backend in ("numba", "torch"):
        u, v = (torch.asarray(s).requires_grad_() for s in (x, y))
        with ef.use_backend(backend):
            value = sliced(u, v, w, p=p, projections=np.eye(3))
            value.backward()
        found[backend] = value.item(), u.grad.numpy(), v.grad.numpy()
    for one, other in zip(*found.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_gradients_through_jax() -> None:
    jax = pytest.importorskip("jax", reason="jax is an extra")
    torch = pytest.importorskip("torch", reason="torch is an extra")
    loss = jax.jit(jax.value_and_grad(lambda x: sliced(x, jax.numpy.asarray(Y))))
    value, gradient = loss(jax.numpy.asarray(X))
    u = torch.asarray(X).requires_grad_()
    expected = sliced(u, torch.asarray(Y))
    expected.backward()
    assert float(value) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, u.grad, rtol=1e-9, atol=1e-12)


def test_equal_sets_have_no_gradient() -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    u = torch.asarray(X).requires_grad_()
    value = sliced(u, torch.asarray(X[::-1].copy()))
    value.backward()
    assert value == 0
    assert not u.grad.any()


def test_batches_broadcast_and_chunks_do_not_matter() -> None:
    x, y = rng.normal(size=(3, 1, 10, 3)), rng.normal(size=(2, 12, 3))
    whole = sliced(x, y)
    assert whole.shape == (3, 2)
    assert sliced(x, y, chunk_size=3) == pytest.approx(whole, rel=1e-12)
    assert whole[2, 1] == pytest.approx(sliced(x[2, 0], y[1]), rel=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("slicing", ["iid", "orthogonal", "hadamard", "distance"])
def test_every_slicing_estimates_the_same(slicing: str, p: float) -> None:
    """A shift in 20 dimensions, which Hadamard products pad to 64."""
    x = rng.normal(size=(50, 20))
    shift = np.zeros(20)
    shift[:] = rng.normal(size=20)
    found = ef.sliced_wasserstein_distance(
        x, x + shift, n_projections=2000, p=p, slicing=slicing, rng=1
    )
    many = ef.sample_projections(20000, 20, method="iid", rng=2) @ shift
    assert found == pytest.approx(np.mean(np.abs(many) ** p) ** (1 / p), rel=0.05)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_max_sliced_finds_a_shift(implementation, p: float) -> None:
    shift = np.array([3.0, -1.0, 0.5])
    x, y = implementation.asarray(X), implementation.asarray(X + shift)
    found = ef.max_sliced_wasserstein_distance(x, y, n_projections=8, p=p, rng=0)
    assert float(found) == pytest.approx(float(np.linalg.norm(shift)), rel=1e-6)


@pytest.mark.parametrize("p", [1, 1.5, 2])
def test_max_sliced_starts_from_pots(p: float) -> None:
    ot = pytest.importorskip("ot", reason="POT is an extra")
    a, b = weights(40), weights(27)
    y = Y[:27] * [1.0, 2.0, 0.5]
    expected = ot.max_sliced_wasserstein_distance(X, y, a, b, p=p, projections=T.T)
    found = [
        ef.max_sliced_wasserstein_distance(X, y, a, b, p=p, projections=T, n_steps=n)
        for n in (0, 3, 50)
    ]
    assert found[0] == pytest.approx(expected, rel=1e-12)
    assert found[0] <= found[1] * (1 + 1e-12)
    assert found[1] <= found[2] * (1 + 1e-12)
    best = ot.max_sliced_wasserstein_distance(X, y, a, b, n_projections=20000, p=p, seed=0)
    assert found[2] >= best * (1 - 1e-6)


def test_max_sliced_gradients_are_those_at_its_direction() -> None:
    """Where one point is all there is to go to, the distance is smooth in the direction."""
    torch = pytest.importorskip("torch", reason="torch is an extra")

    def far(u):
        return ef.max_sliced_wasserstein_distance(u, torch.asarray(Y[:1]), rng=0, n_steps=200)

    u = torch.asarray(X).requires_grad_()
    far(u).backward()
    ends = []
    for h in (1e-5, -1e-5):
        moved = X.copy()
        moved[4, 2] += h
        ends.append(float(far(torch.asarray(moved))))
    assert float(u.grad[4, 2]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-7)


def test_max_sliced_in_batches() -> None:
    x, y = rng.normal(size=(3, 15, 4)), rng.normal(size=(12, 4)) + 0.3
    whole = ef.max_sliced_wasserstein_distance(x, y, rng=0)
    assert whole.shape == (3,)
    for k in range(3):
        alone = ef.max_sliced_wasserstein_distance(x[k], y, rng=0)
        assert whole[k] == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("function", ["sliced", "max_sliced"])
def test_bad_arguments(function: str) -> None:
    distance = getattr(ef, f"{function}_wasserstein_distance")
    with pytest.raises(ValueError, match=r"p must be at least 1, got 0\.5"):
        distance(X, Y, p=0.5)
    with pytest.raises(TypeError, match="p must be"):
        distance(X, Y, p="2")
    with pytest.raises(ValueError, match="NaN"):
        distance(np.where(X > 2, np.nan, X) * np.nan, Y)
    with pytest.raises(ValueError, match="a must"):
        distance(X, Y, np.ones(40))
    with pytest.raises(ValueError, match="small enough"):
        distance(X * 1e200, Y, p=2)


def test_max_sliced_needs_a_matrix() -> None:
    with pytest.raises(ValueError, match="slicing must give a matrix"):
        ef.max_sliced_wasserstein_distance(X, Y, slicing="hadamard")
    with pytest.raises(ValueError, match="n_starts must be at least 1"):
        ef.max_sliced_wasserstein_distance(X, Y, n_starts=0)
