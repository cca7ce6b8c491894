"""Operators: adjoints, closed forms, what lifts restore, and what is said to wrong shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energyflow.inverse import BlurDownsample, Gaussian, Linear, Mask, Radon


def operators() -> list:
    matrix = np.random.default_rng(3).normal(size=(4, 6))
    seen = np.random.default_rng(4).random((12, 16)) < 0.5
    return [
        (Linear(matrix), (6,)),
        (Linear(matrix[0]), (6,)),
        (Mask(seen), (2, 12, 16)),
        (BlurDownsample(1.3, 5, 1), (2, 12, 16)),
        (BlurDownsample(2.0, 16, 4), (1, 12, 16)),
        (BlurDownsample(0.8, 4, 2, (0, 2), edges="zeros"), (12, 16)),
        (BlurDownsample(0.8, 4, 2, (0, 0)), (12, 16)),
        (BlurDownsample(0.8, 8, 2, (0, 6), edges="wrap"), (12, 16)),
    ]


@pytest.mark.parametrize(("operator", "size"), operators())
def test_the_adjoint(operator, size, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, *size))
    seen = operator(x)
    y = rng.normal(size=seen.shape)
    assert np.vdot(seen, y) == pytest.approx(np.vdot(x, operator.adjoint(y)), rel=1e-10)


@pytest.mark.parametrize(("operator", "size"), operators())
def test_torch_gives_the_same(operator, size, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    x = rng.normal(size=(3, *size)).astype(np.float32)
    for function, numbers in ((operator, x), (operator.lift, operator(x))):
        found = function(torch.from_numpy(numbers))
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), function(numbers), atol=1e-5)


def test_a_diagonal_is_a_matrix(rng: np.random.Generator) -> None:
    x, diagonal = rng.normal(size=(4, 3)), np.array([2.0, -1.0, 0.5])
    np.testing.assert_allclose(Linear(diagonal)(x), x * diagonal)
    np.testing.assert_allclose(Linear(np.diag(diagonal))(x), x * diagonal)
    np.testing.assert_allclose(Linear(diagonal).lift(x * diagonal), x)
    np.testing.assert_allclose(Linear([2.0, 0.0, 1.0]).lift(x), x * [0.5, 0, 1])


def test_a_long_diagonal_is_never_a_matrix() -> None:
    operator = Linear(np.arange(200_000.0))
    x = np.ones((2, 200_000))
    np.testing.assert_array_equal(operator(x)[1], operator.matrix)
    np.testing.assert_array_equal(operator.adjoint(x)[1], operator.matrix)
    np.testing.assert_allclose(operator.lift(operator(x)), x * (operator.matrix > 0))


def test_a_mask_is_a_projection(images: np.ndarray) -> None:
    operator = Mask.rows((12, 16), 8, 12)
    seen = operator(images)
    assert np.all(seen[:, :, :8] == 0)
    np.testing.assert_array_equal(seen[:, :, 8:], images[:, :, 8:])
    np.testing.assert_array_equal(operator(seen), seen)
    np.testing.assert_array_equal(operator.lift(seen), seen)


@given(st.integers(1, 6), st.integers(1, 4), st.floats(0.3, 4))
def test_a_blur_keeps_constants_and_planes(half: int, stride: int, std: float) -> None:
    """With mirrored edges constants stay; a plane stays a plane, at the places that are stated."""
    size = stride + 2 * (half - 1)
    operator = BlurDownsample(std, size, stride)
    assert operator.shift == 0
    side = stride * 15
    np.testing.assert_allclose(operator(np.full((1, side, side), 3.0)), 3.0)
    plane = np.add.outer(2.0 * np.arange(side), np.arange(side))[None]
    seen = operator(plane)
    centres = stride * np.arange(15) + (stride - 1) / 2
    inner = slice(half, 15 - half)
    if 2 * half < 15:
        np.testing.assert_allclose(
            seen[0, inner, inner], np.add.outer(2 * centres, centres)[inner, inner], atol=1e-9
        )


def test_padding_on_one_side_shifts_by_six_pixels(rng: np.random.Generator) -> None:
    aligned, published = BlurDownsample(2, 16, 4), BlurDownsample(2, 16, 4, (0, 12))
    assert (aligned.shift, published.shift) == (0, 6)
    x = rng.random((1, 48, 48))
    moved = np.roll(x, (-6, -6), axis=(1, 2))
    np.testing.assert_allclose(published(x)[0, 2:7, 2:7], aligned(moved)[0, 2:7, 2:7])


def test_a_periodic_blur_is_the_same_wherever_it_begins(rng: np.random.Generator) -> None:
    """Circular shifts by whole strides commute with it and its lift, and padding only shifts."""
    operator = BlurDownsample(2, 16, 4, (0, 12), edges="wrap")
    x = rng.random((2, 48, 32))
    moved = np.roll(x, (8, -12), axis=(1, 2))
    np.testing.assert_allclose(operator(moved), np.roll(operator(x), (2, -3), axis=(1, 2)))
    lifted = operator.lift(operator(x))
    np.testing.assert_allclose(
        operator.lift(operator(moved)), np.roll(lifted, (8, -12), axis=(1, 2)), atol=1e-12
    )
    aligned = BlurDownsample(2, 16, 4, edges="wrap")
    np.testing.assert_allclose(operator(x), aligned(np.roll(x, (-6, -6), axis=(1, 2))))


@pytest.mark.parametrize("padding", [None, (0, 12), (4, 8)])
def test_the_lift_restores_smooth_images_wherever_the_padding_is(padding) -> None:
    operator = BlurDownsample(1.0, 16, 4, padding)
    t = np.arange(96) / 96
    image = np.sin(4 * t)[:, None] * np.cos(3 * t)
    lifted = operator.lift(operator(image[None]))[0]
    assert lifted.shape == image.shape
    np.testing.assert_allclose(lifted[16:72, 16:72], image[16:72, 16:72], atol=2e-3)


@pytest.mark.parametrize("std", [1e-200, 1e-3, 1e300])
@pytest.mark.parametrize("size", [3, 4])
def test_the_narrowest_and_the_widest_kernels(std: float, size: int) -> None:
    seen = BlurDownsample(std, size, size)(np.arange(12.0)[None] * np.ones((12, 1))[None])
    np.testing.assert_allclose(seen[0, 0], np.arange(12.0).reshape(-1, size).mean(axis=1))


def test_the_blur_of_a_point_is_the_kernel() -> None:
    image = np.zeros((1, 31, 31))
    image[0, 15, 15] = 1
    seen = BlurDownsample(1.5, 9, 1)(image)[0]
    k = np.arange(9) - 4
    taps = np.exp(-(k**2) / (2 * 1.5**2))
    np.testing.assert_allclose(seen[11:20, 11:20], np.outer(taps, taps) / taps.sum() ** 2)
    assert seen.sum() == pytest.approx(1)


class TestRadon:
    """scikit-image does the work; these are the units, the circle and what is missing."""

    @pytest.fixture(autouse=True)
    def _needs(self) -> None:
        pytest.importorskip("skimage", reason="scikit-image is an extra")

    def test_chords_of_a_disc(self) -> None:
        places = np.arange(64) - 32
        radius = 20.0
        disc = (np.add.outer(places**2, places**2) <= radius**2).astype(float)[None, None]
        seen = Radon(64, 12)(disc)[0, 0]
        chords = 2 * np.sqrt(np.maximum(radius**2 - places**2, 0)) / 64
        assert np.abs(seen - chords[:, None]).mean() < 0.008

    def test_it_is_linear_and_blind_outside_the_circle(self, rng) -> None:
        operator = Radon(16, 5)
        x, y = rng.random((2, 1, 1, 16, 16))
        np.testing.assert_allclose(operator(2 * x - y), 2 * operator(x) - operator(y), atol=1e-12)
        outside = np.where(operator.circle, 0, x)
        assert np.all(operator(outside) == 0)

    @pytest.mark.parametrize("missing", [0.0, 40.0])
    def test_back_projection_restores_the_mean(self, missing: float) -> None:
        places = np.arange(48) - 24
        blob = np.exp(-np.add.outer(places**2, places**2) / 60)[None, None].astype(np.float32)
        operator = Radon(48, 90, missing)
        assert operator.angles[-1] < 180 - missing
        lifted = operator.lift(operator(blob))
        assert lifted.dtype == np.float32
        assert np.abs(lifted - blob).max() < (0.05 if missing == 0 else 0.35)
        assert lifted.sum() == pytest.approx(blob.sum(), rel=0.05 if missing == 0 else 0.25)

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="missing must be at least 0 and below 180"):
            Radon(16, 4, 180)
        with pytest.raises(ValueError, match="angles must be finite"):
            Radon(16, [0.0, np.nan])
        with pytest.raises(ValueError, match=r"images must have shape \(n, C, 16, same\)"):
            Radon(16, 4)(np.zeros((2, 16, 16)))
        with pytest.raises(ValueError, match="observations must have"):
            Radon(16, 4).lift(np.zeros((2, 1, 16, 5)))


def test_bad_input(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="matrix must have shape"):
        Linear(np.zeros((2, 2, 2)))
    with pytest.raises(TypeError, match="matrix must be real"):
        Linear([1j])
    with pytest.raises(ValueError, match=r"images must have shape \(n, 3\), got \(2,\)"):
        Linear([1.0, 2.0, 3.0])(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="zeros and ones"):
        Mask([0.5, 1])
    with pytest.raises(ValueError, match="nothing is seen"):
        Mask([0, 0])
    with pytest.raises(ValueError, match=r"shapes that end in \(3,\)"):
        Mask([0, 0, 1])(images)
    with pytest.raises(ValueError, match="a multiple of 4"):
        BlurDownsample(2, 16, 4)(np.zeros((1, 10, 12)))
    with pytest.raises(ValueError, match="sides above the padding"):
        BlurDownsample(2, 16, 4)(np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match="std must be positive"):
        BlurDownsample(0)
    with pytest.raises(ValueError, match="sides of more values"):
        BlurDownsample(1, 8, 1, (5, 5)).lift(np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="images must be finite, got 1 NaN"):
        Linear([1.0])(np.array([[np.nan]]))
    with pytest.raises(TypeError, match="floating"):
        Linear([1.0])(np.array([[1j]]))
    with pytest.raises(TypeError, match="images must be real numbers, got text"):
        Linear([1.0])([["1"]])


def test_lists_and_whole_numbers_are_float64() -> None:
    images = [[1, 2], [3, 4]]
    problem = Linear([[1, 1]]) + Gaussian(0.1)
    for form in (images, np.array(images), np.array(images, np.uint8)):
        observed = problem.operator(form)
        assert observed.dtype == np.float64
        np.testing.assert_array_equal(observed, [[3], [7]])
        np.testing.assert_allclose(problem.operator.lift([[2]]), [[1, 1]])
        noisy = problem.simulate(form, rng=0)
        np.testing.assert_array_equal(noisy, problem.simulate(np.array(images, float), rng=0))
        np.testing.assert_allclose(problem.residuals(form, [3]), [0, 40])
