"""Copies are found, and fresh points are not taken for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from strategies import points

from energyflow.metrics import nearest_neighbours


@given(points(3), points(3, st.integers(2, 12)), points(3))
def test_the_definition(x, train, held_out):
    report = nearest_neighbours(x, train, held_out)
    distances = np.sort(cdist(x, train), axis=1)
    np.testing.assert_allclose(report.distances, distances[:, 0], atol=1e-12)
    to_nearest = np.linalg.norm(x - train[report.nearest], axis=1)
    np.testing.assert_allclose(to_nearest, distances[:, 0], atol=1e-12)
    fresh = np.sort(cdist(held_out, train), axis=1)[:, 0]
    np.testing.assert_allclose(report.held_out_distances, fresh, atol=1e-12)


def test_copies_are_found_also_far_from_the_origin(rng):
    train = rng.normal(size=(200, 30)) + 1e6
    held_out = rng.normal(size=(100, 30)) + 1e6
    samples = np.concatenate([train[:30], held_out[:70] + rng.normal(size=(70, 30))])
    report = nearest_neighbours(samples, train, held_out)
    assert report.copies == 0.3
    assert report.held_out_copies == 0
    np.testing.assert_array_equal(report.distances[:30], 0)
    np.testing.assert_array_equal(report.nearest[:30], np.arange(30))
    assert report.median > 0.5 * report.held_out_median > 0


@pytest.mark.parametrize("d", [1, 2])
def test_in_low_dimension_many_pass_that_are_no_copies(rng, d):
    """Of uniform points the ratio of both distances, to the power d, is uniform on [0, 1]."""
    train, fresh = rng.random((4000, d)), rng.random((4000, d))
    report = nearest_neighbours(fresh, train, fresh)
    assert report.copies == report.held_out_copies == pytest.approx((1 / 3) ** d, abs=0.03)


def test_images_are_points(rng):
    images = rng.random((9, 1, 4, 4), dtype=np.float32)
    report = nearest_neighbours(images[:3], images, images[3:])
    np.testing.assert_array_equal(report.nearest, [0, 1, 2])
    assert report.copies == report.held_out_copies == 1


def test_one_training_point_has_no_second():
    with pytest.raises(ValueError, match="train must have at least 2"):
        nearest_neighbours(np.ones((2, 2)), np.ones((1, 2)), np.ones((2, 2)))
