"""Tiny and huge numbers, far offsets, outliers, subnormals and half precision.

The answer is that for the numbers as they are stored, in sixty digits.
"""

import numpy as np
import oracle
import pytest

import energyflow as ef

pytest.importorskip("mpmath", reason="mpmath is not installed")

rng = np.random.default_rng(7)
X, Y = rng.normal(size=(6, 2)), rng.normal(size=(5, 2)) + 0.5
T = ef.sample_projections(3, 2, rng=0)
EXPONENTS = [0.5, 1.0, 1.5]
ROUNDING = {"float64": 1e-13, "float32": 1e-5}


def exact(x, y, **how):
    return ef.energy_distance(x, y, **how), ef.energy_gradient(x, y, **how)


def sliced(x, y, **how):
    return ef.sliced_energy_value_and_gradient(x, y, n_projections=3, rng=0, **how)


def compare(implementation, dtype, x, y, tolerance, **how) -> None:
    """Exact and sliced values and gradients against the oracle, for stored numbers."""
    u, v = (implementation.asarray(s, dtype) for s in (x, y))
    stored = [implementation.to_numpy(s).astype(np.float64) for s in (u, v)]
    for function, theta in ((exact, None), (sliced, T.astype(dtype))):
        value, gradient = function(u, v, **how)
        assert str(value.dtype).endswith(dtype)
        expected = oracle.energy(*stored, **how, directions=theta)
        if expected[0] > np.finfo(dtype).tiny:
            assert oracle.error(implementation.to_numpy(value), expected[0]) <= tolerance
        else:
            assert value == 0
        assert oracle.error(implementation.to_numpy(gradient), expected[1]) <= tolerance


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scales(implementation, dtype: str, scale: float, exponent: float) -> None:
    if dtype == "float32" and scale > 1 and exponent > 1:
        u, v = (implementation.asarray(s * scale, dtype) for s in (X, Y))
        with pytest.raises(ValueError, match="small enough for their distance to be finite"):
            ef.energy_distance(u, v, exponent=exponent)  # near 1e45
        return
    compare(implementation, dtype, X * scale, Y * scale, ROUNDING[dtype], exponent=exponent)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers_of_two_scale_without_rounding(implementation, exponent: float) -> None:
    """Value by s^r and gradient by s^(r - 1), for r = 1 bit for bit."""
    one = [
        v
        for f in (exact, sliced)
        for v in f(*map(implementation.asarray, (X, Y)), exponent=exponent)
    ]
    for k in (-900, -100, 100, 600):
        s = 2.0**k
        x, y = (implementation.asarray(v * s) for v in (X, Y))
        found = [v for f in (exact, sliced) for v in f(x, y, exponent=exponent)]
        for base, scaled, power in zip(one, found, (exponent, exponent - 1) * 2, strict=True):
            expected = implementation.to_numpy(base) * 2.0 ** (k * power)
            rounding = 0 if exponent == 1 else 1e-13
            np.testing.assert_allclose(implementation.to_numpy(scaled), expected, rtol=rounding)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize(
    ("dtype", "offset"), [("float64", 1e8), ("float32", 1e3), ("float32", 1e8)]
)
def test_far_offsets(implementation, dtype: str, offset: float, exponent: float) -> None:
    """In float32 at 1e8 the points lie on a grid of 8: spread as wide, they tie."""
    spread = 10 if offset == 1e8 and dtype == "float32" else 1
    shift = np.asarray([offset, -offset / 3])
    compare(
        implementation, dtype, X * spread + shift, Y * spread + shift, ROUNDING[dtype],
        exponent=exponent,
    )  # fmt: skip


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_an_outlier_does_not_drown_the_others(implementation, exponent: float) -> None:
    x = np.concatenate([X[:5], [[1e17, -1e17]]])
    u, v = map(implementation.asarray, (x, Y))
    for function, theta in ((exact, None), (sliced, T)):
        value, gradient = function(u, v, exponent=exponent)
        expected = oracle.energy(x, Y, exponent=exponent, directions=theta)
        assert oracle.error(implementation.to_numpy(value), expected[0]) <= 1e-13
        assert oracle.error_of_each(implementation.to_numpy(gradient), expected[1]) <= 1e-10


