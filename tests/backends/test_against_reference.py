"""Every backend against the reference, with the same directions, at awkward sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import COMPLETE, Library, library_for
from energyflow_backends import PointSets, Request, library_of
from energyflow_backends import _registry as registry
from energyflow_backends.sums.centring import centred, seen_around_origin

import energyflow as ef
from energyflow import reference

SIZES = (1, 2, 63, 1000, 1023, 1024, 1025)
SLICES = (1, 2, 63, 100, 127, 128, 129)  # as many as points are for the full grid
SMALL = (1, 2, 63)


def covering() -> list[tuple[int, int, int]]:
    """Triples (N, M, P) in which every pair of sizes occurs in every pair of places."""
    third = itertools.cycle(SMALL)
    triples = {(i, j, next(third)) for i, j in itertools.product(SIZES, SIZES)}
    triples |= {(i, next(third), j) for i, j in itertools.product(SIZES, SLICES)}
    triples |= {(next(third), i, j) for i, j in itertools.product(SIZES, SLICES)}
    return sorted(triples)


def takers(dtype: str) -> dict[str, Library]:
    """The backends that take arrays of this dtype here and now, and the libraries of those."""
    usable = [b for b in map(registry.named, COMPLETE) if not b.unusable()]
    libraries = {backend.name: library_for(backend) for backend in usable}
    one = np.zeros(1, dtype)
    return {
        k: library for k, library in libraries.items() if not library.refuses(library.make(one))
    }


def relative(result, expected: np.ndarray) -> float:
    assert np.isfinite(np.asarray(result)).all()
    scale = np.linalg.norm(expected)
    return float(np.linalg.norm(np.asarray(result) - expected) / (scale or 1))


def gradient_at(some: np.ndarray, x, y, a, b, how: dict) -> np.ndarray:
    """The reference's gradient at some of the points, without the sums for all the others.

    The points in question, as a set of their own, are pulled by y and by all of x; their pull on
    each other is in both gradients, and drops out of the difference.
    """
    toward_y = reference.sliced_energy_gradient(x[some], y, None, b, **how)
    toward_x = reference.sliced_energy_gradient(x[some], x, None, a, **how)
    own = np.full(len(some), 1 / len(x)) if a is None else a[some]
    return len(some) * own[:, None] * (toward_y - toward_x)


def check(
    n: int,
    m: int,
    p: int,
    d: int,
    exponent: float,
    dtype: str,
    *,
    weighted: bool,
    jax: bool = False,
) -> None:
    rng = np.random.default_rng([n, m, p])
    x = rng.normal(size=(n, d)).astype(dtype)
    y = (rng.normal(size=(m, d)) + 0.5).astype(dtype)
    a = rng.dirichlet(np.ones(n)).astype(dtype) if weighted else None
    b = rng.dirichlet(np.ones(m)).astype(dtype) if weighted else None
    theta = ef.sample_projections(p, d, method="iid", rng=0).astype(dtype)
    how = {"projections": theta, "exponent": exponent}
    value = None
    if (n + m) ** 2 * p < 2e7:
        value = reference.sliced_energy_distance(x, y, a, b, **how)
    some = np.unique(np.r_[0, rng.integers(n, size=40), n - 1])
    gradient = gradient_at(some, x, y, a, b, how)
    allowed = 5e-3 if dtype == "float32" else 1e-12 if exponent >= 1 else 1e-7
    for name, library in takers(dtype).items():
        if name == "jax" and not jax:
            continue  # it compiles anew for every shape: see test_dimensions for large ones
        given = [None if v is None else library.asarray(v) for v in (x, y, a, b, theta)]
        with ef.use_backend(name):
            result = ef.sliced_energy_value_and_gradient(
                *given[:4], projections=given[4], exponent=exponent
            )
        assert library_of(result[1]) == library_of(given[0])
        assert relative(library.to_numpy(result[1])[some], gradient) <= allowed, name
        assert np.isfinite(float(result[0]))
        if value is not None:
            assert relative(library.to_numpy(result[0]), np.asarray(value)) <= allowed, name


@pytest.mark.parametrize(("n", "m", "p"), covering())
def test_covering(n: int, m: int, p: int) -> None:
    weighted = (n + m + p) % 2 == 1
    check(n, m, p, 3, 1.0, "float64", weighted=weighted)
    check(n, m, p, 3, 1.0, "float32", weighted=not weighted)


@pytest.mark.parametrize("exponent", [0.5, 1.5])
@pytest.mark.parametrize(
    ("n", "m", "p"), [t for t in covering() if (t[0] + t[1]) ** 2 * t[2] < 3e6]
)
def test_covering_of_other_exponents(n: int, m: int, p: int, exponent: float) -> None:
    check(n, m, p, 3, exponent, "float64", weighted=(n + m + p) % 2 == 1)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "p"), list(itertools.product(SIZES, SIZES, SIZES)))
def test_full_grid(n: int, m: int, p: int) -> None:
    check(n, m, p, 3, 1.0, "float64", weighted=False)
    check(n, m, p, 3, 1.0, "float32", weighted=True)


@pytest.mark.parametrize("d", [1, 2, 100])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dimensions(d: int, dtype: str) -> None:
    check(1024, 1025, 2 if d == 100 else 9, d, 1.0, dtype, weighted=False, jax=d == 2)


# -- given the same projected numbers ------------------------------------------------------------


def awkward_rows(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "ties":
        return rng.integers(-4, 4, size=(3, size)) / 2
    if kind == "signed zeros":
        return rng.choice([-0.0, 0.0, 1.0], size=(3, size))
    if kind == "tiny":
        return rng.normal(size=(3, size)) * 1e-30
    if kind == "huge":
        return rng.normal(size=(3, size)) * 1e30
    return rng.normal(size=(3, size))


@pytest.mark.parametrize("kind", ["plain", "ties", "signed zeros", "tiny", "huge"])
@pytest.mark.parametrize("estimator", ["V", "U"])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (63, 1000), (1023, 1025), (1024, 64)])
def test_rows(kind: str, estimator: str, n: int, m: int) -> None:
    rng = np.random.default_rng([n, m])
    # numbers that float32 holds, so that one reference serves both dtypes
    xs, ys = (awkward_rows(kind, size, rng).astype(np.float32) for size in (n, m))
    a, b = (rng.multinomial(2**20, rng.dirichlet(np.ones(k)), 3) / 2**20 for k in (n, m))
    line = {"projections": np.ones((1, 1)), "estimator": estimator}
    for weights in ((None, None), (a, b)):
        expected = []
        for row in range(3):
            sets = xs[row][:, None], ys[row][:, None]
            own = [None if w is None else w[row] for w in weights]
            gradients = [
                reference.sliced_energy_gradient(*sets, *own, wrt=wrt, **line).ravel()
                for wrt in ("x", "y")
            ]
            expected.append((reference.sliced_energy_distance(*sets, *own, **line), gradients))
        for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
            given = [None if v is None else v.astype(dtype) for v in (xs, ys, *weights)]
            check_rows(given, expected, estimator, tolerance)


def check_rows(given: list, expected: list, estimator: str, tolerance: float) -> None:
    """Every backend that takes the rows, against values and gradients of each."""
    xs, ys = given[:2]
    for name, library in takers(str(xs.dtype)).items():
        if name == "jax" and xs.shape[1] > 2:
            continue  # it compiles every shape
        rows = PointSets(*(None if v is None else library.asarray(v) for v in given))
        result = registry.named(name).rows(rows, Request(1.0, estimator, ("x", "y")))
        values, *slopes = (library.to_numpy(v) for v in result)
        for row, (value, gradients) in enumerate(expected):
            scale = np.abs(np.concatenate([xs[row], ys[row]])).max()
            assert abs(float(values[row]) - value) <= tolerance * scale, name
            assert estimator == "U" or values[row] >= 0, name
            for got, gradient in zip(slopes, gradients, strict=True):
                # where the true gradient nearly vanishes, weights round against one another
                limit = tolerance * max(np.linalg.norm(gradient), 0.05 / len(gradient) ** 0.5)
                assert np.linalg.norm(got[row] - gradient) <= limit, name


# -- the contract of `rows` ----------------------------------------------------------------------


def rows_of(implementation: Library, x: np.ndarray, y: np.ndarray, request: Request) -> list:
    """What the backend in use gives for rows, as NumPy arrays."""
    assert implementation.backend is not None
    backend = registry.named(implementation.backend)
    sets = PointSets(*(backend.adopt(implementation.asarray(v)) for v in (x, y)))
    with np.errstate(all="ignore"):
        result = backend.rows(sets, request)
    return [None if v is None else implementation.to_numpy(v) for v in result]


@pytest.mark.parametrize("exponent", [0.5, 1.0])
@pytest.mark.parametrize("wrt", [(), ("x",), ("y",), ("x", "y")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_give_what_is_wanted(implementation, wrt, dtype: str, exponent: float, rng) -> None:
    x, y = rng.normal(size=(2, 5)).astype(dtype), rng.normal(size=(2, 4)).astype(dtype)
    copies = x.copy(), y.copy()
    value, gx, gy = rows_of(implementation, x, y, Request(exponent, "V", wrt))
    assert value.shape == (2,)
    assert value.dtype.itemsize >= np.dtype(dtype).itemsize
    for name, gradient, points in (("x", gx, x), ("y", gy, y)):
        assert (gradient is not None) == (name in wrt)
        if gradient is not None:
            assert (gradient.shape, gradient.dtype) == (points.shape, points.dtype)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(y, copies[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_rows_that_are_not_finite_show_it_and_spoil_no_other(
    implementation, exponent: float, bad: float, rng
) -> None:
    x, y = rng.normal(size=(2, 5)), rng.normal(size=(2, 4))
    request = Request(exponent, "V", ("x", "y"))
    good = rows_of(implementation, x, y, request)
    x[0, 2] = bad
    spoilt = rows_of(implementation, x, y, request)
    assert not np.isfinite(spoilt[0][0])
    for one, other in zip(good, spoilt, strict=True):
        np.testing.assert_array_equal(one[1:], other[1:])


def test_rows_do_not_see_the_order_of_points(implementation, rng) -> None:
    x, y = rng.integers(-4, 4, size=(2, 3, 40)) / 3
    mixed, other = rng.permutation(40), rng.permutation(40)
    request = Request(1.0, "V", ("x", "y"))
    value, gx, gy = rows_of(implementation, x, y, request)
    again, moved_x, moved_y = rows_of(implementation, x[:, mixed], y[:, other], request)
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(moved_x, gx[:, mixed])
    np.testing.assert_array_equal(moved_y, gy[:, other])
    assert (value >= 0).all()


# -- where points lie ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 8, 9, 40])
@pytest.mark.parametrize("offset", [-3.0, -1.0, 0.0, 1.0, 3.0])
def test_points_around_the_origin_are_those_that_centring_leaves(n: int, offset: float) -> None:
    for seed in range(20):
        x = np.random.default_rng([n, seed]).normal(size=(2, n, 3)) + offset
        y = np.random.default_rng([seed, n]).normal(size=(2, 5, 3)) * 100
        if seen_around_origin(x):
            moved = centred(x, y)
            assert moved[0] is x
            assert moved[1] is y
        elif n >= 8:
            assert (np.sign(x[:, :8]) == np.sign(x[:, :1])).all(axis=1).any()
