import math
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="Numba is not installed")

from compiled_functions import from_python
from energyflow_kernels.numba.powers import power
from energyflow_kernels.numba.riesz_rows import riesz_rows

EXPONENTS = (0.1, 0.5, 0.9, 1.0, 1.1, 1.5, 1.9)


def naive(x, y, a=None, b=None, *, exponent, unbiased=False):
    """Direct sums of one row, in blocks: value, gradient for x, gradient for y."""
    a = np.full(x.size, 1 / x.size) if a is None else a
    b = np.full(y.size, 1 / y.size) if b is None else b
    s_x = 1 / (1 - np.sum(a**2)) if unbiased else 1.0
    s_y = 1 / (1 - np.sum(b**2)) if unbiased else 1.0

    def sums(targets, sources, weights):
        potential, force = np.empty(targets.size), np.empty(targets.size)
        for start in range(0, targets.size, 256):
            block = slice(start, start + 256)
            z = targets[block, None] - sources
            size = np.where(z == 0, 1.0, np.abs(z))
            pull = np.where(z == 0, 0.0, size ** (exponent - 1) * np.sign(z))
            potential[block] = (pull * z) @ weights
            force[block] = exponent * pull @ weights
        return potential, force

    xy, x_to_y = sums(x, y, b)
    xx, x_to_x = sums(x, x, a)
    yx, y_to_x = sums(y, x, a)
    yy, y_to_y = sums(y, y, b)
    value = a @ xy + b @ yx - s_x * a @ xx - s_y * b @ yy
    return value, 2 * a * (x_to_y - s_x * x_to_x), 2 * b * (y_to_x - s_y * y_to_y)


def relative(result, expected):
    """Relative error in norm, taken in units of the largest entry so that squares stay finite."""
    unit = np.max(np.abs(expected)) or 1.0
    return np.linalg.norm((result - expected) / unit) / (np.linalg.norm(expected / unit) or 1.0)


def sample(kind, n, rng):
    if kind == "normal":
        return rng.standard_normal(n)
    if kind == "cauchy":
        return rng.standard_cauchy(n)
    if kind == "log-uniform":
        return rng.choice([-1, 1], n) * np.exp(rng.uniform(-200, 200, n))
    if kind == "clustered":
        tight = rng.integers(-3, 4, n) + 1e-6 * rng.standard_normal(n)
        return np.where(rng.random(n) < 0.5, tight, 10 * rng.standard_normal(n))
    if kind == "far":
        return 1e6 + rng.standard_normal(n)
    return np.round(rng.standard_normal(n), 2)


KINDS = ("normal", "cauchy", "log-uniform", "clustered", "far", "duplicates")


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_within_the_tolerance(kind, exponent, tolerance):
    rng = np.random.default_rng(7)
    x, y = sample(kind, 1500, rng), sample(kind, 1100, rng)
    values, gx, gy = riesz_rows(
        x[None], y[None], exponent=exponent, tolerance=tolerance, wrt=("x", "y")
    )
    value, tx, ty = naive(x, y, exponent=exponent)
    allowed = max(tolerance, 1e-11)  # rounding of the direct sums
    assert relative(gx[0], tx) <= allowed
    assert relative(gy[0], ty) <= allowed
    assert values[0] == pytest.approx(value, rel=10 * allowed)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("pattern", [(0, 1), (0, 1, 1, 0)])
