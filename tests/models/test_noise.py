"""The noise that flow generators start from: its moments given conditions, and its file."""

import numpy as np
import pytest
import torch

from energyflow.models.data.noise import Noise

N = 20_000


def drawn(noise: Noise, condition: torch.Tensor, seed: int = 1) -> np.ndarray:
    shape = (len(noise.moments[0]),)
    numbers = noise.numbers(len(condition), shape, np.random.default_rng(seed))
    return noise.points(numbers, shape, condition).numpy()


def test_given_numbers_it_is_the_normal_posterior(rng) -> None:
    slope, spread = rng.normal(size=(2, 3)), rng.normal(size=(3, 3))
    given = rng.normal(size=(N, 2)) + 5
    points = given @ slope + rng.normal(size=(N, 3)) @ spread + 7
    noise = Noise.of("normal", torch.tensor(points), torch.tensor(given))
    at = np.array([1.0, -2.0])
    new = drawn(noise, torch.from_numpy(at).float().expand(N, 2))
    np.testing.assert_allclose(new.mean(0), at @ slope + 7, atol=0.15)
    np.testing.assert_allclose(np.cov(new.T), spread.T @ spread, atol=0.25)


def test_each_class_has_its_moments(rng) -> None:
    labels = rng.integers(3, size=N)
    spread = rng.normal(size=(3, 2, 2))
    points = labels[:, None] * 3.0 + np.einsum(
        "nk,nkd->nd", rng.normal(size=(N, 2)), spread[labels]
    )
    one_hot = torch.eye(3)[torch.from_numpy(labels)]
    noise = Noise.of("normal", torch.tensor(points), one_hot, labelled=True)
    for k in range(3):
        new = drawn(noise, torch.eye(3)[k].expand(N, 3))
        np.testing.assert_allclose(new.mean(0), [3 * k, 3 * k], atol=0.15)
        np.testing.assert_allclose(np.cov(new.T), spread[k].T @ spread[k], atol=0.25)


def test_a_class_of_one_point_has_the_covariance_within_the_others(rng) -> None:
    labels = np.arange(N).clip(max=1)
    points = np.stack([labels * 8.0, labels * 0.0], 1) + rng.normal(size=(N, 2)) * [1, 2]
    one_hot = torch.eye(2)[torch.from_numpy(labels)]
    noise = Noise.of("normal", torch.tensor(points), one_hot, labelled=True)
    new = drawn(noise, torch.tensor([1.0, 0.0]).expand(N, 2))
    np.testing.assert_allclose(new.mean(0), points[0], atol=0.1)
    np.testing.assert_allclose(np.cov(new.T), [[1, 0], [0, 4]], atol=0.15)


def test_too_few_points_for_a_regression_leave_the_moments_of_all(rng) -> None:
    points, given = (
        torch.from_numpy(rng.normal(size=(50, 2))),
        torch.from_numpy(rng.normal(size=(50, 6))),
    )
    noise = Noise.of("normal", points, given)
    assert noise.slope is None
    new = drawn(noise, given[:1].expand(N, 6))
    np.testing.assert_allclose(np.cov(new.T), np.cov(points.numpy().T), atol=0.1)


@pytest.mark.parametrize("labelled", [False, True])
def test_a_file_keeps_it(labelled: bool, rng) -> None:
    one_hot = torch.eye(2)[torch.from_numpy(rng.integers(2, size=100))]
    noise = Noise.of("normal", torch.from_numpy(rng.normal(size=(100, 3))), one_hot, labelled)
    tensors = noise.tensors()
    kept = Noise.from_tensors(tensors, (3,), (2,))
    np.testing.assert_array_equal(*(drawn(n, one_hot[:9]) for n in (noise, kept)))
    for name, tensor in tensors.items():
        for damaged in (tensor[..., :1], tensor.flatten()[:3] if tensor.ndim > 1 else tensor[:1]):
            with pytest.raises(ValueError, match=r"noise must have a (mean|slope)"):
                Noise.from_tensors(tensors | {name: damaged}, (3,), (2,))
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            Noise.from_tensors(tensors | {name: tensor * torch.nan}, (3,), (2,))
    with pytest.raises(ValueError, match="noise must have a"):
        Noise.from_tensors(tensors, (3,), (4,))


def test_conditions_that_say_nothing_leave_the_moments_of_all(rng) -> None:
    points, given = rng.normal(size=(N, 2)) * [1, 3] + 4, np.ones((N, 2))
    noise = Noise.of("normal", torch.tensor(points), torch.tensor(given))
    new = drawn(noise, torch.ones(N, 2))
    np.testing.assert_allclose(new.mean(0), [4, 4], atol=0.1)
    np.testing.assert_allclose(np.cov(new.T), np.cov(points.T), atol=0.4)


@pytest.mark.parametrize("n", [1, 2, 5, 50])
@pytest.mark.parametrize("d", [1, 2, 8])
def test_covariances_of_small_classes_are_not_too_small(n: int, d: int, rng) -> None:
    variances = []
    one_hot = torch.eye(2)[(torch.arange(400 + n) < n).long()]
    for _ in range(100):
        points = torch.from_numpy(rng.normal(size=(400 + n, d)))
        _, factors = Noise.of("normal", points, one_hot, labelled=True).moments
        variances.append(float(factors[1].square().sum() / d))
    assert np.mean(variances) == pytest.approx(1, abs=0.1)


def test_classes_that_do_not_occur_have_the_moments_of_the_others(rng) -> None:
    points, one_hot = rng.normal(size=(N, 2)) + 3, torch.eye(5)[torch.arange(N) % 3]
    noise = Noise.of("normal", torch.tensor(points), one_hot, labelled=True)
    new = drawn(noise, torch.eye(5)[4].expand(N, 5))
    np.testing.assert_allclose(new.mean(0), [3, 3], atol=0.1)
    np.testing.assert_allclose(np.cov(new.T), np.eye(2), atol=0.1)


def test_conditions_that_repeat_each_other_count_once(rng) -> None:
    given = rng.normal(size=(N, 1))
    points = given + rng.normal(size=(N, 1))
    pair = (
        Noise.of("normal", torch.tensor(points), torch.tensor(np.hstack([given] * m)).float())
        for m in (1, 3)
    )
    once, thrice = (noise.moments[1].numpy() for noise in pair)
    np.testing.assert_allclose(once, thrice, rtol=1e-6)
