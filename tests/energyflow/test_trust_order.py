"""What the order of the points, and the number of threads, can change: nothing, or rounding."""

import numpy as np
import pytest

import energyflow as ef

rng = np.random.default_rng(3)
WAYS = [("auto", 1.0), ("auto", 0.5), ("auto", 1.5), ("hadamard", 1.0)]


def sliced(implementation, x, y, a=None, *, slicing="auto", exponent=1.0):
    arrays = (None if v is None else implementation.asarray(v) for v in (x, y, a))
    found = ef.sliced_energy_value_and_gradient(
        *arrays, n_projections=6, slicing=slicing, exponent=exponent, rng=0
    )
    return tuple(implementation.to_numpy(v) for v in found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize(("slicing", "exponent"), WAYS)
def test_order_of_the_points(
    implementation, slicing: str, exponent: float, d: int, dtype: str
) -> None:
    """With Numba no bit changes, for r = 1 on the line in no library."""
    x, y = rng.normal(size=(65, d)).astype(dtype), rng.normal(size=(33, d)).astype(dtype)
    how = {"slicing": slicing, "exponent": exponent}
    value, gradient = sliced(implementation, x, y, **how)
    mixed, other = rng.permutation(65), rng.permutation(33)
    again, moved = sliced(implementation, x[mixed], y[other], **how)
    if implementation.backend == "numba" or (d == 1 and exponent == 1):
        assert value == again
        np.testing.assert_array_equal(moved, gradient[mixed])
        return
    rounding = 1e-5 if dtype == "float32" else 1e-12
    assert value == pytest.approx(again, rel=rounding)
    size = np.abs(gradient).max()
    # float32 products may round two projections into another order: a rank or so more
    rank = 4 * ef.slicing_constant(d) / 65 / 33 if dtype == "float32" and d > 1 else 0
    np.testing.assert_allclose(moved, gradient[mixed], atol=rounding * size + rank)


def test_order_of_weighted_points(implementation) -> None:
    """Weights are summed along the sorted row: without ties, the same bits with Numba."""
    x, y, a = rng.normal(size=(65, 3)), rng.normal(size=(33, 3)), rng.dirichlet(np.ones(65))
    value, gradient = sliced(implementation, x, y, a)
    mixed = rng.permutation(65)
    again, moved = sliced(implementation, x[mixed], y, a[mixed])
    rounding = 0 if implementation.backend == "numba" else 1e-12
    np.testing.assert_allclose(again, value, rtol=rounding)
    np.testing.assert_allclose(moved, gradient[mixed], rtol=0, atol=rounding)


def test_order_of_all_pairs(implementation) -> None:
    x, y = rng.normal(size=(65, 3)), rng.normal(size=(33, 3))
    mixed = rng.permutation(65)
    u, v, w = (implementation.asarray(s) for s in (x, y, x[mixed]))
    assert float(ef.energy_distance(w, v)) == pytest.approx(float(ef.energy_distance(u, v)), 1e-12)
    np.testing.assert_allclose(
        implementation.to_numpy(ef.energy_gradient(w, v)),
        implementation.to_numpy(ef.energy_gradient(u, v))[mixed],
        atol=1e-14,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("slicing", "exponent"), [("iid", 1.0), ("hadamard", 1.0), ("iid", 1.5)])
def test_numba_gives_the_same_bits_from_any_number_of_threads(
    slicing: str, exponent: float, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba", reason="numba is an extra")
    x, y = rng.normal(size=(3000, 20)).astype(dtype), rng.normal(size=(2500, 20)).astype(dtype)
    found = []
    for threads in (1, 2, 8):
        monkeypatch.setenv("ENERGYFLOW_NUM_THREADS", str(threads))
        with ef.use_backend("numba"):
            found.append(
                ef.sliced_energy_value_and_gradient(
                    x, y, n_projections=8, slicing=slicing, exponent=exponent, rng=0
                )
            )
    for value, gradient in found[1:]:
        assert value == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_threads_of_matrix_products_change_rounding_only(backend: str) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    x, y = rng.normal(size=(3000, 64)), rng.normal(size=(2500, 64))
    if backend == "torch":
        torch = pytest.importorskip("torch", reason="torch is an extra")
        x, y = torch.asarray(x), torch.asarray(y)
        before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 8):
        with threadpoolctl.threadpool_limits(threads), ef.use_backend(backend):
            if backend == "torch":
                torch.set_num_threads(threads)
            try:
                found.append(ef.sliced_energy_value_and_gradient(x, y, n_projections=8, rng=0))
            finally:
                if backend == "torch":
                    torch.set_num_threads(before)
    for value, gradient in found[1:]:
        assert float(value) == pytest.approx(float(found[0][0]), rel=1e-13)
        np.testing.assert_allclose(gradient, found[0][1], atol=1e-15)


def test_statistics_do_not_depend_on_the_order_or_the_origin() -> None:
    """Of a test, of scores and of transport; the p-value's relabellings are drawn by place."""
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)) + 0.5
    mixed, other = rng.permutation(20), rng.permutation(20)

    def statistics(x, y, truth):
        test = ef.energy_test(x, y, n_resamples=99, rng=0)
        return [
            float(test.statistic),
            float(ef.energy_score(x, truth)),
            *ef.crps(x, truth),
            float(ef.conditional_wasserstein_distance(x, None, y, None, beta=0)),
        ], test.pvalue

    numbers, pvalue = statistics(x, y, y[0])
    np.testing.assert_allclose(statistics(x[mixed], y[other], y[0])[0], numbers, rtol=1e-12)
    moved, same = statistics(*(np.ldexp(v + 2.0**20, 40) for v in (x, y, y[0])))
    np.testing.assert_allclose(np.ldexp(moved, -40), numbers, rtol=1e-8)
    assert same == pvalue
