"""Directions: unit, uniform, reproducible, the same for every library and every chunk."""

import numpy as np
import pytest
from scipy import stats

import energyflow as ef
from energyflow._core.random import HostSource, as_source
from energyflow._slices.directions import METHODS, sampled_projector

FAMILIES = [(name, d) for name in METHODS for d in (1, 2, 3, 7, 40) if name != "equispaced"]
FAMILIES.append(("equispaced", 2))


@pytest.mark.parametrize(("method", "d"), FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 65, 100])
def test_unit_rows(method: str, d: int, n: int) -> None:
    theta = ef.sample_projections(n, d, method=method, rng=0)
    assert theta.shape == (n, d)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1, atol=1e-12)
    if d == 1:
        np.testing.assert_array_equal(theta, 1)


@pytest.mark.parametrize(("method", "d"), [f for f in FAMILIES if f[1] > 1])
def test_each_direction_is_uniform_on_the_sphere(method: str, d: int) -> None:
    # squares of the coordinates of a uniform direction are Beta(1/2, (d - 1)/2)
    drawn = [ef.sample_projections(3, d, method=method, rng=seed) for seed in range(400)]
    firsts = [theta[seed % 3, 0] for seed, theta in enumerate(drawn)]
    law = stats.beta(0.5, (d - 1) / 2)
    assert stats.kstest(np.square(firsts), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(("method", "d"), [f for f in FAMILIES if f[1] > 1])
def test_sliced_gradient_is_unbiased(method: str, d: int) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(6, d)), rng.normal(size=(5, d)) + 1
    exact = ef.energy_gradient(x, y)
    draws = np.stack(
        [
            ef.sliced_energy_gradient(x, y, None, None, 8, slicing=method, rng=seed)
            for seed in range(300)
        ]
    )
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    # 6 d numbers at once: allow for the largest of that many deviations
    assert np.all(np.abs(draws.mean(axis=0) - exact) < 4.5 * error)


def test_orthogonal_blocks_are_frames() -> None:
    theta = ef.sample_projections(25, 10, method="orthogonal", rng=0)
    for start in (0, 10, 20):
        frame = theta[start : start + 10]
        np.testing.assert_allclose(frame @ frame.T, np.eye(len(frame)), atol=1e-12)


def test_equispaced_angles() -> None:
    theta = ef.sample_projections(9, 2, rng=0)
    angles = np.arctan2(theta[:, 1], theta[:, 0])
    np.testing.assert_allclose(np.diff(np.unwrap(angles)), np.pi / 9, atol=1e-12)


def test_better_families_have_smaller_errors() -> None:
    rng = np.random.default_rng(0)
    norms = {}
    families = [
        (2, "equispaced"), (3, "distance"), (3, "sobol"), (30, "distance"), (30, "orthogonal"),
        (3, "iid"), (30, "iid"),
    ]  # fmt: skip
    for d, method in families:
        z = 0.1 * rng.normal(size=(200, d))
        errors = []
        for seed in range(5):
            theta = ef.sample_projections(240, d, method=method, rng=seed)
            sliced = ef.slicing_constant(d) * np.abs(z @ theta.T).mean(axis=1)
            errors.append(np.abs(sliced - np.linalg.norm(z, axis=1)).mean())
        norms[method, d] = np.mean(errors)
    assert norms["equispaced", 2] < norms["iid", 3] / 50
    assert norms["sobol", 3] < norms["iid", 3] / 5
    assert norms["distance", 3] < norms["sobol", 3] / 4
    assert norms["orthogonal", 30] < norms["iid", 30] / 2
    assert norms["distance", 30] < norms["orthogonal", 30] / 1.1


@pytest.mark.parametrize("d", [3, 30])
def test_the_error_of_a_small_shift(d: int) -> None:
    # slices are like <theta, shift>^2, whose variance is 2 (d - 1) / (d + 2) of its mean squared
    n_directions, n_draws = 16, 400
    x = np.random.default_rng(0).normal(size=(1000, d))
    y = x + 0.5 * np.eye(d)[0]
    drawn = [
        float(ef.sliced_energy_distance(x, y, None, None, n_directions, slicing="iid", rng=seed))
        for seed in range(n_draws)
    ]
    spread = np.std(drawn) / np.mean(drawn) * np.sqrt(n_directions)
    # 400 draws know a standard deviation to about 4 %, and the shift is not infinitely small
    np.testing.assert_allclose(spread, np.sqrt(2 * (d - 1) / (d + 2)), rtol=0.15)


def test_same_directions_for_every_library(xp) -> None:
    like = xp.asarray(np.zeros((1, 5)))
    theta = ef.sample_projections(20, 5, rng=7, like=like)
    np.testing.assert_array_equal(xp.to_numpy(theta), ef.sample_projections(20, 5, rng=7))


def test_seeds() -> None:
    first = ef.sample_projections(20, 5, rng=7)
    np.testing.assert_array_equal(first, ef.sample_projections(20, 5, rng=np.int64(7)))
    assert not np.array_equal(first, ef.sample_projections(20, 5, rng=8))
    assert not np.array_equal(ef.sample_projections(20, 5), ef.sample_projections(20, 5))
    generator = np.random.default_rng(0)
    one, two = (ef.sample_projections(20, 5, rng=generator) for _ in range(2))
    assert not np.array_equal(one, two)
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(one, ef.sample_projections(20, 5, rng=generator))


def test_device_generators() -> None:
    import jax
    import torch

    for make in (lambda: torch.Generator().manual_seed(3), lambda: jax.random.key(3)):
        for method in ("iid", "orthogonal", "sobol", "distance"):
            one, two = (ef.sample_projections(20, 5, method=method, rng=make()) for _ in range(2))
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
            np.testing.assert_allclose(np.linalg.norm(np.asarray(one), axis=1), 1, atol=1e-6)
        angles = ef.sample_projections(6, 2, rng=make())
        assert tuple(angles.shape) == (6, 2)
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    ef.sliced_energy_gradient(x, x + 1, rng=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ["iid", "orthogonal", "sobol", "distance"])
def test_chunks_see_the_same_directions(family: str) -> None:
    whole = sampled_projector(150, 40, family, as_source(1), step=9)
    for size in (1, 7, 64, 100, 1000):
        blocks = list(whole.blocks(size))
        assert all(block.n_projections <= size for block in blocks)
        joined = np.concatenate([block.directions for block in blocks])
        np.testing.assert_array_equal(joined, whole.directions())


def test_pure_function_of_seed_step_and_block() -> None:
    source = HostSource((1, 2))
    later = source.normal(5, 3, (4,))
    source.normal(0, 0, (1000,))
    np.testing.assert_array_equal(source.normal(5, 3, (4,)), later)
    assert not np.array_equal(source.normal(5, 4, (4,)), later)
    assert not np.array_equal(source.normal(6, 3, (4,)), later)
