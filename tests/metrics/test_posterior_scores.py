"""PSNR and SSIM of images, and the table of all scores."""

from __future__ import annotations

import numpy as np
import pytest

from energyflow import metrics


def test_psnr_in_closed_form() -> None:
    truth = np.zeros((2, 1, 4, 4))
    found = metrics.psnr(truth + np.array([0.1, 1.0])[:, None, None, None], truth)
    np.testing.assert_allclose(found, [20, 0], atol=1e-12)
    assert np.isinf(metrics.psnr(truth, truth)).all()


def test_ssim_prefers_what_is_near(rng) -> None:
    pytest.importorskip("skimage", reason="scikit-image is an extra")
    truth = rng.random((3, 1, 12, 12))
    noise = rng.normal(size=truth.shape)
    same, near, far = (metrics.ssim(truth + s * noise, truth) for s in (0, 0.05, 0.5))
    np.testing.assert_allclose(same, 1)
    assert np.all((near < 1) & (near > far))
    with pytest.raises(ValueError, match="images must have shape"):
        metrics.ssim(truth[0], truth[0])


def test_the_table_ranks_posterior_guess_and_prior(rng) -> None:
    centres = rng.random((40, 1, 8, 8))
    truths = centres + 0.1 * rng.normal(size=centres.shape)
    near = centres[:, None] + 0.1 * rng.normal(size=(40, 20, 1, 8, 8))
    prior = rng.random((40, 20, 1, 8, 8))
    guess = near[:, 0]
    table = metrics.posterior_table({"near": near, "prior": prior}, truths, {"guess": guess})
    for measure in ("energy score", "CRPS"):
        assert table["near"][measure] < table["guess"][measure] < table["prior"][measure]
    assert table["near"]["PSNR of the mean"] == pytest.approx(20, abs=1)
    assert table["near"]["coverage of 90 %"] == pytest.approx(0.9, abs=0.03)
    assert table["near"]["mean sd"] == pytest.approx(0.1, rel=0.1)


def test_the_table_of_one_observation(rng) -> None:
    truth = rng.random((1, 1, 4, 4))
    table = metrics.posterior_table({"exact": np.repeat(truth[:, None], 5, axis=1)}, truth)
    assert table["exact"]["CRPS"] == pytest.approx(0, abs=1e-12)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="one shape"):
        metrics.psnr(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="not be empty"):
        metrics.psnr(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="data_range must be positive"):
        metrics.psnr(np.zeros((2, 3)), np.ones((2, 3)), 0)
