"""Transport between rows against quantile functions that are looked up level by level."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is an extra")

from energyflow_kernels.numba.transport.rows import wasserstein_rows

rng = np.random.default_rng(3)


def slow(x, y, a, b, p):
    """W_p^p of one row: the coupling of sorted points, piece by piece."""
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    ends = [np.cumsum(w) for w in (a[i], b[j])]
    ends[0][-1] = ends[1][-1] = 1.0
    levels = np.sort(np.concatenate(ends))
    middles = (levels + np.concatenate([[0.0], levels[:-1]])) / 2
    of_x, of_y = (
        z[np.minimum(np.searchsorted(e, middles), len(z) - 1)]
        for e, z in zip(ends, (x[i], y[j]), strict=True)
    )
    away = of_x.astype(np.float64) - of_y
    return np.sum(np.diff(levels, prepend=0.0) * np.abs(away) ** p)


def weights(n, given):
    w = rng.random(n) if given else np.ones(n)
    return w / w.sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("given", ["", "a", "ab"])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (2, 63), (64, 64), (100, 75), (1025, 1000)])
def test_values(n, m, given, p, dtype):
    x, y = (rng.normal(size=(3, k)).astype(dtype) for k in (n, m))
    a, b = weights(n, "a" in given), weights(m, "b" in given)
    value, gx, gy = wasserstein_rows(
        x, y, a if "a" in given else None, b if "b" in given else None, p=p, wrt=()
    )
    assert gx is gy is None
    expected = [slow(u, v, a, b, p) for u, v in zip(x, y, strict=True)]
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 5), (40, 60)])
def test_gradients_by_finite_differences(n, m, given, p):
    x, y = rng.normal(size=(1, n)), rng.normal(size=(1, m)) + 0.3
    a, b = (weights(k, True) if given else None for k in (n, m))
    _, gx, gy = wasserstein_rows(x, y, a, b, p=p, wrt=("x", "y"))
    for points, g in ((x, gx), (y, gy)):
        for k in range(points.shape[1]):
            kept, ends = points[0, k], []
            for h in (1e-6, -1e-6):
                points[0, k] = kept + h
                ends.append(wasserstein_rows(x, y, a, b, p=p, wrt=())[0][0])
            points[0, k] = kept
            assert g[0, k] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("m", [60, 45])
def test_ties_share_their_slopes_whatever_their_order(m, given, dtype):
    x = rng.integers(-2, 3, size=(1, 60)).astype(dtype)
    y = rng.integers(-2, 3, size=(1, m)).astype(dtype)
    x[0, :4] = [0.0, -0.0, 0.0, -0.0]
    a = weights(60, given)
    value, gx, _ = wasserstein_rows(x, y, a if given else None, p=1.5)
    for level in np.unique(x):
        slopes = (gx[0] / a)[x[0] == level]
        np.testing.assert_allclose(slopes, slopes[0], rtol=1e-5 if dtype == np.float32 else 1e-12)
    order = rng.permutation(60)
    again = wasserstein_rows(x[:, order], y, a[order] if given else None, p=1.5)
    np.testing.assert_allclose(again[0], value, rtol=1e-12)
    np.testing.assert_allclose(again[1], gx[:, order], rtol=1e-5, atol=1e-12)


def test_equal_sets_are_at_rest():
    x = rng.normal(size=(2, 30))
    value, gx, gy = wasserstein_rows(x, x[:, ::-1].copy(), p=1.0, wrt=("x", "y"))
    assert not value.any()
    assert not gx.any()
    assert not gy.any()


def test_the_number_of_threads_changes_no_bit():
    x, y = rng.normal(size=(50, 900)), rng.normal(size=(50, 700))
    one, two = (wasserstein_rows(x, y, wrt=("x", "y"), n_threads=k) for k in (1, 3))
    assert all(np.array_equal(p, q) for p, q in zip(one, two, strict=True))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("m", [20, 31])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_with_a_number_that_is_not_finite(bad, m, given):
    x, y = rng.normal(size=(2, 20)), rng.normal(size=(2, m))
    x[1, 7] = bad
    value, *_ = wasserstein_rows(x, y, weights(20, True) if given else None, wrt=("x", "y"))
    assert np.isfinite(value[0])
    assert not np.isfinite(value[1])


def test_bad_arguments():
    x = rng.normal(size=(2, 20))
    with pytest.raises(TypeError):
        wasserstein_rows(x, x.astype(np.float32))
    with pytest.raises(ValueError, match="expected"):
        wasserstein_rows(x, x[:1])
    with pytest.raises(ValueError, match="at least 1 point"):
        wasserstein_rows(x, x[:, :0])
