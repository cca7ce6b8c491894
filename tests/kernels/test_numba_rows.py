"""Energy distances of rows on the CPU against direct sums over all pairs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("numba", reason="numba is not installed")

from compiled_functions import from_python
from energyflow_kernels.numba import row_kernels as numba_kernels
from energyflow_kernels.numba import rows as numba_rows
from energyflow_kernels.numba import threads as numba_threads
from energyflow_kernels.numba.rows import energy_rows

DTYPES = (np.float32, np.float64)
SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (63, 64), (65, 63), (127, 600), (1000, 33), (257, 255)]
SPREADS = ("loose", "ties", "signed zeros", "equal", "tiny", "huge", "close")


def naive(x, y, a=None, b=None, unbiased=False):
    """One row's value and gradients: sums over all pairs, in double precision."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    a = np.full(x.size, 1 / x.size) if a is None else a
    b = np.full(y.size, 1 / y.size) if b is None else b
    s_x = 1 / (1 - np.sum(a * a)) if unbiased else 1.0
    s_y = 1 / (1 - np.sum(b * b)) if unbiased else 1.0
    xy, xx, yy = x[:, None] - y, x[:, None] - x, y[:, None] - y
    value = 2 * a @ abs(xy) @ b - s_x * (a @ abs(xx) @ a) - s_y * (b @ abs(yy) @ b)
    gx = 2 * a * (np.sign(xy) @ b - s_x * (np.sign(xx) @ a))
    gy = 2 * b * (-(a @ np.sign(xy)) - s_y * (np.sign(yy) @ b))
    return value, gx, gy


def sample(rng, shape, spread, dtype):
    points = rng.standard_normal(shape)
    match spread:
        case "ties":
            points = np.round(points)
        case "signed zeros":
            points = np.copysign(0.0, points) + (rng.random(shape) < 0.2) * points
        case "equal":
            points = np.full(shape, -1.7)
        case "tiny":
            points = points * 1e-36
        case "huge":
            points = points * 1e30
        case "close":
            points = 1.0 + points * 1e-11
    return points.astype(dtype)


def draw_weights(rng, shape):
    weights = rng.random(shape)
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.fixture
def poisoned(monkeypatch):
    """Fill new arrays with what must not be read."""

    def filled(shape, dtype=np.float64):
        array = np.empty(shape, dtype)
        array.fill(np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max)
        return array

    monkeypatch.setattr(numba_rows, "np", SimpleNamespace(**{**vars(np), "empty": filled}))


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("size", SIZES)
def test_rows_are_the_direct_sums(rng, size, spread, dtype):
    n, m = size
    xp, yp = sample(rng, (2, n), spread, dtype), sample(rng, (2, m), spread, dtype)
    scale = float(max(abs(xp).max(), abs(yp).max()))
    rows_a, row_b = draw_weights(rng, (2, n)), draw_weights(rng, m)
    for unbiased in (False, True) if min(size) > 1 else (False,):
        for a, b in ((None, None), (rows_a, None), (None, row_b), (rows_a, row_b)):
            values, gx, gy = energy_rows(xp, yp, a, b, unbiased=unbiased, wrt=("x", "y"))
            assert values.dtype == np.float64
            assert gx.dtype == gy.dtype == dtype
            for r in range(2):
                a_r = None if a is None else a[r]
                value, right_x, right_y = naive(xp[r], yp[r], a_r, b, unbiased)
                np.testing.assert_allclose(values[r], value, rtol=1e-11, atol=1e-12 * scale)
                tolerance = 1e-6 if dtype == np.float32 else 1e-13
                np.testing.assert_allclose(gx[r], right_x, rtol=tolerance, atol=tolerance / n)
                np.testing.assert_allclose(gy[r], right_y, rtol=tolerance, atol=tolerance / m)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1023, 1024, 1025, (1 << 19) - 5, (1 << 19) + 5])
