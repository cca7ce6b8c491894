"""Sums of kernels: closed forms, sliced against direct, every library, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from energyflow_backends.sums import waves
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import points

import energyflow as ef
from energyflow.kernels import (
    Energy,
    Gauss,
    Kernel,
    Laplace,
    Linear,
    Matern,
    RadialKernel,
    Riesz,
    SmoothKernel,
)

KERNELS = [
    Energy(), Riesz(0.5), Riesz(1.5), Gauss(1.2), Laplace(0.8), Matern(1.5, 1.1),
    Matern(2.5, 2.0), Linear(),
]  # fmt: skip
X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.random.default_rng(1).normal(size=(9, 3)) + 0.5
W = np.random.default_rng(2).normal(size=9)
FUNCTIONS = (ef.kernel_sum, ef.kernel_sum_gradient)


def differences(x: np.ndarray, y: np.ndarray, w: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Gradients of the sums, (N, d), by central differences of the slow oracle."""
    gradient, h = np.empty_like(x), 1e-5
    for k in range(x.shape[1]):
        step = h * np.eye(x.shape[1])[k]
        ends = [ef.reference.kernel_sum(x + s, y, w, kernel=kernel) for s in (step, -step)]
        gradient[:, k] = (ends[0] - ends[1]) / (2 * h)
    return gradient


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_two_points(kernel: Kernel) -> None:
    x, y = np.array([[1.0, 2.0]]), np.array([[4.0, -2.0]])  # five apart
    value = kernel.value(np.asarray(5.0)) if isinstance(kernel, RadialKernel) else 0.0
    sums = ef.kernel_sum(x, y, np.array([-3.0]), kernel=kernel, method="direct")
    np.testing.assert_allclose(sums, [-3 * value], rtol=1e-13)
    gradient = ef.kernel_sum_gradient(x, y, np.array([-3.0]), kernel=kernel, method="direct")
    if isinstance(kernel, RadialKernel):
        expected = -3 * kernel.slope(np.asarray(5.0)) * (x - y) / 5
    else:
        expected = -3 * y
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


