"""Problems: noise in closed form, files, and what is said to wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from energyflow import inverse
from energyflow.inverse import BlurDownsample, Gaussian, Linear, Mask, Poisson, Problem


def test_gaussian_noise(rng: np.random.Generator) -> None:
    problem = Linear(np.ones(4)) + Gaussian(0.5)
    x = rng.normal(size=(20_000, 4)).astype(np.float32)
    seen = problem.simulate(x, rng=0)
    assert seen.dtype == np.float32
    noise = (seen - x).astype(np.float64)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    np.testing.assert_array_equal(problem.simulate(x, rng=0), seen)


@pytest.mark.parametrize(("clean", "attenuation"), [(0.0, 1.0), (1.0, 2.0), (0.5, 4.0)])
def test_poisson_noise_has_the_stated_spread(clean: float, attenuation: float) -> None:
    noise = Poisson(10_000, attenuation)
    paths = np.full(20_000, clean)
    seen = noise.add(paths, np.random.default_rng(0))
    assert seen.mean() == pytest.approx(clean, abs=0.001)
    assert seen.std() == pytest.approx(noise.std(paths)[0], rel=0.03)


def test_a_line_without_a_photon_counts_as_half_a_one() -> None:
    seen = Poisson(8, 1.0).add(np.full(5, 1e3), np.random.default_rng(0))
    np.testing.assert_allclose(seen, np.log(16))


def test_extremes_of_photons() -> None:
    """The spread of a line without photons is that of half a one; more than enough are refused."""
    noise = Poisson(8, 2.0)
    dark, bright = noise.std(np.array([2e3, -2e3]))
    assert dark == pytest.approx(np.sqrt(2) / 2)
    assert 0 < bright < 1e-8
    with pytest.raises(ValueError, match=r"at most 1e\+18 photons a line, got inf"):
        noise.add(np.array([-1e3]), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"at most 1e\+18 photons a line"):
        Poisson(1e30).add(np.zeros(1), np.random.default_rng(0))


def test_the_truth_has_residual_one(rng: np.random.Generator) -> None:
    problem = Linear(rng.normal(size=(4000, 3))) + Gaussian(0.1)
    x = rng.normal(size=(1, 3))
    seen = problem.simulate(x, rng)
    truth, other = problem.residuals(np.concatenate([x, x + 1]), seen[0])
    assert truth == pytest.approx(1, rel=0.05)
    assert other > 5
    with pytest.raises(ValueError, match=r"observation must have shape \(4000,\)"):
        problem.residuals(x, seen)
    with pytest.raises(ValueError, match="observation must be finite"):
        problem.residuals(x, np.full(4000, np.nan))


def test_noise_is_only_where_something_is_seen(images: np.ndarray) -> None:
    problem = Mask.rows((12, 16), 9, 12) + Gaussian(0.1)
    seen = problem.simulate(images, rng=0)
    assert np.all(seen[:, :, :9] == 0)
    assert np.all(seen[:, :, 9:] != images[:, :, 9:])
    residuals = [problem.residuals(x[None], y)[0] for x, y in zip(images, seen, strict=True)]
    np.testing.assert_allclose(residuals, 1, atol=0.25)


PROBLEMS = [
    Linear([[1.0, 2.0], [0.5, 0.0]]) + Gaussian(0.25),
    Linear([1.0, 0.5]) + Poisson(100, 0.5),
    Mask([[1, 0], [0, 1]]) + Gaussian(1),
    BlurDownsample(1.5, 8, 2, (1, 5), "zeros") + Gaussian(0.01),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_files_keep_a_problem(problem: Problem, tmp_path) -> None:
    problem.save(tmp_path / "problem.json")
    again = Problem.load(tmp_path / "problem.json")
    assert again.settings() == problem.settings()


def test_settings_under_other_names(tmp_path) -> None:
    class Scaled(Linear):
        name = "scaled"

        def __init__(self, factor: float) -> None:
            super().__init__([factor])
            self._factor = factor

    problem = Scaled(2.0) + Gaussian(0.1)
    with pytest.raises(TypeError, match=r"Scaled has a parameter 'factor' but no such attribute"):
        problem.save(tmp_path / "problem.json")
    assert not list(tmp_path.iterdir())


def test_a_radon_problem_is_kept(tmp_path) -> None:
    pytest.importorskip("skimage", reason="scikit-image is an extra")
    (tmp_path / "p.toml").write_text(
        '[operator]\nkind = "radon"\nsize = 8\nangles = 7\nmissing = 40\n'
        '[noise]\nkind = "poisson"\nphotons = 4096\nattenuation = 2\n'
    )
    problem = Problem.from_toml(tmp_path / "p.toml")
    problem.save(tmp_path / "p.json")
    x = np.ones((1, 1, 8, 8))
    again = Problem.load(tmp_path / "p.json")
    np.testing.assert_array_equal(again.simulate(x, 3), problem.simulate(x, 3))
    np.testing.assert_array_equal(
        again.lift(again.simulate(x, 3)), problem.lift(problem.simulate(x, 3))
    )


def test_toml_may_name_a_file(tmp_path) -> None:
    np.save(tmp_path / "seen.npy", np.eye(3))
    (tmp_path / "p.toml").write_text(
        '[operator]\nkind = "mask"\nseen = "seen.npy"\n[noise]\nkind = "gaussian"\nstd = 0.1\n'
    )
    found = Problem.from_toml(tmp_path / "p.toml")
    assert found.settings() == (Mask(np.eye(3)) + Gaussian(0.1)).settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[operator", "expected TOML"),
        ("", r"expected a table \[operator\]"),
        ('[operator]\nkind = "x"', "kind must be one of linear, mask, blur-downsample, radon"),
        ('[operator]\nkind = "linear"\nmatrix = [1.0]', r"expected a table \[noise\]"),
        ('[operator]\nkind = "linear"\nmatrices = 3', r"\[operator\]: .*matrices"),
        ('[operator]\nkind = "blur-downsample"\nsize = 0', "size must be at least 1, got 0"),
        ('[operator]\nkind = ["linear"]', "kind must be one of"),
        ('[operator]\nkind = "blur-downsample"\npadding = 3', "padding must be two numbers"),
        ("[what]", "unknown tables what"),
    ],
)
def test_saying_no(text: str, message: str, tmp_path) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        Problem.from_toml(tmp_path / "p.toml")
    assert "p.toml" in str(caught.value)


def test_bad_arguments() -> None:
    for std in (0, -1, np.nan):
        with pytest.raises(ValueError, match="std must be positive and finite"):
            Gaussian(std)
    with pytest.raises(TypeError, match="here: expected tables, got list"):
        Problem.from_settings([1], "here")
    with pytest.raises(TypeError, match="photons must be a number, got str"):
        Poisson("many")
    with pytest.raises(TypeError, match="noise must be a Noise, got float"):
        Linear([1.0]) + 0.1


@pytest.mark.parametrize(
    ("old", "new"), [("Components", "WhitenedPCA"), ("Regression", "CrossFittedRidge")]
)
def test_names_of_before_warn(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is now inverse.{new}"):
        assert getattr(inverse, old) is getattr(inverse, new)
