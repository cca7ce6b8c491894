"""`energyflow train posterior` and `energyflow posterior`: what they print and write."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")
pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("matplotlib", reason="matplotlib is an extra")

from energyflow.cli import main

PROBLEM = """
[operator]
kind = "blur-downsample"
std = 1.0
size = 4
stride = 2

[noise]
kind = "gaussian"
std = 0.05
"""
TRAIN = ("train", "posterior", "--problem", "good.toml", "--data", "images.npz", "--out", "r")
FAST = ("--blocks", 1, "--particles", 60, "--projections", 8, "--steps", 15, "--quiet")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command line in an own folder; give the exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("images.npz", x=rng.random((40, 1, 8, 8)))
    np.save("seen.npy", rng.random((1, 4, 4)))
    (tmp_path / "problem.toml").write_text(PROBLEM)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        return exit_.value.code or 0, *capsys.readouterr()

    return run


def test_train_and_sample(run, tmp_path) -> None:
    how = ("--problem", "problem.toml", "--data", "images.npz", "--out", "run", *FAST)
    status, out, err = run("train", "posterior", *how)
    assert (status, err) == (0, "")
    assert "1 blocks trained; the model is in run" in out
    draw = ("posterior", "run", "--observation", "seen.npy", "-n", 12, "--out", "s.npz")
    status, out, err = run(*draw, "--picture", "s.png")
    assert (status, err) == (0, "")
    assert "12 samples; written: s.npz, s.png" in out
    with np.load("s.npz") as file:
        shapes = {name: file[name].shape for name in file.files}
        assert np.all(file["low"] <= file["high"])
        np.testing.assert_allclose(file["mean"], file["samples"].mean(0), atol=1e-6)
    image = (1, 8, 8)
    assert shapes == {
        "samples": (12, *image), "mean": image, "std": image, "low": image, "high": image,
        "residuals": (12,),
    }  # fmt: skip
    (tmp_path / "run" / "problem.json").unlink()
    status, _, err = run(*draw)
    assert (status, "problem.json" in err) == (1, True)
    assert run(*draw, "--problem", "problem.toml")[0] == 0


def test_vectors_from_a_line_of_text(run, tmp_path) -> None:
    np.savez("points.npz", x=np.random.default_rng(1).normal(size=(60, 2)))
    (tmp_path / "sum.toml").write_text(
        '[operator]\nkind = "linear"\nmatrix = [[1, 1], [1, 0]]\n\n'
        '[noise]\nkind = "gaussian"\nstd = 0.1\n'
    )
    how = ("--problem", "sum.toml", "--data", "points.npz", "--out", "run", *FAST)
    extra = ("--guess", "regression", "--components", 1, "--start", "normal")
    assert run("train", "posterior", *how, *extra)[0] == 0
    kept = json.loads((tmp_path / "run" / "guess.json").read_text())
    assert np.shape(kept.pop("range")) == (2, 2)
    assert kept == {
            "guess": "regression", "components": 1.0, "parameters": True,
            "shape": [2], "observed": [2], "scores": False, "crop": None, "beside": False,
        }  # fmt: skip
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert '"start": "normal"' in json.dumps(settings)
    (tmp_path / "seen.csv").write_text("1.0,0.5\n")
    status, _, err = run("posterior", "run", "--observation", "seen.csv", "--out", "s.npz")
    assert (status, err) == (0, "")
    with np.load("s.npz") as file:
        assert file["samples"].shape == (100, 2)
    np.save("nan.npy", np.array([np.nan, 0.5]))
    status, _, err = run("posterior", "run", "--observation", "nan.npy", "--out", "s.npz")
    assert (status, "finite" in err) == (1, True)
    np.save("long.npy", np.zeros(3))
    status, _, err = run("posterior", "run", "--observation", "long.npy", "--out", "s.npz")
    assert (status, "shape" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TRAIN, "--components", 2), "components must be above 0 and at most 1, got 2"),
        (("posterior", "nowhere", "--observation", "seen.npy", "--out", "s.npz"), "nowhere"),
        (("posterior", "nowhere", "--observation", "seen.npy", "--out", "s.npy"), "a .npz file"),
        (("train", "posterior", "--problem", "no.toml", "--data", "digits", "--out", "r"), "no.t"),
        (
            ("train", "posterior", "--problem", "bad.toml", "--data", "digits", "--out", "r"),
            "[noise]",
        ),
    ],
)
def test_saying_no(run, tmp_path, arguments, message: str) -> None:
    (tmp_path / "bad.toml").write_text('[operator]\nkind = "linear"\nmatrix = [1.0]\n')
    (tmp_path / "good.toml").write_text(PROBLEM)
    status, _, err = run(*arguments)
    assert (status, message in err) == (1, True), err
    assert not (tmp_path / "r").exists()