def test_squares_that_vanish(implementation) -> None:
    """Pairs nearer than 1e-154 of the extent coincide, where distances are roots of squares."""
    x, y = (implementation.asarray([[v, 0.0]]) for v in (0.0, 1.0))
    for gap, pull in ((1e-140, 1.0), (1e-170, 0.0)):
        near = implementation.asarray([[0.0, 0.0], [gap, 0.0]])
        gradient = implementation.to_numpy(ef.energy_gradient(near, y, exponent=1.0))
        apart = gradient[1, 0] - gradient[0, 0]  # pushed apart by one another
        assert apart == pytest.approx(-pull, abs=1e-12)
        assert np.isfinite(implementation.to_numpy(ef.energy_gradient(x, near))).all()


def test_subnormal_numbers(implementation) -> None:
    """The least numbers there are: whole multiples of 2^-1074, whose distances are so again."""
    least = 2.0**-1074
    x, y = np.array([[0.0], [2.0], [8.0], [8.0]]), np.array([[1.0], [4.0]])
    with np.errstate(under="ignore"):
        u, v = (implementation.asarray(s * least) for s in (x, y))
        for function in (exact, sliced):
            value, gradient = (implementation.to_numpy(s) for s in function(u, v))
            if implementation.backend == "jax":  # XLA takes subnormal numbers for zero
                assert value == 0
                assert not gradient.any()
                continue
            expected = oracle.energy(x, y)
            assert abs(float(value / least) - float(expected[0])) <= 1
            assert oracle.error(gradient, expected[1]) <= 1e-13
            value, gradient = (implementation.to_numpy(s) for s in function(u, v, exponent=0.5))
            expected = oracle.energy(x * least, y * least, exponent=0.5)
            assert oracle.error(value, expected[0]) <= 1e-9
            assert oracle.error(gradient, expected[1]) <= 1e-9


HALVES = [
    ("numpy", "float16"), ("torch", "float16"), ("torch", "bfloat16"), ("jax", "bfloat16"),
]  # fmt: skip


@pytest.mark.parametrize(("library", "dtype"), HALVES)
def test_half_precision_is_single_precision_handed_back(library: str, dtype: str) -> None:
    xp, to = _halves(library, dtype)
    x, y = (to(v) for v in (X, Y))
    wide = [xp.astype(v, xp.float32) for v in (x, y)]
    for function in (exact, sliced):
        for found, expected in zip(function(x, y), function(*wide), strict=True):
            assert found.dtype == x.dtype
            assert bool(xp.all(found == xp.astype(expected, x.dtype)))


@pytest.mark.parametrize(("library", "dtype"), HALVES)
def test_half_precision_saturates_at_its_own_largest_number(library: str, dtype: str) -> None:
    """65504 in float16; bfloat16 reaches as far as float32, beyond which distances are refused."""
    xp, to = _halves(library, dtype)
    far = 65000.0 if dtype == "float16" else 3e38
    x, y = to(np.array([[far], [far]])), to(np.array([[0.0]]))
    if dtype == "float16":
        value, gradient = exact(x, y)  # 2 far
        assert bool(xp.isinf(value))
        assert bool(xp.all(gradient == 1.0))
    else:
        with pytest.raises(ValueError, match="small enough for their distance to be finite"):
            exact(x, y)
    assert float(exact(x / 4, y)[0]) == pytest.approx(far / 2, rel=1e-2)


def _halves(library: str, dtype: str):
    if library == "numpy":
        import array_api_compat.numpy as xp

        return xp, lambda v: xp.asarray(v, dtype=xp.float16)
    if library == "torch":
        pytest.importorskip("torch", reason="torch is an extra")
        import array_api_compat.torch as xp

        return xp, lambda v: xp.asarray(v, dtype=getattr(xp, dtype))
    jnp = pytest.importorskip("jax.numpy", reason="jax is an extra")
    return jnp, lambda v: jnp.asarray(v, dtype=jnp.bfloat16)