def test_gradient_keeps_the_tolerance_where_x_and_y_nearly_cancel(pattern, exponent):
    """Interlaced points: the far field nearly vanishes, and so does most of the gradient."""
    t = (np.arange(3000) + 0.5) / 3000
    z = np.log(t / (1 - t))
    side = np.resize(pattern, z.size)
    x, y = z[side == 0], z[side == 1]
    values, gx, gy = riesz_rows(x[None], y[None], exponent=exponent, wrt=("x", "y"))
    value, tx, ty = naive(x, y, exponent=exponent)
    assert relative(np.r_[gx[0], gy[0]], np.r_[tx, ty]) <= 1e-4
    assert values[0] == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 2), (63, 64), (1000, 63), (127, 128), (129, 2), (1, 1), (1, 9)]
)
def test_agrees_with_direct_sums_at_awkward_sizes(shape, weighted, unbiased):
    n, m = shape
    if unbiased and min(shape) == 1:
        with pytest.raises(ValueError, match="two points"):
            riesz_rows(np.zeros((1, n)), np.zeros((1, m)), exponent=1.3, unbiased=True)
        return
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((3, n)).round(1), rng.standard_normal((3, m)).round(1)
    a = rng.dirichlet(np.ones(n), 3) if weighted else None
    b = rng.dirichlet(np.ones(m)) if weighted else None
    options = {"exponent": 0.7, "unbiased": unbiased}
    values, gx, gy = riesz_rows(x, y, a, b, **options, tolerance=1e-9, wrt=("x", "y"))
    for row in range(3):
        value, tx, ty = naive(x[row], y[row], None if a is None else a[row], b, **options)
        assert values[row] == pytest.approx(value, rel=1e-8, abs=1e-10)
        assert relative(gx[row], tx) <= 1e-8
        assert relative(gy[row], ty) <= 1e-8


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e150])
def test_scales_as_a_homogeneous_function(scale):
    rng = np.random.default_rng(1)
    x, y = rng.standard_cauchy((2, 900)), rng.standard_cauchy((2, 700))
    values, gx, _ = riesz_rows(x, y, exponent=1.5)
    scaled, scaled_gx, _ = riesz_rows(x * scale, y * scale, exponent=1.5)
    with np.errstate(under="ignore"):
        assert scaled == pytest.approx(values * scale**1.5, rel=1e-3)
        assert relative(scaled_gx, gx * scale**0.5) <= 2e-4


points = st.lists(st.floats(-8, 8, width=16), min_size=1, max_size=90)


@given(points, points, st.floats(0.05, 1.95))
@settings(deadline=None, max_examples=60)
def test_sums_of_few_points(x, y, exponent):
    x, y = np.array(x), np.array(y)
    values, gx, gy = riesz_rows(x[None], y[None], exponent=exponent, tolerance=1e-9, wrt=("x", "y"))
    value, tx, ty = naive(x, y, exponent=exponent)
    size = np.max(np.abs(np.r_[x, y]), initial=0.0) ** exponent
    assert values[0] == pytest.approx(value, rel=1e-7, abs=1e-12 * size)
    largest = np.max(np.abs(np.r_[tx, ty]))
    assert gx[0] == pytest.approx(tx, rel=1e-7, abs=1e-8 * largest + 1e-12)
    assert gy[0] == pytest.approx(ty, rel=1e-7, abs=1e-8 * largest + 1e-12)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_equal_sets_have_no_energy_and_no_gradient(exponent):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1, 777)).round(2)
    y = rng.permutation(np.tile(x, 3), axis=1)
    values, gx, gy = riesz_rows(x, y, exponent=exponent, wrt=("x", "y"))
    assert values[0] == 0
    assert not gx.any()
    assert not gy.any()


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_two_points_in_closed_form(exponent):
    values, gx, gy = riesz_rows(np.array([[3.0]]), np.array([[1.0]]), exponent=exponent, wrt="xy")
    assert values[0] == pytest.approx(2 * 2**exponent, rel=1e-12)
    assert gx[0, 0] == pytest.approx(2 * exponent * 2 ** (exponent - 1), rel=1e-12)
    assert gy[0, 0] == -gx[0, 0]


def test_gradients_sum_to_zero_and_give_the_value_by_homogeneity():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((1, 5000)), rng.standard_normal((1, 4000)) + 1
    values, gx, gy = riesz_rows(x, y, exponent=1.4, tolerance=1e-8, wrt=("x", "y"))
    assert abs(gx.sum() + gy.sum()) <= 1e-8 * np.abs(gx).sum()
    assert (x * gx).sum() + (y * gy).sum() == pytest.approx(1.4 * values[0], rel=1e-7)


