"""Fused sums over pairs against the formula, in float64 with all differences at once."""

import math
from typing import NamedTuple

import numpy as np
import pytest

import energyflow as ef

pytest.importorskip("numba", reason="numba is an extra")

from energyflow_kernels.numba.pairs.energies import pair_energies
from energyflow_kernels.numba.pairs.kernel_sums import pair_sums

rng = np.random.default_rng(2)
_BEGUN = rng.bit_generator.state


@pytest.fixture(autouse=True)
def same_data() -> None:
    """Each test draws the same data, whichever ran before it in its worker."""
    rng.bit_generator.state = _BEGUN


POWER, GAUSS, MATERN = "power", "gauss", "matern"


class Expected(NamedTuple):
    """Value and gradients of one pair of sets, and the sums of what they add, without signs."""

    numbers: tuple
    sizes: tuple

    def of_points_scaled(self, by):
        """Of points that all are so many times larger, for the exponent 1."""
        return Expected(*((value * by, *slopes) for value, *slopes in self))


def slow_energies(x, y, a, b, exponent=1.0, scales=(1.0, 1.0)):
    x, y = x.astype(np.float64), y.astype(np.float64)
    z = np.concatenate([x, y])
    w = np.block([[scales[0] * np.outer(a, a), -np.outer(a, b)],
                  [-np.outer(b, a), scales[1] * np.outer(b, b)]])  # fmt: skip
    away = z[:, None] - z
    far = np.sqrt(np.sum(away**2, axis=2))
    apart = np.where(far > 0, far, 1.0)
    force = np.where(far > 0, exponent * apart ** (exponent - 2), 0.0)
    powers = np.where(far > 0, apart**exponent, 0.0)
    gradient = -2 * np.einsum("kl,kld->kd", w * force, away)
    total = 2 * np.max(np.einsum("kl,kld->kd", np.abs(w * force), np.abs(away)))
    numbers = (-np.sum(w * powers), gradient[: len(x)], gradient[len(x) :])
    return Expected(numbers, (np.sum(np.abs(w) * powers), total, total))


def uniform(n):
    return np.full(n, 1 / n)


def compare(found, expected, tolerance=1e-14):
    """Differences of means may be small beside these, so the bound is relative to the means."""
    for f, e, size in zip(found, *expected, strict=True):
        assert f.dtype == np.float64
        np.testing.assert_allclose(f[0], e, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 2), (2, 63), (63, 64), (65, 129), (257, 255)])