def test_gauss_of_a_normal_sample_is_a_wider_gauss() -> None:
    # a grid with the weights of a normal density: a convolution of two Gauss functions
    side = np.linspace(-6, 6, 61)
    y = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    w = np.exp(-np.sum(y**2, axis=1) / 2)
    w /= w.sum()
    x = np.random.default_rng(3).normal(size=(20, 2))
    expected = np.exp(-np.sum(x**2, axis=1) / (2 * (1 + 1.5**2))) * 1.5**2 / (1 + 1.5**2)
    for how in ({"method": "direct"}, {"n_projections": 64, "rng": 0}):
        sums = ef.kernel_sum(x, y, w, kernel=Gauss(1.5), **how)
        np.testing.assert_allclose(sums, expected, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_direct_against_the_reference(kernel: Kernel) -> None:
    for w in (W, None):
        weights = np.full(9, 1 / 9) if w is None else w
        expected = ef.reference.kernel_sum(X, Y, w, kernel=kernel)
        for chunk_size in (None, 1, 5):
            how = {"kernel": kernel, "method": "direct", "chunk_size": chunk_size}
            np.testing.assert_allclose(ef.kernel_sum(X, Y, w, **how), expected, rtol=1e-11)
            gradient = ef.kernel_sum_gradient(X, Y, w, **how)
            np.testing.assert_allclose(gradient, differences(X, Y, weights, kernel), atol=1e-6)


@pytest.mark.parametrize("kernel", [*KERNELS, Matern(1.2, 1.1)], ids=str)
def test_exact_in_one_dimension(kernel: Kernel) -> None:
    x, y = X.reshape(-1, 1), Y.reshape(-1, 1)
    w = np.random.default_rng(4).normal(size=len(y))
    expected = ef.reference.kernel_sum(x, y, w, kernel=kernel)
    sums = ef.kernel_sum(x, y, w, kernel=kernel)
    assert np.max(np.abs(sums - expected)) < 1e-4 * np.sum(np.abs(w))
    if kernel != Matern(1.2, 1.1):
        gradient = ef.kernel_sum_gradient(x, y, w, kernel=kernel, tolerance=1e-5)
        error = np.max(np.abs(gradient - differences(x, y, w, kernel)))
        assert error < 1e-4 * np.sum(np.abs(w))


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_many_equal_angles_in_two_dimensions(kernel: Kernel) -> None:
    x, y = X[:, :2], Y[:, :2]
    how = {"kernel": kernel, "n_projections": 2048, "rng": 0, "slicing": "equispaced"}
    sums = ef.kernel_sum(x, y, W, **how)
    expected = ef.reference.kernel_sum(x, y, W, kernel=kernel)
    assert np.max(np.abs(sums - expected)) < 1e-4 * np.sum(np.abs(W))
    if isinstance(kernel, SmoothKernel) and kernel != Laplace(0.8):  # f' is continuous
        gradient = ef.kernel_sum_gradient(x, y, W, **how)
        error = np.max(np.abs(gradient - differences(x, y, W, kernel)))
        assert error < 1e-4 * np.sum(np.abs(W))


@pytest.mark.parametrize(
    "kernel", [Energy(), Riesz(1.5), Gauss(3.0), Laplace(0.3), Matern(2.5, 3.0)], ids=str
)
def test_error_falls_with_the_number_of_slices(kernel: Kernel) -> None:
    x, y = np.random.default_rng(5).normal(size=(2, 20, 10))
    w = np.random.default_rng(6).normal(size=20)
    for f in FUNCTIONS:
        exact = f(x, y, w, kernel=kernel, method="direct")
        errors = [
            np.mean([
                np.abs(f(x, y, w, p, kernel=kernel, rng=k, tolerance=1e-3) - exact)
                for k in range(4)
            ])
            for p in (64, 1024)
        ]  # fmt: skip
        assert errors[1] < errors[0] / 2.5  # four times, but for chance
        if isinstance(kernel, SmoothKernel):
            assert errors[0] < np.sum(np.abs(w)) / 8


@given(data=st.data(), kernel=st.sampled_from(KERNELS), d=st.sampled_from([1, 2, 3]))
def test_linear_in_the_weights(data: st.DataObject, kernel: Kernel, d: int) -> None:
    x, y = data.draw(points(d)), data.draw(points(d))
    element = st.integers(-9, 9).map(float)
    v, w = (data.draw(hnp.arrays(np.float64, len(y), elements=element)) for _ in range(2))
    how = {"kernel": kernel, "n_projections": 3, "rng": 0, "tolerance": 1e-2}
    for f in FUNCTIONS:
        if isinstance(kernel, SmoothKernel):
            x, y = x % 3, y % 3
        parts = 2 * f(x, y, v, **how) - 3 * f(x, y, w, **how)
        whole = f(x, y, 2 * v - 3 * w, **how)
        size = 1 + np.max(np.abs(whole)) + 1e3 * np.sum(np.abs(v) + np.abs(w))
        assert np.max(np.abs(parts - whole)) < 1e-9 * size


@given(points(2), st.sampled_from(KERNELS[:-1]))
def test_coincident_points_have_no_gradient(x: np.ndarray, kernel: Kernel) -> None:
    same = np.repeat(x[:1] % 3, 4, axis=0)
    for method in ("direct", "sliced"):
        gradient = ef.kernel_sum_gradient(same, same, kernel=kernel, method=method, rng=0)
        np.testing.assert_allclose(gradient, 0, atol=1e-9)


def test_energy_distance_from_sums() -> None:
    within_x, across, within_y = (
        ef.kernel_sum(u, v, rng=0).mean() for u, v in ((X, X), (X, Y), (Y, Y))
    )
    expected = ef.sliced_energy_distance(X, Y, rng=0)
    np.testing.assert_allclose(within_x - 2 * across + within_y, expected, rtol=1e-10)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_every_library(xp, kernel: Kernel) -> None:
    x, y, w = (xp.asarray(v) for v in (X, Y, W))
    for how in ({"rng": 0, "n_projections": 20}, {"method": "direct"}):
        for f in FUNCTIONS:
            found = f(x, y, w, kernel=kernel, **how)
            assert type(found) is type(x)
            assert found.dtype == x.dtype
            expected = f(X, Y, W, kernel=kernel, **how)
            np.testing.assert_allclose(xp.to_numpy(found), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("backend", ["numpy", "array-api", "torch"])
def test_backends_agree(backend: str) -> None:
    import torch

    x, y, w = (torch.asarray(v) for v in (X, Y, W))
    for kernel in (Energy(), Riesz(0.7), Gauss(2.0)):
        for f in FUNCTIONS:
            expected = f(x, y, w, kernel=kernel, rng=0, tolerance=1e-9)
            with ef.use_backend(backend):
                found = f(x, y, w, kernel=kernel, rng=0, tolerance=1e-9)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_lower_precision(dtype: type) -> None:
    x, y, w = (v.astype(dtype) for v in (X, Y, W))
    for f in FUNCTIONS:
        for method in ("sliced", "direct"):
            found = f(x, y, w, kernel="gauss", method=method, rng=0)
            assert found.dtype == dtype
            wide = (v.astype(np.float64) for v in (x, y, w))
            expected = f(*wide, kernel="gauss", method=method, rng=0)
            np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == np.float32 else 5e-3)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("method", ["sliced", "direct"])
def test_batches_and_chunks(kernel: Kernel, method: str) -> None:
    x, y = np.stack([X, X + 1, 2 * X]), Y[None] * np.ones((2, 1, 1, 1))
    w = np.stack([W, -W])[:, None, :]
    how = {"kernel": kernel, "method": method, "rng": 0}
    for f in FUNCTIONS:
        together = f(x, y, w, **how)
        assert together.shape == (2, 3, *f(X, Y).shape)
        for chunk_size in (1, 7):
            again = f(x, y, w, chunk_size=chunk_size, **how)
            np.testing.assert_allclose(again, together, atol=2e-3)
        for i in range(2):
            for k in range(3):
                alone = f(x[k], Y, w[i, 0], **how)
                np.testing.assert_allclose(together[i, k], alone, atol=2e-3)


@pytest.mark.parametrize("derivative", [False, True])
def test_rows_in_parts_to_save_memory(derivative: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    f, how = FUNCTIONS[derivative], {"kernel": Gauss(0.5), "n_projections": 7, "rng": 0}
    expected = f(X, Y, W, **how)
    monkeypatch.setattr(waves, "MEMORY_BUDGET", 1)
    np.testing.assert_allclose(f(X, Y, W, **how), expected, atol=1e-12)


@pytest.mark.parametrize("derivative", [False, True])
def test_fast_transforms_against_products(
    derivative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("finufft", reason="finufft is not installed")
    f = FUNCTIONS[derivative]
    for kernel in (Gauss(0.5), Laplace(), Matern(2.5)):
        how = {"kernel": kernel, "n_projections": 5, "rng": 0}
        products = f(X, Y, W, **how)
        with monkeypatch.context() as patch:
            patch.setattr(waves, "_LONG", 1)
            fast = f(X, Y, W, **how)
        np.testing.assert_allclose(fast, products, atol=1e-8)


@pytest.mark.parametrize("slicing", ["iid", "orthogonal", "sobol", "hadamard"])
def test_slicings(slicing: str) -> None:
    for kernel in (Energy(), Gauss(2.0), Laplace(0.3)):
        sums = ef.kernel_sum(X, Y, W, 4096, kernel=kernel, slicing=slicing, rng=0)
        expected = ef.reference.kernel_sum(X, Y, W, kernel=kernel)
        assert np.max(np.abs(sums - expected)) < 0.02 * np.sum(np.abs(W))


def test_patches_give_the_mean_over_parts() -> None:
    images, others = np.random.default_rng(7).normal(size=(2, 6, 16))
    slicing = ef.PatchSlicing((1, 4, 4), size=4, scales=(0,))  # all pixels, in some order
    for kernel in (Energy(), Gauss(3.0)):
        sums = ef.kernel_sum(images, others, None, 4096, kernel=kernel, slicing=slicing, rng=0)
        np.testing.assert_allclose(
            sums, ef.reference.kernel_sum(images, others, kernel=kernel), atol=0.15
        )


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_scales(scale: float) -> None:
    pairs = [
        (Energy(), Energy(), scale), (Gauss(2.0), Gauss(2.0 * scale), 1.0),
        (Laplace(0.5), Laplace(0.5 * scale), 1.0), (Matern(1.5, 2.0), Matern(1.5, 2 * scale), 1.0),
    ]  # fmt: skip
    for method in ("sliced", "direct"):
        for kernel, scaled, factor in pairs:
            how = {"method": method, "rng": 0}
            base, large = (
                f(X * s, Y * s, W, kernel=k, **how)
                for f, s, k in ((ef.kernel_sum, 1.0, kernel), (ef.kernel_sum, scale, scaled))
            )
            np.testing.assert_allclose(large / factor, base, atol=2e-3)
            base, large = (
                f(X * s, Y * s, W, kernel=k, **how)
                for f, s, k in (
                    (ef.kernel_sum_gradient, 1.0, kernel),
                    (ef.kernel_sum_gradient, scale, scaled),
                )
            )
            np.testing.assert_allclose(large * (scale / factor), base, atol=2e-3)


def test_a_length_whose_square_overflows() -> None:
    for f in FUNCTIONS:
        sums = f(X * 1e250, Y * 1e250, W, kernel=Gauss(2e250), rng=0)
        expected = f(X, Y, W, kernel=Gauss(2.0), rng=0)
        np.testing.assert_allclose(sums * (1 if f is ef.kernel_sum else 1e250), expected, atol=2e-3)


def test_far_offsets_cost_no_precision() -> None:
    for kernel in (Energy(), Gauss(2.0)):
        near, far = (ef.kernel_sum(X + s, Y + s, W, kernel=kernel, rng=0) for s in (0, 2.0**30))
        np.testing.assert_allclose(far, near, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("method", ["sliced", "direct"])
def test_torch_and_jax_differentiate(kernel: Kernel, method: str) -> None:
    import jax
    import jax.numpy as jnp
    import torch

    how = {"kernel": kernel, "method": method, "rng": 0}
    outer = np.random.default_rng(8).normal(size=12)
    gx = outer[:, None] * ef.kernel_sum_gradient(X, Y, W, **how)
    gy = W[:, None] * ef.kernel_sum_gradient(Y, X, outer, **how)
    x, y = (torch.asarray(v).requires_grad_() for v in (X, Y))
    ef.kernel_sum(x, y, torch.asarray(W), **how).backward(torch.asarray(outer))
    np.testing.assert_allclose(x.grad, gx, atol=1e-10)
    np.testing.assert_allclose(y.grad, gy, atol=1e-10)

    def total(x, y):
        return jnp.sum(outer * ef.kernel_sum(x, y, jnp.asarray(W), **how))

    found = jax.grad(total, argnums=(0, 1))(jnp.asarray(X), jnp.asarray(Y))
    np.testing.assert_allclose(found[0], gx, atol=1e-10)
    np.testing.assert_allclose(found[1], gy, atol=1e-10)


def test_a_device_stream_gives_value_and_gradient_the_same_directions() -> None:
    import torch

    x = torch.asarray(X).requires_grad_()
    y = torch.asarray(Y)
    value = ef.kernel_sum(x, y, n_projections=3, rng=torch.Generator().manual_seed(5)).sum()
    (gradient,) = torch.autograd.grad(value, x)
    moved = x.detach() + 1e-6 * gradient
    again = ef.kernel_sum(moved, y, n_projections=3, rng=torch.Generator().manual_seed(5)).sum()
    rise = float((again - value.detach()) / 1e-6)
    np.testing.assert_allclose(rise, float((gradient**2).sum()), rtol=1e-4)


def test_jit_of_jax() -> None:
    import jax
    import jax.numpy as jnp

    x, y, w = (jnp.asarray(v) for v in (X, Y, W))
    directions = jnp.asarray(ef.sample_projections(6, 3, rng=0))
    cases = [
        (Energy(), {"rng": 0}), (Riesz(1.5), {"projections": directions}), (Linear(), {}),
        (Gauss(2.0), {"rng": 0}), (Gauss(2.0), {"projections": directions}),
        (Matern(2.5), {"method": "direct"}), (Laplace(), {"slicing": "hadamard", "rng": 0}),
    ]  # fmt: skip
    for kernel, how in cases:
        for f in FUNCTIONS:

            def sums(x, y, f=f, kernel=kernel, how=how):
                return f(x, y, w, kernel=kernel, **how)

            np.testing.assert_allclose(jax.jit(sums)(x, y), sums(x, y), atol=1e-3)
    key = jax.random.key(3)
    drawn = jax.jit(lambda x, y, key: ef.kernel_sum(x, y, kernel="gauss", rng=key))(x, y, key)
    np.testing.assert_allclose(drawn, ef.kernel_sum(x, y, kernel="gauss", rng=key), atol=1e-3)


def test_tensors_without_values() -> None:
    import torch

    x, y = (torch.asarray(v, device="meta") for v in (X, Y))
    with pytest.raises(TypeError, match="x must have known values for sliced sums of Gauss"):
        ef.kernel_sum(x, y, kernel="gauss")


class Biased:
    """A projector whose constant is that of no dimension."""

    n_projections = 1

    def blocks(self, size):
        yield self

    def project(self, x):
        return x[..., 0][..., None, :]

    def project_back(self, g):
        return g

    def constant(self, exponent):
        return 1.1


NAN = np.where(np.arange(36).reshape(12, 3) == 7, np.nan, X)


@pytest.mark.parametrize(
    ("arrays", "how", "error", "message"),
    [
        (("0", Y), {}, TypeError, "x must be an array .* got str"),
        ((X, Y[:, :2]), {}, ValueError, "x and y must have the same dimension, got 3 and 2"),
        ((NAN, Y), {}, ValueError, r"x must be finite, got 1 NaN .* index \(2, 1\)"),
        ((NAN, Y), {"kernel": "gauss"}, ValueError, "x must be finite, got 1 NaN"),
        ((NAN, Y), {"kernel": Riesz(0.5)}, ValueError, "x must be finite, got 1 NaN"),
        ((X, Y * np.inf), {"method": "direct"}, ValueError, "y must be finite, got 27"),
        ((X, Y * np.nan), {"kernel": "linear"}, ValueError, "y must be finite, got 27"),
        ((X, Y, [1.0]), {}, ValueError, r"weights must have shape .* got \(1,\)"),
        ((X, Y, W[:8]), {}, ValueError, r"weights must have shape \(\.\.\., 9\).* got \(8,\)"),
        ((X, Y, W[0]), {}, ValueError, r"weights must have shape .* got \(\)"),
        ((X, Y, np.ones((2, 9))), {}, ValueError, r"weights must have shape .* got \(2, 9\)"),
        ((X, Y, np.ones((9, 1))), {}, ValueError, r"weights must have shape .* got \(9, 1\)"),
        ((X, Y, np.ones(1)), {}, ValueError, r"weights must have shape .* got \(1,\)"),
        ((X, Y, W * np.nan), {}, ValueError, "weights must be finite, got 9 NaN"),
        ((X, Y, np.ones(9, complex)), {}, TypeError, "weights must have a real floating dtype"),
        ((X, Y), {"kernel": "cosine"}, ValueError, "kernel must be one of energy"),
        ((X, Y), {"kernel": Kernel()}, ValueError, "kernel must be radial or linear, got"),
        ((X, Y), {"kernel": RadialKernel()}, ValueError, "kernel must be smooth for method 'sl"),
        ((X, Y), {"method": "fast"}, ValueError, "method must be one of sliced, direct"),
        ((X, Y), {"tolerance": 0.0}, ValueError, "tolerance must be at least 1e-12 and below 1"),
        ((X, Y), {"tolerance": "1"}, TypeError, "tolerance must be a number, got str"),
        ((X, Y), {"n_projections": 0}, ValueError, "n_projections must be at least 1"),
        ((X, Y), {"chunk_size": 0}, ValueError, "chunk_size must be at least 1"),
        ((X, Y), {"slicing": "random"}, ValueError, "slicing must be one of"),
        ((X, Y), {"rng": "seed"}, TypeError, "rng must be None, an int"),
        ((X, Y), {"projections": 2 * np.eye(3)}, ValueError, "projections must have rows of le"),
        (
            (X, Y),
            {"projections": Biased(), "kernel": "gauss"},
            ValueError,
            "projections must be unit directions for kernel Gauss.* constant 1.1 is that of no",
        ),
        (
            (X, Y),
            {"kernel": Matern(1.2), "method": "direct"},
            ValueError,
            r"kernel Matern must have nu = 1/2, .* got 1\.2",
        ),
        ((X, Y), {"kernel": Gauss(1e-5)}, ValueError, "kernel must need at most 32768 freq"),
    ],
)
def test_faults(arrays: tuple, how: dict, error: type, message: str) -> None:
    for f in FUNCTIONS:
        with pytest.raises(error, match=message):
            f(*arrays, **how)


def test_sums_that_overflow() -> None:
    with pytest.raises(ValueError, match=r"x, y and weights must be small enough .*float64"):
        ef.kernel_sum(np.sign(X) * 1.7e308, np.sign(Y) * 1.7e308)


def test_weights_that_require_grad() -> None:
    import torch

    arrays = [torch.asarray(v) for v in (X, Y, W)]
    with pytest.raises(TypeError, match="weights must not require grad"):
        ef.kernel_sum(*arrays[:2], arrays[2].requires_grad_())
