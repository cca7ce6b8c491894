"""The demonstration turns noise into digits, and its pictures show the pixels they are given."""

import importlib
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
pytest.importorskip("typer", reason="the command line is an extra")

from energyflow import FlowResult
from energyflow._cli import demo
from energyflow._core.image_grid import image_grid


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A demonstration cut short, and its folder."""
    out = tmp_path_factory.mktemp("demo") / "new"
    return demo.run_demo(out, n_steps=40, n_particles=60, seed=3, progress=False), out


def test_noise_comes_near_the_digits(short):
    outcome, _ = short
    assert 1.5 < outcome.before < 2.5
    assert outcome.after < 0.1 * outcome.before
    assert 0 < outcome.between_halves < outcome.after


def test_the_files_are_there(short):
    outcome, out = short
    assert set(outcome.files) == set(out.iterdir())
    result = FlowResult.load(out / "flow.npz")
    assert result.particles.shape == (60, 64)
    np.testing.assert_array_equal(np.load(out / "particles.npy"), result.particles)
    assert result.history_step.tolist() == [0, 10, 20, 30, 40]


def test_the_same_seed_gives_the_same_particles(short, tmp_path):
    outcome, out = short
    again = demo.run_demo(tmp_path, n_steps=40, n_particles=60, seed=3, progress=False)
    assert (again.before, again.after) == (outcome.before, outcome.after)
    np.testing.assert_array_equal(
        np.load(tmp_path / "particles.npy"), np.load(out / "particles.npy")
    )


def test_the_halves_share_no_digit():
    target, held_out = demo._halves_of_the_digits(0)
    assert (target.shape, held_out.shape) == ((899, 64), (898, 64))
    assert (target.min(), target.max()) == (0, 1)
    load_digits = importlib.import_module("sklearn.datasets").load_digits
    everything = np.concatenate([target, held_out])
    np.testing.assert_array_equal(
        np.sort(everything.sum(axis=1)), np.sort(load_digits().data.sum(axis=1) / 16)
    )


def test_without_scikit_learn_it_says_how_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[cli\]'"):
        demo.run_demo(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_grid_lays_images_out_in_reading_order():
    images = np.arange(1.0, 8.0)[:, None, None] * np.ones((7, 2, 3))
    (mosaic,) = np.moveaxis(image_grid(images[:, None], columns=4), 2, 0)
    assert mosaic.shape == (2 * 4, 4 * 5)
    for k, image in enumerate(images):
        row, column = divmod(k, 4)
        cell = mosaic[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
        np.testing.assert_array_equal(cell[1:-1, 1:-1], image)
        assert cell.sum() == image.sum()


@pytest.mark.slow
def test_the_particles_are_as_near_to_real_digits_as_real_digits(tmp_path):
    outcome = demo.run_demo(tmp_path, progress=False)
    assert outcome.after < 1.15 * outcome.between_halves
