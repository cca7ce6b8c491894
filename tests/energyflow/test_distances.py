"""Distances and gradients: axioms, invariances, ties, estimators, closed forms, batches."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from strategies import pairs, points

import energyflow as ef
from energyflow import reference

EXPONENTS = st.sampled_from([0.5, 1.0, 1.5])


def turned(d: int, seed: int = 3) -> np.ndarray:
    return stats.ortho_group.rvs(d, random_state=seed) if d > 1 else np.array([[-1.0]])


# -- against the reference -----------------------------------------------------------------------


@given(pairs(weighted=True, minimum=2), EXPONENTS, st.sampled_from("VU"))
def test_exact_equals_reference(drawn: tuple, exponent: float, estimator: str) -> None:
    x, y, a, b = drawn
    if estimator == "U":
        a = b = None
    how = {"exponent": exponent, "estimator": estimator}
    scale = 1 + np.abs(np.vstack([x, y])).max()
    value = ef.energy_distance(x, y, a, b, **how)
    gradient = ef.energy_gradient(x, y, a, b, **how)
    np.testing.assert_allclose(
        value, reference.energy_distance(x, y, a, b, **how), atol=1e-12 * scale**exponent
    )
    np.testing.assert_allclose(
        gradient, reference.energy_gradient(x, y, a, b, **how), rtol=1e-9, atol=1e-9
    )


@given(pairs(weighted=True, minimum=2), EXPONENTS, st.sampled_from("VU"))
def test_sliced_equals_reference(drawn: tuple, exponent: float, estimator: str) -> None:
    x, y, a, b = drawn
    if estimator == "U":
        a = b = None
    theta = ef.sample_projections(5, x.shape[1], rng=0)
    how = {"exponent": exponent, "estimator": estimator, "projections": theta}
    value = ef.sliced_energy_distance(x, y, a, b, **how)
    scale = 1 + np.abs(np.vstack([x, y])).max()
    np.testing.assert_allclose(
        value, reference.sliced_energy_distance(x, y, a, b, **how), atol=1e-11 * scale**exponent
    )


# -- axioms and invariances ----------------------------------------------------------------------


@given(pairs(weighted=True), EXPONENTS)
def test_symmetry_and_sign(drawn: tuple, exponent: float) -> None:
    x, y, a, b = drawn
    for distance in (
        lambda *s: ef.energy_distance(*s, exponent=exponent),
        lambda *s: ef.sliced_energy_distance(*s, n_projections=4, exponent=exponent, rng=1),
    ):
        forth, back = distance(x, y, a, b), distance(y, x, b, a)
        assert forth >= 0
        np.testing.assert_allclose(forth, back, rtol=1e-9, atol=1e-9)


@given(st.data(), st.sampled_from([1, 2, 3]))
def test_triangle_inequality_of_the_root(data: st.DataObject, d: int) -> None:
    x, y, z = (data.draw(points(d)) for _ in range(3))
    theta = ef.sample_projections(4, d, rng=0)
    for distance in (
        ef.energy_distance,
        lambda u, v: ef.sliced_energy_distance(u, v, projections=theta),
    ):
        xz, xy, yz = (np.sqrt(distance(u, v)) for u, v in ((x, z), (x, y), (y, z)))
        assert xz <= xy + yz + 1e-6


@given(pairs(weighted=True), EXPONENTS, st.floats(0.01, 100))
def test_translation_rotation_homogeneity(drawn: tuple, exponent: float, scale: float) -> None:
    x, y, a, b = drawn
    d = x.shape[1]
    theta = ef.sample_projections(4, d, rng=0)
    rotation, shift = turned(d), np.arange(1, d + 1) * 10.0

    def both(u: np.ndarray, v: np.ndarray, directions: np.ndarray) -> list[float]:
        how = {"exponent": exponent}
        return [
            float(ef.energy_distance(u, v, a, b, **how)),
            float(ef.sliced_energy_distance(u, v, a, b, projections=directions, **how)),
        ]

    value = both(x, y, theta)
    size = 1 + np.abs(np.vstack([x, y])).max()
    # for small r, rounding errors e of the points appear as e^r
    tolerance = 20 * (2.0**-50 * (size + shift.max())) ** min(exponent, 1)
    np.testing.assert_allclose(both(x + shift, y + shift, theta), value, atol=tolerance)
    turned_values = both(x @ rotation.T, y @ rotation.T, theta @ rotation.T)
    np.testing.assert_allclose(turned_values, value, atol=tolerance)
    scaled = both(scale * x, scale * y, theta)
    np.testing.assert_allclose(
        scaled, scale**exponent * np.array(value), atol=tolerance * max(1, scale**exponent)
    )


@given(pairs(weighted=True, minimum=2), EXPONENTS, st.sampled_from("VU"))
def test_gradients_sum_to_zero(drawn: tuple, exponent: float, estimator: str) -> None:
    x, y, a, b = drawn
    if estimator == "U":
        a = b = None
    theta = ef.sample_projections(4, x.shape[1], rng=0)
    how = {"exponent": exponent, "estimator": estimator}
    exact = ef.energy_gradient(x, y, a, b, **how).sum(0), ef.energy_gradient(y, x, b, a, **how)
    np.testing.assert_allclose(exact[0] + exact[1].sum(0), 0, atol=1e-8)
    how["projections"] = theta
    gx = ef.sliced_energy_gradient(x, y, a, b, **how)
    gy = ef.sliced_energy_gradient(y, x, b, a, **how)
    # r < 1 is singular where points meet: rounding of near ties is magnified
    np.testing.assert_allclose(gx.sum(0) + gy.sum(0), 0, atol=1e-8 if exponent >= 1 else 1e-5)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("estimator", ["V", "U"])
def test_gradient_by_finite_differences(
    rng: np.random.Generator, exponent: float, estimator: str
) -> None:
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    theta = ef.sample_projections(6, 3, rng=0)
    for distance, gradient, more in (
        (ef.energy_distance, ef.energy_gradient, {}),
        (ef.sliced_energy_distance, ef.sliced_energy_gradient, {"projections": theta}),
    ):
        how = {"exponent": exponent, "estimator": estimator, **more}
        closed = gradient(x, y, **how)
        for index in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[index] = 1e-6
            slope = (distance(x + step, y, **how) - distance(x - step, y, **how)) / 2e-6
            assert closed[index] == pytest.approx(slope, abs=1e-6)


@given(pairs())
def test_half_of_it_is_below_the_wasserstein_distance(drawn: tuple) -> None:
    x, y, _, _ = drawn
    x, y = x[:, :1], y[:, :1]
    w1 = stats.wasserstein_distance(x.ravel(), y.ravel())
    assert ef.energy_distance(x, y) / 2 <= w1 + 1e-9


@pytest.mark.parametrize("d", [2, 5])
def test_half_of_it_is_below_the_wasserstein_distance_in_space(d: int) -> None:
    rng = np.random.default_rng(d)
    for _ in range(20):
        x, y = rng.normal(size=(6, d)), rng.normal(size=(6, d)) * 2 + rng.normal(size=d)
        costs = np.linalg.norm(x[:, None] - y, axis=2)
        w1 = min(costs[range(6), p].mean() for p in itertools.permutations(range(6)))
        assert ef.energy_distance(x, y) / 2 <= w1


# -- ties ----------------------------------------------------------------------------------------


def test_all_points_equal_give_exactly_zero(xp) -> None:
    for dtype in ("float32", "float64"):
        x = xp.asarray(np.full((7, 1), 0.3), dtype)
        y = xp.asarray(np.full((5, 1), 0.3), dtype)
        value, gradient = ef.sliced_energy_value_and_gradient(x, y, rng=0)
        assert float(value) == 0
        assert not xp.to_numpy(gradient).any()


def test_equal_sets_give_exactly_zero_on_the_line(xp, rng: np.random.Generator) -> None:
    x = rng.integers(-5, 5, size=(40, 1)) / 3
    y = np.concatenate([x, x])[rng.permutation(80)]
    value, gradient = ef.sliced_energy_value_and_gradient(xp.asarray(x), xp.asarray(y), rng=0)
    assert float(value) == 0
    assert not xp.to_numpy(gradient).any()


def test_order_of_points_changes_nothing_on_the_line(rng: np.random.Generator) -> None:
    for dtype in (np.float32, np.float64):
        x = np.round(rng.normal(size=(100, 1)), 1).astype(dtype)
        y = np.round(rng.normal(size=(90, 1)), 1).astype(dtype)
        mixed, other = rng.permutation(100), rng.permutation(90)
        value, gradient = ef.sliced_energy_value_and_gradient(x, y)
        again, moved = ef.sliced_energy_value_and_gradient(x[mixed], y[other])
        assert value == again
        np.testing.assert_array_equal(moved, gradient[mixed])


@pytest.mark.parametrize("d", [2, 3])
def test_equal_points_stay_equal_in_low_dimensions(d: int, rng: np.random.Generator) -> None:
    x = np.repeat(rng.normal(size=(33, d)), 3, axis=0)[rng.permutation(99)]
    y = rng.normal(size=(50, d))
    gradient = ef.sliced_energy_gradient(x, y, rng=0)
    for point in np.unique(x, axis=0):
        same = gradient[(x == point).all(axis=1)]
        np.testing.assert_array_equal(same, same[:1].repeat(len(same), axis=0))


@pytest.mark.parametrize("d", [4, 100])
def test_equal_points_differ_by_rounding_only_in_high_dimensions(
    d: int, rng: np.random.Generator
) -> None:
    x = np.repeat(rng.normal(size=(33, d)), 3, axis=0)[rng.permutation(99)]
    y = rng.normal(size=(50, d))
    gradient = ef.sliced_energy_gradient(x, y, rng=0)
    # a matrix product may round two equal rows differently: they then differ by a rank or two
    for point in np.unique(x, axis=0):
        same = gradient[(x == point).all(axis=1)]
        assert np.abs(same - same[0]).max() <= 4 * ef.slicing_constant(d) * 3 / 99**2


def test_signed_zeros_tie(xp) -> None:
    for dtype in ("float32", "float64"):
        x, y = xp.asarray([[0.0], [-0.0]], dtype), xp.asarray([[-0.0]], dtype)
        value, gradient = ef.sliced_energy_value_and_gradient(x, y)
        assert float(value) == 0
        assert not xp.to_numpy(gradient).any()


@given(st.data())
def test_integer_weights_equal_repeated_points(data: st.DataObject) -> None:
    x, y, _, _ = data.draw(pairs())
    counts = np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(x), max_size=len(x))))
    theta = ef.sample_projections(3, x.shape[1], rng=0)
    for distance, gradient, how in (
        (ef.energy_distance, ef.energy_gradient, {}),
        (ef.sliced_energy_distance, ef.sliced_energy_gradient, {"projections": theta}),
    ):
        repeated = np.repeat(x, counts, axis=0)
        np.testing.assert_allclose(
            distance(x, y, counts / counts.sum(), **how), distance(repeated, y, **how), atol=1e-10
        )
        summed = np.add.reduceat(gradient(repeated, y, **how), np.cumsum(counts) - counts)
        if x.shape[1] <= 4 or not how:
            np.testing.assert_allclose(
                gradient(x, y, counts / counts.sum(), **how), summed, atol=1e-8
            )


# -- closed forms --------------------------------------------------------------------------------


def mean_distance(d: int, squared: float, variance: float) -> float:
    """E|Z| for Z ~ N(m, v I) in R^d with |m|^2 = squared."""
    mean = np.sqrt(2 * variance) * special.gamma((d + 1) / 2) / special.gamma(d / 2)
    return mean * special.hyp1f1(-0.5, d / 2, -squared / (2 * variance))


@pytest.mark.parametrize(
    ("d", "shifted", "widened"),
    [
        (1, 0.54180658, 0.18311073),
        (2, 0.42982136, 0.28762966),
        (10, 0.21586288, 0.70783863),
        (100, 0.07044789, 2.28922256),
    ],
)
def test_between_gaussians(d: int, shifted: float, widened: float) -> None:
    own = mean_distance(d, 0, 2)
    assert 2 * mean_distance(d, 1, 2) - 2 * own == pytest.approx(shifted, abs=1e-7)
    assert 2 * mean_distance(d, 0, 5) - own - 2 * own == pytest.approx(widened, abs=1e-7)
    rng = np.random.default_rng(d)
    shift = np.zeros(d)
    shift[0] = 1
    estimates: dict[tuple[str, str], list[float]] = {}
    for seed in range(16):
        x = rng.normal(size=(500, d))
        for case, y in (
            ("shift", rng.normal(size=(400, d)) + shift),
            ("wide", rng.normal(size=(400, d)) * 2),
        ):
            for estimator in "UV":
                exact = ef.energy_distance(x, y, estimator=estimator)
                sliced = ef.sliced_energy_distance(x, y, estimator=estimator, rng=seed)
                estimates.setdefault((case, estimator + " exact"), []).append(float(exact))
                estimates.setdefault((case, estimator + " sliced"), []).append(float(sliced))
    spread = {"shift": mean_distance(d, 0, 2), "wide": mean_distance(d, 0, 8)}
    for (case, kind), found in estimates.items():
        truth = {"shift": shifted, "wide": widened}[case]
        bias = own / 500 + spread[case] / 400 if kind.startswith("V") else 0.0
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        assert abs(np.mean(found) - truth - bias) < 4 * error
        if kind.startswith("V") and bias > 8 * error:  # the bias is really seen
            assert np.mean(found) - truth > 4 * error


# -- libraries, dtypes, batches ------------------------------------------------------------------


def test_array_type_in_equals_array_type_out(xp, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(15, 3))
    for dtype in ("float32", "float64"):
        u, v = xp.asarray(x, dtype), xp.asarray(y, dtype)
        theta = ef.sample_projections(8, 3, rng=0, like=u)
        value, gradient = ef.sliced_energy_value_and_gradient(u, v, projections=theta)
        for result in (value, gradient, ef.energy_distance(u, v), ef.energy_gradient(u, v), theta):
            assert type(result) is type(u) or xp.name.startswith("numpy")
            assert str(result.dtype) == str(u.dtype)
        assert value.shape == ()
        assert tuple(gradient.shape) == (20, 3)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        expected = reference.sliced_energy_distance(x, y, projections=xp.to_numpy(theta))
        assert float(value) == pytest.approx(expected, rel=tolerance)


def test_half_precision(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")

    x, y = rng.normal(size=(20, 3)), rng.normal(size=(15, 3)) + 1
    for dtype in (torch.float16, torch.bfloat16):
        u, v = torch.asarray(x).to(dtype), torch.asarray(y).to(dtype)
        value, gradient = ef.sliced_energy_value_and_gradient(u, v, rng=0)
        assert value.dtype == gradient.dtype == dtype
        full = ef.sliced_energy_distance(u.float(), v.float(), rng=0)
        assert float(value) == pytest.approx(float(full), rel=1e-2)
    half = ef.energy_distance(x.astype(np.float16), y.astype(np.float16))
    assert half.dtype == np.float16


def test_mixed_precision_gives_the_wider_value(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=(15, 3))
    value, gradient = ef.sliced_energy_value_and_gradient(x, y, rng=0)
    assert value.dtype == np.float64
    assert gradient.dtype == np.float32


def test_batches_share_the_directions_of_a_stream(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")

    monkeypatch.setattr("energyflow_backends._base.MEMORY_BUDGET", 1)  # set after set
    x, y = (torch.asarray(np.repeat(rng.normal(size=(1, 9, 4)), 3, axis=0)) for _ in range(2))
    values, gradients = ef.sliced_energy_value_and_gradient(
        x, y, n_projections=5, rng=torch.Generator().manual_seed(0)
    )
    assert torch.equal(values, values[:1].expand(3))
    assert torch.equal(gradients, gradients[:1].expand(3, -1, -1))


def test_batches_broadcast(xp, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 1, 20, 3)), rng.normal(size=(4, 15, 3))
    a = rng.dirichlet(np.ones(20), size=(2, 1))
    u, v, w = (xp.asarray(s) for s in (x, y, a))
    theta = xp.asarray(ef.sample_projections(6, 3, rng=0))
    for distance, gradient, how in (
        (ef.energy_distance, ef.energy_gradient, {}),
        (ef.sliced_energy_distance, ef.sliced_energy_gradient, {"projections": theta}),
    ):
        values = xp.to_numpy(distance(u, v, w, **how))
        gradients = xp.to_numpy(gradient(u, v, w, **how))
        assert values.shape == (2, 4)
        assert gradients.shape == (2, 4, 20, 3)
        for i, j in np.ndindex(2, 4):
            single = [xp.asarray(s) for s in (x[i, 0], y[j], a[i, 0])]
            np.testing.assert_allclose(values[i, j], float(distance(*single, **how)), atol=1e-12)
            np.testing.assert_allclose(
                gradients[i, j], xp.to_numpy(gradient(*single, **how)), atol=1e-12
            )


@pytest.mark.parametrize("chunk_size", [3, 1000])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_chunks_change_nothing(implementation, chunk_size: int, exponent: float, rng) -> None:
    x, y = (implementation.asarray(rng.normal(size=(n, 4))) for n in (8, 6))
    how = {"exponent": exponent, "rng": 0, "n_projections": 4}
    whole = ef.sliced_energy_value_and_gradient(x, y, **how)
    parts = ef.sliced_energy_value_and_gradient(x, y, **how, chunk_size=chunk_size)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(
            *map(implementation.to_numpy, (one, other)), rtol=1e-9, atol=1e-12
        )
    exact = (
        implementation.to_numpy(ef.energy_gradient(x, y, exponent=exponent, chunk_size=size))
        for size in (chunk_size, None)
    )
    np.testing.assert_allclose(*exact, atol=1e-12)


def test_byte_order_and_strides_do_not_matter(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    value, gradient = ef.sliced_energy_value_and_gradient(x, y, rng=0)
    for view in (x.astype(">f8"), x[::-1][::-1], np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
        again, slope = ef.sliced_energy_value_and_gradient(view, y, rng=0)
        assert again == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(slope, gradient, atol=1e-12)


def test_nothing_is_modified(implementation, rng) -> None:
    x, y = rng.normal(size=(8, 3)) + 1e3, rng.normal(size=(6, 3)) + 1e3
    a, b = (rng.dirichlet(np.ones(len(v))) for v in (x, y))
    given = [x, y, a, b, ef.sample_projections(7, 3, rng=0)]
    arrays = [implementation.asarray(v) for v in given]
    x, y, a, b, theta = arrays
    ef.sliced_energy_value_and_gradient(x, y, a, b, projections=theta)
    ef.energy_gradient(x, y, a, b)
    ef.ParticleFlow(y, target_weights=b, momentum=0.5, rng=0).run(x, 3, progress=False)
    for array, copy in zip(arrays, given, strict=True):
        np.testing.assert_array_equal(implementation.to_numpy(array), copy)


def test_global_random_state_is_not_touched() -> None:
    torch = pytest.importorskip("torch")
    states = (
        random.getstate,
        lambda: np.random.get_state()[1].tolist(),  # noqa: NPY002
        lambda: torch.get_rng_state().tolist(),
    )
    before = [state() for state in states]
    x, y = np.ones((3, 5)), np.zeros((3, 5))
    for arrays in ((x, y), (torch.asarray(x), torch.asarray(y))):
        ef.sliced_energy_distance(*arrays)
        ef.ParticleFlow(arrays[1]).run(arrays[0], 2, progress=False)
    ef.sample_projections(10, 4)
    ef.energy_test(x, y, n_resamples=19)
    assert before == [state() for state in states]


# -- scales --------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiny_and_huge_scales(
    exponent: float, scale: float, dtype: str, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)) + 1
    if dtype == "float32" and exponent > 1:
        pytest.skip("1e30 to the power 1.5 overflows float32")
    u, v = (scale * x).astype(dtype), (scale * y).astype(dtype)
    how = {"exponent": exponent}
    np.testing.assert_allclose(
        ef.energy_distance(u, v, **how) / scale**exponent,
        ef.energy_distance(x, y, **how), rtol=1e-5,
    )  # fmt: skip
    theta = ef.sample_projections(9, 3, rng=0)
    np.testing.assert_allclose(
        ef.sliced_energy_distance(u, v, projections=theta.astype(dtype), **how) / scale**exponent,
        ef.sliced_energy_distance(x, y, projections=theta, **how), rtol=1e-5,
    )  # fmt: skip


def test_far_offset_costs_no_precision(rng: np.random.Generator) -> None:
    x, y = rng.integers(-50, 50, (100, 8)) / 64.0, rng.integers(-50, 50, (90, 8)) / 64.0
    near = ef.sliced_energy_value_and_gradient(x, y, rng=0)
    far = ef.sliced_energy_value_and_gradient(x + 2.0**30, y + 2.0**30, rng=0)
    for one, other in zip(near, far, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numba", "numpy", "array-api"])
@pytest.mark.parametrize("exact", [False, True])
def test_extra_memory_is_bounded(backend: str, exact: bool, rng: np.random.Generator) -> None:
    import tracemalloc

    n = 1500 if exact else 20_000
    x, y = rng.normal(size=(n, 10)), rng.normal(size=(n, 10))
    theta = ef.sample_projections(64, 10, rng=0)
    with ef.use_backend(backend):
        ef.sliced_energy_gradient(x[:9], y[:9], projections=theta)  # compile first
        tracemalloc.start()
        if exact:
            ef.energy_gradient(x, y)
        else:
            ef.sliced_energy_gradient(x, y, projections=theta)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= 64 * 2**20 + 16 * 8 * 2 * n  # and a small multiple of N + M numbers


def test_images_are_told_from_batches(rng: np.random.Generator) -> None:
    images, others = rng.random((2, 5, 1, 8, 8))
    with pytest.warns(UserWarning, match=r"5 clouds of 8 points in 8 dimensions; if these are im"):
        ef.energy_distance(images, others)
    assert ef.energy_distance(*rng.random((2, 5, 2, 8, 8))).shape == (5, 2)  # no warning
    assert ef.energy_distance(*rng.random((2, 5, 1, 9, 8))).shape == (5, 1)