@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 16, 17])
def test_all_sizes(n, m, d, dtype):
    x, y = (rng.normal(size=(k, d)).astype(dtype) + 0.3 for k in (n, m))
    found = pair_energies(x[None], y[None], wrt=("x", "y"))
    compare(found, slow_energies(x, y, uniform(n), uniform(m)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [895, 896, 897, 1800])
def test_more_coordinates_than_stay_at_once(d, dtype):
    x, y = (rng.normal(size=(k, d)).astype(dtype) for k in (70, 35))
    y += 0.2
    found = pair_energies(x[None], y[None], wrt=("x", "y"), exponent=1.3)
    compare(found, slow_energies(x, y, uniform(70), uniform(35), 1.3))


@pytest.mark.parametrize("exponent", [1e-9, 0.5, 1.0, 1.5, np.nextafter(2, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponents_weights_ties_and_estimators(exponent, dtype):
    x, y = (rng.integers(-1, 2, size=(k, 3)).astype(dtype) for k in (90, 70))
    x[:5] *= -0.0
    a, b = (w / w.sum() for w in (rng.random(90), rng.random(70)))
    a[3] = 0.0
    a /= a.sum()
    found = pair_energies(
        x[None], y[None], a[None], b[None],
        exponent=exponent, self_scales=(1.25, np.array([[1.5]])), wrt=("x", "y"),
    )  # fmt: skip
    compare(found, slow_energies(x, y, a, b, exponent, (1.25, 1.5)))
    assert not found[1][0, 3].any()


@pytest.mark.parametrize(("n", "d"), [(1100, 2), (700, 40)])
def test_the_number_of_threads_changes_no_bit(n, d):
    x, y = rng.normal(size=(1, n, d)), rng.normal(size=(1, n // 2, d)).astype(np.float64)
    one, *others = (pair_energies(x, y, wrt=("x", "y"), n_threads=k) for k in (1, 2, 5))
    compare(one, slow_energies(x[0], y[0], uniform(n), uniform(n // 2)))
    for other in others:
        assert all(np.array_equal(p, q) for p, q in zip(one, other, strict=True))


def test_sets_are_summed_by_themselves():
    x, y = rng.normal(size=(7, 20, 3)), rng.normal(size=(7, 30, 3))
    y *= 10.0 ** np.arange(7)[:, None, None]
    value, gx, gy = pair_energies(x, y, wrt=("y",), exponent=1.2)
    assert gx is None
    for k in range(7):
        alone = pair_energies(x[k : k + 1], y[k : k + 1], wrt=("y",), exponent=1.2)
        assert value[k] == alone[0][0]
        assert np.array_equal(gy[k], alone[2][0])


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-500, 2.0**500, 2.0**900])
def test_powers_of_two_scale_without_rounding(scale):
    x, y = rng.normal(size=(1, 50, 3)), rng.normal(size=(1, 40, 3))
    one, other = (pair_energies(x * s, y * s, wrt=("x", "y")) for s in (1.0, scale))
    assert other[0] == one[0] * scale
    assert np.array_equal(one[1], other[1])
    assert np.array_equal(one[2], other[2])


@pytest.mark.parametrize("d", [3, 20])
def test_far_from_the_origin_and_close_together(d):
    """Differences of nearby numbers are exact, wherever they are."""
    grid = rng.integers(-50, 50, size=(80, d)).astype(np.float64)
    for offset, unit in ((2.0**40, 1.0), (0.0, 2.0**-45)):
        x, y = grid[:40] * unit + offset, grid[40:] * unit + offset
        found = pair_energies(x[None], y[None], wrt=("x", "y"))
        expected = slow_energies(grid[:40], grid[40:], uniform(40), uniform(40))
        compare(found, expected.of_points_scaled(unit))
    wide = (grid * 8 + 2.0**26).astype(np.float32)
    found = pair_energies(wide[None, :40], wide[None, 40:], wrt=("x", "y"))
    compare(found, expected.of_points_scaled(8))


@pytest.mark.parametrize("d", [20, 900])
def test_near_pairs_of_float32_lose_no_digits(d):
    """Inner products alone would leave few digits of distances so short beside the norms."""
    places = rng.choice([-30.0, 0.0, 50.0], size=(150, 1)) + 2.0**-9 * rng.normal(size=(150, d))
    x = places[:80].astype(np.float32)
    y = np.concatenate([x[5:25], np.nextafter(x[30:40], np.float32(99)), places[80:]])
    y = y.astype(np.float32)
    a, b = (w / w.sum() for w in (rng.random(len(x)), rng.random(len(y))))
    found = pair_energies(x[None], y[None], a[None], b[None], wrt=("x", "y"))
    (value, *slopes), (size, *_) = slow_energies(x, y, a, b)
    compare(found[:1], Expected((value,), (size,)))
    for slope, expected in zip(found[1:], slopes, strict=True):  # of sums of products, as ever
        np.testing.assert_allclose(slope[0], expected, rtol=0, atol=1e-8 * np.max(np.abs(expected)))
    assert abs(pair_energies(x[None], x[None])[0][0]) < 1e-14 * np.max(np.abs(x)) * d
    one = pair_energies(x[None, :1], x[None, :1] * np.float32(1), wrt=("x", "y"))
    assert one[0] == 0
    assert not one[1].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_number_that_is_not_finite_shows_in_the_value(bad, side):
    sets = [rng.normal(size=(2, 70, 4)), rng.normal(size=(2, 66, 4))]
    sets[side][1, 65, 2] = bad
    with np.errstate(all="ignore"):
        value, *_ = pair_energies(*sets)
    assert np.isfinite(value[0])
    assert not np.isfinite(value[1])


KERNELS = [
    (ef.kernels.Riesz(1.3), (POWER, 1.3, 0.0), -1.0),
    (ef.kernels.Energy(), (POWER, 1.0, 0.0), -1.0),
    (ef.kernels.Gauss(0.7), (GAUSS, 0.7, 0.0), 1.0),
    (ef.kernels.Laplace(1.25), (MATERN, 0.8, 0.0), 1.0),
    *(
        (ef.kernels.Matern(nu, 0.8), (MATERN, math.sqrt(2 * nu) / 0.8, nu - 0.5), 1.0)
        for nu in (0.5, 1.5, 2.5, 7.5)
    ),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 12])
@pytest.mark.parametrize(("kernel", "profile", "sign"), KERNELS)
def test_sums_of_kernels(kernel, profile, sign, d, dtype):
    x, y = (rng.normal(size=(2, k, d)).astype(dtype) for k in (270, 130))
    y[:, :9] = x[:, :9]
    x[0, -1] += 1e4  # where exp vanishes
    w = rng.normal(size=(2, 130))
    away = (x[:, :, None] - y[:, None]).astype(np.float64)
    if dtype == np.float32:
        away = x.astype(np.float64)[:, :, None] - y.astype(np.float64)[:, None]
    far = np.sqrt(np.sum(away**2, axis=3))
    expected = np.einsum("bm,bnm->bn", w, kernel.value(far))
    found = sign * pair_sums(x, y, w, profile)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13 * np.max(np.abs(expected)))
    apart = np.where(far > 0, far, 1.0)
    pull = np.where(far > 0, kernel.slope(apart) / apart, 0.0)
    expected = np.einsum("bm,bnm,bnmd->bnd", w, pull, away)
    found = sign * pair_sums(x, y, w, profile, gradient=True)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13 * np.max(np.abs(expected)))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize(("profile", "power"), [((POWER, 1.5, 0.0), 1.5), ((GAUSS, 0.7, 0.0), 0.0),
                                                ((MATERN, 1.2, 1.0), 0.0)])  # fmt: skip
def test_sums_of_kernels_at_all_scales(profile, power, scale):
    x, y, w = rng.normal(size=(1, 30, 3)), rng.normal(size=(1, 20, 3)), rng.normal(size=(1, 20))
    kind, first, second = profile
    first = {POWER: first, GAUSS: first * scale, MATERN: first / scale}[kind]
    for gradient in (False, True):
        one = pair_sums(x, y, w, profile, gradient=gradient)
        other = pair_sums(x * scale, y * scale, w, (kind, first, second), gradient=gradient)
        factor = scale ** (power - gradient)
        np.testing.assert_allclose(other / factor, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("profile", [(GAUSS, 0.7, 0.0), (MATERN, 1.2, 0.0), (MATERN, 1.2, 2.0)])
def test_a_point_far_away_hides_no_pair(profile):
    x = rng.normal(size=(1, 30, 3))
    y, w = x[:, :20] + 0.1, rng.normal(size=(1, 20))
    for far in (1e150, 1e200, 1.7e308):
        away = np.concatenate([x, np.full((1, 1, 3), far), np.full((1, 1, 3), -far)], axis=1)
        for gradient in (False, True):
            near = pair_sums(x, y, w, profile, gradient=gradient)
            found = pair_sums(away, y, w, profile, gradient=gradient)
            np.testing.assert_allclose(found[:, :30], near, rtol=1e-12, atol=1e-15)
            assert not found[:, 30:].any()
