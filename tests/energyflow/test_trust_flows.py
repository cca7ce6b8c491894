"""Flows move with their data: scaled, shifted, reordered, interrupted."""

import numpy as np
import pytest

import energyflow as ef

rng = np.random.default_rng(5)
X, Y = rng.normal(size=(12, 3)), rng.normal(size=(9, 3)) + 1
STEPS = 8


def flowed(implementation, x, y, *, exponent=1.0, step_size=0.5, steps=STEPS, start=None):
    x, y = implementation.asarray(x), implementation.asarray(y)
    flow = ef.ParticleFlow(
        y, exponent=exponent, step_size=step_size, momentum=0.5, n_projections=6, rng=0
    )
    return flow.run(x if start is None else start, steps, progress=False)


def particles(implementation, *sets, **how):
    return implementation.to_numpy(flowed(implementation, *sets, **how).particles)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_scaling_by_a_power_of_two(implementation, exponent: float) -> None:
    """Data times s and a step size times s^(2 - r): positions times s, for r = 1 bit for bit."""
    base = particles(implementation, X, Y, exponent=exponent)
    for s in (2.0**-96, 2.0**96):
        how = {"exponent": exponent, "step_size": 0.5 * s ** (2 - exponent)}
        scaled = particles(implementation, X * s, Y * s, **how)
        rounding = 0 if exponent == 1 else 1e-9
        np.testing.assert_allclose(scaled / s, base, rtol=rounding, atol=rounding)


def test_the_automatic_step_has_the_unit_of_the_data(implementation) -> None:
    base = particles(implementation, X, Y, step_size="auto")
    scaled = particles(implementation, X * 1e30, Y * 1e30, step_size="auto")
    np.testing.assert_allclose(scaled / 1e30, base, rtol=1e-9)


def test_translation(implementation) -> None:
    x, y = np.round(X, 3), np.round(Y, 3)
    shift = np.asarray([2.0**27, -(2.0**20), 8.0])
    base = particles(implementation, x, y)
    moved = particles(implementation, x + shift, y + shift)
    np.testing.assert_allclose(moved - shift, base, atol=STEPS * 2.0**-24)


def test_order_of_particles_and_targets(implementation) -> None:
    mixed, other = rng.permutation(len(X)), rng.permutation(len(Y))
    base = particles(implementation, X, Y)
    found = particles(implementation, X[mixed], Y[other])
    rounding = 0 if implementation.backend == "numba" else 1e-12
    np.testing.assert_allclose(found, base[mixed], rtol=0, atol=rounding)


@pytest.mark.parametrize("exponent", [1.0, 1.5])
def test_going_on_is_never_having_stopped(implementation, exponent: float) -> None:
    whole = flowed(implementation, X, Y, exponent=exponent)
    half = flowed(implementation, X, Y, exponent=exponent, steps=STEPS // 2)
    rest = flowed(implementation, X, Y, exponent=exponent, steps=STEPS // 2, start=half)
    for name in ("particles", "velocity"):
        one, other = (implementation.to_numpy(getattr(r, name)) for r in (whole, rest))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "flow",
    [
        lambda y: ef.ParticleFlow(y, exponent=1.5, step_size=1.0, rng=0),
        lambda y: ef.MMDFlow(y, ef.kernels.Riesz(1.5)),
        lambda y: ef.KALEFlow(y, "linear", regularization=1.0),
    ],
    ids=["particles", "MMD", "KALE"],
)
def test_a_start_that_is_too_far_is_no_divergence(flow) -> None:
    with pytest.raises(ValueError, match="particles and target must be near enough"):
        flow(Y).run(X * 1e300, 3, progress=False)
