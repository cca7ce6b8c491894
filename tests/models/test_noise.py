"""The noise that flow generators start from: its moments given conditions, and its file."""

from functools import partial

import numpy as np
import pytest
import torch

from energyflow.models.data.noise import Noise

N = 20_000
drawn = partial(Noise.draw, rng=np.random.default_rng(1))


def test_given_numbers_it_is_the_normal_posterior(rng) -> None:
    slope, spread = rng.normal(size=(2, 3)), rng.normal(size=(3, 3))
    given = rng.normal(size=(N, 2)) + 5
    points = given @ slope + rng.normal(size=(N, 3)) @ spread + 7
    noise = Noise.of("normal", torch.tensor(points), torch.tensor(given))
    at = np.array([1.0, -2.0])
    new = drawn(noise, N, (3,), torch.from_numpy(at).float().expand(N, 2)).numpy()
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
        new = drawn(noise, N, (2,), torch.eye(3)[k].expand(N, 3)).numpy()
        np.testing.assert_allclose(new.mean(0), [3 * k, 3 * k], atol=0.15)
        np.testing.assert_allclose(np.cov(new.T), spread[k].T @ spread[k], atol=0.25)


def test_a_class_of_one_point_has_the_covariance_within_the_others(rng) -> None:
    labels = np.arange(N).clip(max=1)
    points = np.stack([labels * 8.0, labels * 0.0], 1) + rng.normal(size=(N, 2)) * [1, 2]
    one_hot = torch.eye(2)[torch.from_numpy(labels)]
    noise = Noise.of("normal", torch.tensor(points), one_hot, labelled=True)
    new = drawn(noise, N, (2,), torch.tensor([1.0, 0.0]).expand(N, 2)).numpy()
    np.testing.assert_allclose(new.mean(0), points[0], atol=0.1)
    np.testing.assert_allclose(np.cov(new.T) * 3 / 2, [[1, 0], [0, 4]], atol=0.15)


def test_too_few_points_for_a_regression_leave_the_moments_of_all(rng) -> None:
    points, given = (
        torch.from_numpy(rng.normal(size=(50, 2))),
        torch.from_numpy(rng.normal(size=(50, 6))),
    )
    noise = Noise.of("normal", points, given)
    assert noise.slope is None
    new = drawn(noise, N, (2,), given[:1].expand(N, 6)).numpy()
    np.testing.assert_allclose(np.cov(new.T), np.cov(points.numpy().T), atol=0.1)


@pytest.mark.parametrize("labelled", [False, True])
def test_a_file_keeps_it(labelled: bool, rng) -> None:
    one_hot = torch.eye(2)[torch.from_numpy(rng.integers(2, size=100))]
    noise = Noise.of("normal", torch.from_numpy(rng.normal(size=(100, 3))), one_hot, labelled)
    kept = Noise.from_tensors(noise.tensors(), 3, 2)
    pair = (n.draw(9, (3,), one_hot[:9], np.random.default_rng(0)) for n in (noise, kept))
    assert torch.equal(*pair)
    for name, tensor in noise.tensors().items():
        with pytest.raises(ValueError, match=r"noise must have a (mean|slope)"):
            Noise.from_tensors(noise.tensors() | {name: tensor[..., :1]}, 3, 2)
    with pytest.raises(ValueError, match="noise must have a"):
        Noise.from_tensors(noise.tensors(), 3, 4)


def test_conditions_that_say_nothing_leave_the_moments_of_all(rng) -> None:
    points, given = rng.normal(size=(N, 2)) * [1, 3] + 4, np.ones((N, 2))
    noise = Noise.of("normal", torch.tensor(points), torch.tensor(given))
    new = drawn(noise, N, (2,), torch.ones(N, 2)).numpy()
    np.testing.assert_allclose(new.mean(0), [4, 4], atol=0.1)
    np.testing.assert_allclose(np.cov(new.T), np.cov(points.T), atol=0.4)
