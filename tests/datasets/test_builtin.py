"""Digits and toys: shapes, scale, classes, and the same data for the same seed."""

import numpy as np
import pytest

from energyflow import datasets


def test_digits():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    from sklearn.datasets import load_digits

    digits = datasets.load("digits")
    assert (digits.train.shape, digits.test.shape) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    assert (digits.name, digits.n_classes, digits.shape) == ("digits", 10, (1, 8, 8))
    everything = np.concatenate([digits.train, digits.test]).reshape(1797, 64)
    pixels, labels = load_digits(return_X_y=True)
    order, wanted = np.lexsort(everything.T), np.lexsort(pixels.T)
    np.testing.assert_array_equal(everything[order] * 16, pixels[wanted])
    found = np.concatenate([digits.train_labels, digits.test_labels])
    np.testing.assert_array_equal(found[order], labels[wanted])


def test_digits_are_held_out_by_class_and_seed():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    first, again, other = (datasets.load("digits", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)
    counts = np.bincount(np.concatenate([first.train_labels, first.test_labels]))
    assert np.all(np.abs(np.bincount(first.test_labels) - 0.2 * counts) <= 1)
    assert len(datasets.load("digits", split=0.5).test) == 899


@pytest.mark.parametrize("name", datasets.TOYS)
@pytest.mark.parametrize("n", [1, 63, 1000])
def test_toys_are_any_number_of_points_in_the_unit_square(name, n):
    toy = datasets.load(name, n=n, seed=3)
    assert toy.train.shape == toy.test.shape == (n, 2)
    assert toy.train.dtype == np.float32
    assert not np.array_equal(toy.train, toy.test)
    again = datasets.load(name, n=n, seed=3)
    np.testing.assert_array_equal(toy.train, again.train)
    assert not np.array_equal(toy.train, datasets.load(name, n=n, seed=4).train)


def test_toys_have_the_shapes_that_they_are_named_after():
    points = {name: datasets.load(name, n=4000) for name in datasets.TOYS}
    board = np.floor(4 * points["checkerboard"].train).astype(int)
    assert np.all(board.sum(axis=1) % 2 == 0)
    assert len(np.unique(board, axis=0)) == 8
    rings = points["rings"]
    radius = np.linalg.norm(rings.train - 0.5, axis=1)
    np.testing.assert_allclose(radius, 0.11 * (rings.train_labels + 1), atol=0.03)
    eight = points["eight-gaussians"]
    angle = eight.train_labels * np.pi / 4
    centres = 0.5 + 0.38 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(eight.train, centres, atol=0.12)
    moons = points["moons"]
    # turning the plane by half a circle exchanges the moons
    turned = 1 - moons.train[moons.train_labels == 1]
    first = moons.train[moons.train_labels == 0]
    np.testing.assert_allclose(turned.mean(axis=0), first.mean(axis=0), atol=0.01)
    centre = 0.5 + 0.28 * np.array([-0.5, -0.25])
    np.testing.assert_allclose(np.linalg.norm(first - centre, axis=1), 0.28, atol=0.08)
    assert [points[name].n_classes for name in datasets.TOYS] == [2, 8, 0, 4]


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (("nothing-of-that-name",), FileNotFoundError, "checkerboard"),
        (("digits",) * 1 + ({"n": 5},), ValueError, "n is for toys only"),
        (("moons", {"n": 0}), ValueError, "n must be at least 1"),
        (("moons", {"size": 8}), ValueError, "size is for folders of images"),
        (("moons", {"seed": -1}), ValueError, "seed must be at least 0"),
        (("digits", {"split": 1.0}), ValueError, "between 0 and 1"),
    ],
)
def test_bad_arguments_are_named(arguments, error, told):
    source, options = arguments if len(arguments) == 2 else (arguments[0], {})
    with pytest.raises(error, match=told):
        datasets.load(source, **options)