def test_signed_zeros_are_ties():
    x, y = np.array([[0.0, -0.0, 1.0]]), np.array([[-0.0, 2.0]])
    _, gx, gy = riesz_rows(x, y, exponent=0.5, wrt=("x", "y"))
    _, tx, ty = riesz_rows(np.abs(x), np.abs(y), exponent=0.5, wrt=("x", "y"))
    assert np.array_equal(gx, tx)
    assert np.array_equal(gy, ty)
    assert np.isfinite(gx).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_says_so_alone(bad):
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((3, 500)), rng.standard_normal((3, 500))
    expected, _, _ = riesz_rows(x, y, exponent=1.5)
    x[1, 17] = bad
    values, _, _ = riesz_rows(x, y, exponent=1.5)
    assert np.isnan(values[1])
    assert np.array_equal(values[[0, 2]], expected[[0, 2]])


def test_rows_may_be_float32_strided_and_read_only():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((4, 600)).astype(np.float32)[::2, ::-1]
    y = np.broadcast_to(rng.standard_normal(500).astype(np.float32), (2, 500))
    before = x.copy()
    values, gx, gy = riesz_rows(x, y, exponent=1.5)
    doubles, wide, _ = riesz_rows(x.astype(float), y.astype(float), exponent=1.5)
    assert np.array_equal(values, doubles)
    assert gx.dtype == np.float32
    assert np.array_equal(gx, wide.astype(np.float32))
    assert gy is None
    assert np.array_equal(x, before)


def test_every_number_of_threads_gives_the_same_bits(monkeypatch):
    rng = np.random.default_rng(6)
    x, y = rng.standard_cauchy((9, 3000)), rng.standard_cauchy((9, 2000))
    one = riesz_rows(x, y, exponent=0.6, wrt=("x", "y"), n_threads=1)
    monkeypatch.setenv("ENERGYFLOW_NUM_THREADS", "5")
    results = [riesz_rows(x, y, exponent=0.6, wrt=("x", "y"))]
    callers = [
        threading.Thread(
            target=lambda: results.append(riesz_rows(x, y, exponent=0.6, wrt=("x", "y")))
        )
        for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 4
    for result in results:
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, result, strict=True))


@pytest.mark.parametrize("exponent", [-0.99, -0.5, -0.1, 0.0, 0.3, 0.5, 0.99])
def test_powers(exponent):
    base = np.r_[1.0, np.nextafter([0.5**0.5, 1.0], 0), np.exp(np.linspace(-700, 700, 1001))]
    out = np.full_like(base, np.nan)
    from_python(power)(base, exponent, out)
    assert out == pytest.approx(base**exponent, rel=2e-13)


def test_points_that_pile_up_cost_no_more():
    """Points that crowd towards several places at every scale, against normal ones."""
    rng = np.random.default_rng(8)
    steps = 2.0 ** rng.uniform(-40, 0, (1, 40_000))
    crowded = rng.integers(0, 4, steps.shape) + steps * rng.choice([-1, 1], steps.shape)

    def seconds(z):
        best = math.inf
        for _ in range(5):
            start = time.thread_time()
            riesz_rows(z[:, ::2], z[:, 1::2], exponent=1.5, n_threads=1)
            best = min(best, time.thread_time() - start)
        return best

    assert seconds(crowded) < 4 * seconds(rng.standard_normal(steps.shape))


@pytest.mark.parametrize(
    "options", [{"exponent": 0.0}, {"exponent": 2.0}, {"exponent": 1.5, "tolerance": 1e-13}]
)
def test_arguments_out_of_range(options):
    with pytest.raises(ValueError, match="must lie in"):
        riesz_rows(np.zeros((1, 2)), np.zeros((1, 2)), **options)
