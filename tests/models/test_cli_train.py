"""`energyflow train` and `energyflow sample`: what they print and write."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")

from energyflow.cli import main

FAST = ("--blocks", 2, "--particles", 100, "--projections", 8, "--steps", 15, "--quiet")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command line in an own folder; give the exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    rng = np.random.default_rng(0)
    np.savez("data.npz", x=rng.random((60, 3)), y=np.arange(60) % 2)
    np.savez("images.npz", x=rng.random((40, 1, 4, 4)))

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        return exit_.value.code or 0, *capsys.readouterr()

    return run


def test_train_sample_and_go_on(run, tmp_path) -> None:
    train = ("train", "flow", "--data", "images.npz", "--out", "run", *FAST)
    status, out, err = run(*train)
    assert (status, err) == (0, "")
    assert "2 blocks trained; the model is in run" in out
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (settings["data"], settings["seed"]) == ("images.npz", 0)
    status, out, err = run("sample", "run", "-n", 6, "--out", "s.npz", "--grid", "s.png")
    assert (status, err) == (0, "")
    assert "6 samples; written: s.npz, s.png" in out
    with np.load("s.npz") as file:
        assert file["samples"].shape == (6, 1, 4, 4)
        assert file.files == ["samples"]
    status, _, err = run(*train)
    assert status == 1
    assert "holds a run already" in err
    status, out, _ = run(*train, "--resume", "--blocks", 3)
    assert status == 0
    assert "3 blocks trained" in out


def test_a_warning_takes_one_line(run, tmp_path) -> None:
    train = ("train", "flow", "--data", "data.npz:x", "--out", "run", *FAST)
    assert run(*train)[0] == 0
    file = tmp_path / "run" / "settings.json"
    entries = json.loads(file.read_text())
    file.write_text(json.dumps({**entries, "made_with": {"torch": "1"}}))
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        status, _, err = run(*train, "--resume")
    assert status == 0
    assert err.startswith("energyflow: warning: run holds a run made with {'torch': '1'}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_takes_one_line(run, device: str) -> None:
    status, _, err = run("train", "flow", "--data", "moons", "--out", "run", "--device", device)
    assert status == 1
    assert err.startswith("energyflow: device must be")
    assert err.count("\n") == 1


def test_an_interrupt_says_how_to_go_on(run, monkeypatch) -> None:
    def interrupted(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("energyflow.models.FlowGenerator.fit", interrupted)
    status, _, err = run("train", "flow", "--data", "moons", "--out", "run", *FAST)
    assert status == 130
    assert err == "energyflow: --resume resumes the run in run\nenergyflow: interrupted\n"


def test_samples_in_the_plane_are_drawn(run, tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    assert run("train", "flow", "--data", "moons", "--out", "run", *FAST)[::2] == (0, "")
    status, out, err = run("sample", "run", "-n", 6, "--grid", "s.png")
    assert (status, out, err) == (0, "6 samples; written: s.png\n", "")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_dmmd(run) -> None:
    train = ("train", "dmmd", "--data", "data.npz", "--out", "run", "--steps", 4, "--quiet")
    status, out, err = run(*train)
    assert (status, err) == (0, "")
    assert "2 rounds trained; the model is in run" in out
    status, out, err = run("sample", "run", "-n", 6, "--out", "s.npz")
    assert (status, err) == (0, "")
    with np.load("s.npz") as file:
        assert file["samples"].shape == (6, 3)
    assert run(*train, "--resume")[0] == 0
    status, _, err = run(*train, "--resume", "--kernel", "linear")
    assert (status, "holds a run with kernel = 'energy'" in err) == (1, True)


MATCHING = ("--steps", 30, "--batch", 16, "--quiet")


@pytest.fixture
def levels(run):
    """Points near their level, plus 10 in class 1; in a file of data in the unit box."""
    rng = np.random.default_rng(0)
    level, y = rng.random((80, 1)), np.arange(80) % 2
    x = np.clip(level / 2 + y[:, None] / 2 + 0.01 * rng.normal(size=(80, 2)), 0, 1)
    np.savez("levels.npz", x=x, y=y, condition=level)
    return run


def test_continuous_conditions(levels) -> None:
    train = ("train", "flow-matching", "--data", "levels.npz", "--out", "run", *MATCHING)
    status, _, err = levels(*train, "--condition", "continuous", "--patience", 2)
    assert (status, err) == (0, "")
    assert levels("sample", "run", "-n", 3, "--condition", "0.5", "--out", "s.npz")[0] == 0
    with np.load("s.npz") as file:
        assert file["condition"].tolist() == [0.5]
        assert file["samples"].shape == (3, 2)
    np.save("each.npy", np.zeros((3, 1)))
    assert levels("sample", "run", "-n", 3, "--condition", "each.npy", "--out", "t.npz")[0] == 0
    status, _, err = levels("sample", "run", "--condition", "1,2", "--out", "u.npz")
    assert (status, "condition must have shape (1,) or (100, 1), got (2,)" in err) == (1, True)
    status, out, err = levels("evaluate", "run")
    assert (status, err) == (0, "")
    assert "samples of the class asked for" not in out


def test_labels_beside_continuous_conditions(levels) -> None:
    train = ("train", "flow-matching", "--data", "levels.npz", "--out", "run", *MATCHING)
    status, _, err = levels(*train, "--condition", "both", "--patience", 2)
    assert (status, err) == (0, "")
    how = ("sample", "run", "-n", 2, "--out", "s.npz")
    assert levels(*how, "--condition", "labels=1", "--condition", "condition=0.25")[0] == 0
    with np.load("s.npz") as file:
        assert (file["labels"].tolist(), file["condition"].tolist()) == ([1, 1], [0.25])
    status, out, err = levels("evaluate", "run")
    assert (status, err) == (0, "")
    assert "samples of the class asked for" in out
    twice = ("--condition", "labels=1", "--condition", "labels=0")
    status, _, err = levels(*how, *twice)
    assert (status, "labels is given twice" in err) == (1, True)
    for condition, told in (
        ("1", "expected NAME=VALUE for each of labels, condition, got '1'"),
        ("labels=1", "condition must have the entries labels, condition, got labels"),
    ):
        status, _, err = levels(*how, "--condition", condition)
        assert (status, told in err) == (1, True), err


def test_conditions_that_are_not_there(levels) -> None:
    train = ("train", "flow-matching", "--data", "data.npz", "--out", "run", *MATCHING)
    status, _, err = levels(*train, "--condition", "continuous")
    assert (status, "data.npz has no array `condition`" in err) == (1, True)
    assert levels(*train)[0] == 0
    status, _, err = levels("sample", "run", "--condition", "1", "--out", "s.npz")
    assert (status, "--condition must be left out" in err) == (1, True)


def test_labels_as_conditions(run) -> None:
    how = ("--data", "data.npz", "--out", "run", "--condition", "labels", *FAST)
    assert run("train", "flow", *how, "--patience", 5)[0] == 0
    assert run("sample", "run", "-n", 4, "--condition", 1, "--out", "s.npz")[0] == 0
    with np.load("s.npz") as file:
        assert file["condition"].tolist() == [1, 1, 1, 1]
    np.save("labels.npy", np.array([0, 1, 1]))
    assert run("sample", "run", "-n", 3, "--condition", "labels.npy", "--out", "t.npz")[0] == 0
    with np.load("t.npz") as file:
        assert file["condition"].tolist() == [0, 1, 1]
    status, _, err = run("sample", "run", "-n", 4, "--out", "u.npz")
    assert (status, "condition must be given" in err) == (1, True)


def test_flow_matching(run, tmp_path) -> None:
    how = ("--out", "run", "--condition", "labels", "--steps", 30, "--batch", 16, "--quiet")
    train = ("train", "flow-matching", "--data", "data.npz", *how)
    status, out, err = run(*train, "--coupling", "ot")
    assert (status, err) == (0, "")
    assert "10 rounds trained; the model is in run" in out
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (settings["model"], settings["coupling"]) == ("flow-matching", "ot")
    assert run("sample", "run", "-n", 4, "--condition", 1, "--out", "s.npz")[0] == 0
    status, _, err = run(*train, "--coupling", "none", "--resume")
    assert (status, "holds a run with coupling" in err) == (1, True)
    assert run(*train, "--resume")[0] == 0  # what is not given is as the run has it


def test_patience_with_a_class_of_one_point(run) -> None:
    rng = np.random.default_rng(0)
    np.savez("rare.npz", x=rng.random((60, 2)), y=np.arange(60) // 2)
    how = ("--data", "rare.npz", "--out", "run", "--condition", "labels", *FAST, "--patience", 1)
    assert run("train", "flow", *how)[::2] == (0, "")


def test_a_budget(run) -> None:
    how = ("--data", "data.npz", "--out", "run", *FAST, "--budget", "20 steps")
    assert "1 blocks trained" in run("train", "flow", *how)[1]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("train", "flow", "--data", "nowhere", "--out", "run"), 1, "nowhere"),
        (("train", "flow", "--data", "data.npz", "--out", "run", "--preset", "x"), 1, "preset"),
        (("train", "flow", "--data", "data.npz", "--out", "run", "--budget", "x"), 1, "budget"),
        (
            ("train", "flow", "--data", "images.npz", "--out", "run", "--condition", "labels"),
            1,
            "has no labels",
        ),
        (("sample", "nowhere", "--out", "s.npz"), 1, "nowhere"),
        (("sample", "nowhere"), 2, "give --out, --grid or both"),
        (("sample", "nowhere", "--out", "s.txt"), 1, "expected a .npz file"),
    ],
)
def test_saying_no(run, tmp_path, arguments, status: int, message: str) -> None:
    found, _, err = run(*arguments)
    assert (found, message in err) == (status, True), err
    assert not (tmp_path / "run").exists()