def test_long_rows_against_ranks(rng, n, dtype):
    x, y = (rng.standard_normal(k).astype(dtype) for k in (n, 7))
    _, (gx,), (gy,) = energy_rows(x[None], y[None], wrt="xy")
    for points, g, sign in ((x, gx, 1), (y, gy, -1)):
        mid_x, mid_y = (
            (np.searchsorted(s, points) + np.searchsorted(s, points, "right")) / s.size
            for s in (np.sort(x), np.sort(y))
        )
        tolerance = 1e-6 if dtype == np.float32 else 1e-14
        want = sign * 2 / points.size * (mid_y - mid_x)
        np.testing.assert_allclose(g, want, rtol=tolerance, atol=1e-15)


@pytest.mark.parametrize("low_bits", [1, 8, 31])
def test_float64_that_differ_in_the_lower_half_only(rng, low_bits):
    bits = rng.integers(0, 1 << low_bits, (2, 500)).astype(np.uint64) + np.uint64(0x3FF << 52)
    for sign in (1.0, -1.0):
        x, y = sign * bits.view(np.float64)
        _, (gx,), (gy,) = energy_rows(x[None], y[None], wrt="xy")
        _, right_x, right_y = naive(x, y)
        np.testing.assert_allclose(gx, right_x, rtol=1e-13, atol=1e-18)
        np.testing.assert_allclose(gy, right_y, rtol=1e-13, atol=1e-18)


def numbers(width):
    few = st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0])
    return st.one_of(few, st.floats(-1e6, 1e6, width=width))


@st.composite
def pairs(draw):
    width = draw(st.sampled_from([32, 64]))
    dtype = np.float32 if width == 32 else np.float64
    sizes = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    return tuple(draw(hnp.arrays(dtype, (1, n), elements=numbers(width))) for n in sizes)


@given(pairs(), st.randoms(use_true_random=False))
def test_axioms_hold_bit_for_bit(pair, random):
    x, y = pair
    value, gx, gy = energy_rows(x, y, wrt="xy")
    assert value >= 0
    swapped, gy_swapped, gx_swapped = energy_rows(y, x, wrt="xy")
    np.testing.assert_array_equal(swapped, value)
    np.testing.assert_array_equal(gx_swapped, gx)
    np.testing.assert_array_equal(gy_swapped, gy)
    places = random.sample(range(x.shape[1]), x.shape[1])
    shuffled, gx_shuffled, _ = energy_rows(x[:, places], y)
    np.testing.assert_array_equal(shuffled, value)
    np.testing.assert_array_equal(gx_shuffled, gx[:, places])
    mirrored, gx_mirrored, _ = energy_rows(-x, -y)
    np.testing.assert_allclose(mirrored, value, rtol=1e-12)
    np.testing.assert_array_equal(gx_mirrored, -gx)


@given(pairs())
def test_equal_sets_are_at_rest(pair):
    x, _ = pair
    for y in (x[:, ::-1], np.repeat(x, 3, axis=1)):
        value, gx, gy = energy_rows(x, y, wrt="xy")
        assert value == 0
        assert not gx.any()
        assert not gy.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("unbiased", [False, True])
def test_points_that_are_all_equal_have_no_gradient(rng, dtype, unbiased):
    x, y = np.zeros((1, 30), dtype), -np.zeros((1, 50), dtype)
    for a, b in ((None, None), (draw_weights(rng, 30), draw_weights(rng, 50))):
        value, gx, gy = energy_rows(x, y, a, b, unbiased=unbiased, wrt="xy")
        assert value == 0
        assert not gx.any()
        assert not gy.any()


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_one_point_against_one(x, y):
    value, gx, gy = energy_rows(np.array([[x]]), np.array([[y]]), wrt="xy")
    assert value == 2 * abs(x - y)
    assert gx == -gy == 2 * np.sign(x - y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_threads_change_no_bit(rng, dtype, weighted):
    xp, yp = (rng.standard_normal((101, n)).astype(dtype) for n in (700, 401))
    a = draw_weights(rng, 700) if weighted else None
    one = energy_rows(xp, yp, a, wrt="xy", n_threads=1)
    for n_threads in (2, 3, 8, 200):
        many = energy_rows(xp, yp, a, wrt="xy", n_threads=n_threads)
        assert all(u.tobytes() == v.tobytes() for u, v in zip(one, many, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_any_layout(rng, dtype):
    store = rng.standard_normal((10, 60)).astype(dtype)
    layouts = (
        store[:, 5:40],
        store[::2, 5:40],
        store[::-1, 5:40],
        store[:, ::-1],
        store.T,
        np.broadcast_to(store[0], (4, 60)),
        np.broadcast_to(store[:, :1], (10, 3)),
        store[:1, ::2],
    )
    for rows in layouts:
        weights = np.broadcast_to(draw_weights(rng, rows.shape[1]), rows.shape)
        rows.flags.writeable = False
        plain = np.array(rows, order="C")
        for a in (None, weights, weights[0], weights.copy(), np.asfortranarray(weights)):
            got = energy_rows(rows, rows[:, :2], a, wrt="xy")
            want = energy_rows(plain, plain[:, :2].copy(), a, wrt="xy")
            assert all(u.tobytes() == v.tobytes() for u, v in zip(got, want, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_says_so(rng, dtype, bad):
    for n_bad in (1, 5, 40):
        for weights in (None, draw_weights(rng, 40)):
            xp, yp = (rng.standard_normal((3, 40)).astype(dtype) for _ in range(2))
            xp[1, :n_bad] = bad
            for rows in ((xp, yp), (yp, xp), (xp, xp)):
                values, *_ = energy_rows(*rows, weights, weights)
                np.testing.assert_array_equal(np.isfinite(values), [True, False, True])


@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_of_infinities_are_not_written_beyond_their_array(dtype):
    z = np.array([-np.inf, -np.inf, 1, 1, np.inf, np.inf], dtype)
    places = np.full(5, 99, np.uint32)
    from_python(numba_kernels._tied)(z, places[:1])  # one gap is zero
    np.testing.assert_array_equal(places, [0, 99, 99, 99, 99])
    many = np.full((1, 3 * numba_kernels.COUNTERS), np.inf, dtype)
    many[0, :2] = 1
    for _ in range(5):
        assert not np.isfinite(energy_rows(many, many[:, :2].copy())[0])


@pytest.mark.slow
def test_ten_million_points():
    """Whole numbers, each five times, against as many that are moved by three."""
    count, times, shift = 2_000_000, 5, 3
    numbers = np.repeat(np.arange(count, dtype=np.float32), times)
    order = np.random.default_rng(0).permutation(numbers.size)
    values, gradient, _ = energy_rows(numbers[None, order], numbers[None] + np.float32(shift))
    # A - B rises to shift / count in steps of 1 / count, stays there, and falls
    rising = [2 * (k / count) ** 2 for k in range(1, shift)]
    exact = 2 * (sum(rising) + (count - shift + 1) * (shift / count) ** 2)
    assert values[0] == pytest.approx(exact, rel=1e-12)
    # both limits of B - A, inside; twice the weight
    inside = -2 * shift / count * 2 / numbers.size
    middle = (numbers[order] >= shift) & (numbers[order] < count)
    np.testing.assert_allclose(gradient[0, middle], inside, rtol=1e-6)


@pytest.mark.parametrize(
    "sizes", [(10**7, 10**7), (2**30 - 1, 2**30 - 1), (2**31 - 9, 3), (3, 2**31 - 9)]
)
def test_counts_of_many_points_do_not_overflow(sizes):
    """The arithmetic of the walks with the counts of rows as long as they may be.

    Products of counts pass 2^31 and 2^53 there.
    """
    n, m = sizes
    seen = np.array([1, 2, 3], np.int32)
    z = np.array([0.0, 1.0, 3.0])
    counting = from_python(numba_kernels._squares_counting)
    squares, ties = counting(z, seen, n, m, 1 / (float(n) * float(m)))
    levels = [Fraction(int(v) * (n + m) - (k + 1) * n, n * m) for k, v in enumerate(seen)]
    assert ties == 0
    assert squares == pytest.approx(float(levels[0] ** 2 + 2 * levels[1] ** 2), rel=1e-14)
    slope = -2.0 / (float(n) * float(m)) ** 2
    from_python(numba_kernels._slopes_counting)(z, seen, n, m, slope)
    steps = [levels[0], levels[1] - levels[0], levels[2] - levels[1]]
    sums = [levels[0], levels[0] + levels[1], levels[1] + levels[2]]
    for slope_found, step, both_sides in zip(z, steps, sums, strict=True):
        assert slope_found == pytest.approx(float(-2 * step * both_sides), rel=1e-13)


def test_what_is_not_wanted_is_none(rng):
    xp, yp = rng.standard_normal((2, 4, 5))
    for wrt in ((), ("x",), ("y",), ("x", "y")):
        _, gx, gy = energy_rows(xp, yp, wrt=wrt)
        assert (gx is not None, gy is not None) == ("x" in wrt, "y" in wrt)


def test_no_rows():
    values, gx, _ = energy_rows(np.empty((0, 3)), np.empty((0, 4)))
    assert values.shape == (0,)
    assert gx.shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones((2, 3)), np.ones((2, 3), np.float32)), {}, TypeError, "float64 and float32"),
        ((np.ones((2, 3), int), np.ones((2, 3), int)), {}, TypeError, "int64"),
        ((np.ones((2, 3)), np.ones((1, 3))), {}, ValueError, "got"),
        ((np.ones(3), np.ones(3)), {}, ValueError, r"\(R, N\)"),
        ((np.ones((2, 0)), np.ones((2, 3))), {}, ValueError, "at least 1 points"),
        ((np.ones((2, 1)), np.ones((2, 3))), {"unbiased": True}, ValueError, "at least 2 points"),
        ((np.ones((2, 3)), np.ones((2, 3)), np.ones(2)), {}, ValueError, "weights"),
        ((np.ones((2, 3)), np.ones((2, 3))), {"wrt": ("z",)}, ValueError, "wrt"),
    ],
)
def test_wrong_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        energy_rows(*arguments, **options)


def test_callers_from_several_threads(rng):
    problems = [rng.standard_normal((2, 40, 1000 + k)) for k in range(8)]
    right = [energy_rows(*problem, n_threads=1) for problem in problems]
    with ThreadPoolExecutor(8) as callers:
        got = list(callers.map(lambda p: energy_rows(*p, n_threads=4), problems * 5))
    for want, (values, gx, _) in zip(right * 5, got, strict=True):
        np.testing.assert_array_equal(values, want[0])
        np.testing.assert_array_equal(gx, want[1])


@pytest.mark.skipif(not hasattr(numba_threads.os, "fork"), reason="the system has no fork")
def test_a_forked_child_makes_its_own_threads():
    program = """
import os
import numpy as np
from energyflow_kernels.numba.rows import energy_rows
rows = np.random.default_rng(0).standard_normal((2, 60, 1000))
values = energy_rows(*rows, n_threads=3)[0]
child = os.fork()
if child == 0:
    same = np.array_equal(energy_rows(*rows, n_threads=3)[0], values)
    os._exit(0 if same else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0


def test_an_error_in_one_thread_reaches_the_caller():
    def work(thread, start, stop):
        if start == 7:
            raise ArithmeticError("seven")

    with pytest.raises(ArithmeticError, match="seven"):
        numba_threads.share(work, 20, 1, 4)


def test_number_of_threads_from_the_environment(monkeypatch):
    monkeypatch.setenv("ENERGYFLOW_NUM_THREADS", "5")
    assert numba_threads.usable_threads() == 5
    monkeypatch.delenv("ENERGYFLOW_NUM_THREADS")
    assert numba_threads.usable_threads() >= 1
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)), raising=False)
    for processes, threads in (("5", 2), ("20", 1), ("", 12)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert numba_threads.usable_threads() == threads
    monkeypatch.setenv("ENERGYFLOW_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="many"):
        numba_threads.usable_threads()
