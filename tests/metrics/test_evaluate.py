"""The table of all measures, and the command that prints it."""

import csv
import io
import json
import sys
import types

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="classifiers are scikit-learn's")

from energyflow import datasets, metrics
from energyflow.cli import main
from energyflow.metrics import _picture

ENERGY, RATIO = "energy distance to held-out data", "energy distance over that of real data"
ASKED, TRAINED = "samples of the class asked for", "accuracy when trained on samples"
COPIES = "copies of training points"


class Noisy:
    """Training data with noise: a generator that can be asked for classes."""

    def __init__(self, data, scale):
        self.data, self.scale = data, scale

    def sample(self, n, condition=None, rng=None):
        generator = np.random.default_rng(rng)
        if condition is None:
            rows = generator.integers(len(self.data.train), size=n)
        else:
            rows = [
                generator.choice(np.flatnonzero(self.data.train_labels == c)) for c in condition
            ]
        noise = generator.normal(scale=self.scale, size=(n, *self.data.shape))
        return (self.data.train[rows] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def eight():
    return datasets.load("eight-gaussians", n=240)


def test_fresh_data_are_as_good_as_real_data(eight):
    fresh = datasets.load("eight-gaussians", n=240, seed=5)
    report = metrics.evaluate(fresh.train, eight, labels=fresh.train_labels)
    assert (report.n_samples, report.features, report.dataset) == (240, "classifier", eight.name)
    assert report[RATIO].samples == pytest.approx(report[ENERGY].samples / report[ENERGY].real)
    assert report[RATIO].samples < 3
    assert report["precision"].samples > 0.8
    assert report["recall"].samples > 0.8
    assert min(report[ASKED].samples, report[TRAINED].samples, report[TRAINED].real) > 0.97
    assert report[COPIES].samples < 0.25


def test_what_is_wrong_shows(eight):
    one_mode = Noisy(eight, 0.0).sample(240, np.zeros(240, int), 0)
    report = metrics.evaluate(one_mode, eight)
    assert report[RATIO].samples > 20
    assert report["recall"].samples < 0.3 < report["recall"].real
    assert report["Fréchet distance"].samples > 5 * report["Fréchet distance"].real
    assert report[COPIES].samples == 1
    with pytest.raises(KeyError):
        report[ASKED]


def test_generators_are_asked_for_classes_as_in_the_data(eight):
    seen = []

    class Asked(Noisy):
        def sample(self, n, condition=None, rng=None):
            seen.append(condition)
            return super().sample(n, condition, rng)

    report = metrics.evaluate(Asked(eight, 0.01), eight, labels="data", n=120)
    assert report[ASKED].samples > 0.97
    share = np.bincount(eight.train_labels) / 2
    assert np.all(np.abs(np.bincount(seen[0], minlength=8) - share) <= 1)
    metrics.evaluate(Asked(eight, 0.01), eight, features="data")
    assert seen[1] is None


def test_the_same_seed_gives_the_same_table(eight):
    model = Noisy(eight, 0.01)
    first, again, other = (metrics.evaluate(model, eight, n=60, rng=seed) for seed in (1, 1, 2))
    assert first.rows == again.rows != other.rows


def test_a_feature_space_of_ones_own(eight):
    report = metrics.evaluate(eight.test, eight, features=lambda values: values[:, :1])
    assert report.features == "given"
    plain = metrics.evaluate(eight.test, eight, features="data")
    assert report["precision"].samples != plain["precision"].samples
    assert report[ENERGY] == plain[ENERGY]


def test_tables(eight, tmp_path):
    report = metrics.evaluate(eight.test, eight, features="data")
    rows = list(csv.reader(io.StringIO(report.to_csv())))
    assert tuple(rows[0]) == metrics.COLUMNS
    for line, row in zip(rows[1:], report.rows, strict=True):
        assert (line[0], float(line[1]), float(line[2])) == (row.measure, row.samples, row.real)
    content = json.loads(report.to_json())
    assert [entry["samples"] for entry in content["measures"]] == [r.samples for r in report.rows]
    lines = report.to_markdown().splitlines()
    assert len(lines) == len(report.rows) + 2
    assert {line.count("|") for line in lines} == {5}
    for suffix in ("json", "csv", "md"):
        assert report.save(tmp_path / f"a.{suffix}").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.txt: expected a name in \.json"):
        report.save(tmp_path / "a.txt")


def test_numbers_that_json_cannot_say():
    row = metrics.Row("ratio", float("inf"), 1.0, "lower")
    report = metrics.Report((row,), "x", 1, "data", np.ones(1), None, None)
    assert json.loads(report.to_json())["measures"][0]["samples"] is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 5}, "n is for generators"),
        ({"labels": "data"}, "is for generators"),
        ({"labels": np.zeros(3, int)}, r"\(240,\).*\(3,\)"),
        ({"features": "inception"}, "features must be"),
        ({"n_repeats": 0}, "n_repeats"),
    ],
)
def test_bad_arguments_are_named(eight, options, told):
    with pytest.raises(ValueError, match=told):
        metrics.evaluate(eight.test, eight, **options)
    with pytest.raises(ValueError, match="one dimension, got 3 and 2"):
        metrics.evaluate(np.ones((5, 3)), eight)
    with pytest.raises(ValueError, match="samples must be finite"):
        metrics.evaluate(eight.test * np.float32(np.nan), eight)


@pytest.mark.parametrize("classes", [1, 2])
def test_a_single_class_has_no_accuracy(classes, rng):
    data = datasets.from_arrays(rng.random((40, 2)), 5 + np.arange(40) % classes)
    asked = np.full(10, 5)
    for labels in (None, asked):
        report = metrics.evaluate(rng.random((10, 2)), data, labels=labels)
        assert not [row for row in report.rows if "class" in row.measure]
        assert report.features == ("data" if classes == 1 else "classifier")


def test_samples_have_the_shape_of_the_data(rng):
    data = datasets.from_arrays(rng.random((10, 4)))
    with pytest.raises(ValueError, match=r"of shape \(4,\) each as the data are, got \(1, 2, 2\)"):
        metrics.evaluate(rng.random((5, 1, 2, 2)), data)


def test_pairs_of_images_stand_one_above_the_other():
    upper = np.arange(1, 6)[:, None, None, None] / 10 * np.ones((5, 1, 2, 3))
    mosaic = _picture.pair_mosaic(upper, upper + 0.5, columns=3)
    assert mosaic.shape == (2 * 8, 3 * 5, 1)
    for k in range(5):
        row, column = divmod(k, 3)
        cell = mosaic[8 * row : 8 * row + 8, 5 * column : 5 * column + 5][1:-2, 1:-1]
        np.testing.assert_allclose(cell[:2], (k + 1) / 10)
        np.testing.assert_allclose(cell[3:], (k + 1) / 10 + 0.5)
        np.testing.assert_array_equal(cell[2], 0)
    colour = _picture.pair_mosaic(np.zeros((5, 3, 2, 2)), np.zeros((5, 3, 2, 2)), columns=3)
    assert colour.shape == (16, 12, 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"condition": "data"}, "has no conditions to ask for"),
        ({"condition": "data", "labels": np.zeros(3, int)}, 'labels "data" or left out'),
        ({"condition": "all"}, 'condition must be "data"'),
        ({"labels": "all"}, 'labels must be an array or "data"'),
    ],
)
def test_bad_conditions_of_a_generator_are_named(eight, options, told):
    with pytest.raises(ValueError, match=told):
        metrics.evaluate(Noisy(eight, 0.01), eight, **options)


# -- the command


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        return exit_.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run's folder, and in place of trained models one that repeats its data with noise."""
    pytest.importorskip("typer", reason="the command line is an extra")
    models = types.ModuleType("energyflow.models")
    given = datasets.load("moons", n=300, seed=2)

    def load(folder):
        assert folder == tmp_path
        return Noisy(given, 0.02)

    models.load = load
    monkeypatch.setitem(sys.modules, "energyflow.models", models)
    monkeypatch.setattr("energyflow.models", models, raising=False)
    return tmp_path


def write(folder, **settings):
    (folder / "settings.json").write_text(json.dumps(settings))


def test_the_command(folder, run):
    write(folder, data={"source": "moons", "n": 300, "seed": 2}, condition={"kind": "labels"})
    status, out, err = run("evaluate", folder, "-n", 100)
    assert (status, err) == (0, "")
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (content["n_samples"], content["dataset"]) == (100, "moons")
    for entry in content["measures"]:
        assert entry["measure"] in out
        assert f"{entry['samples']:.4g}" in out
    assert ASKED in out
    assert (folder / "report-neighbours.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_with_other_data_and_format(folder, run):
    write(folder, data="moons", condition=None)
    np.save(folder / "x.npy", np.random.default_rng(0).random((50, 2)))
    out = folder / "a.csv"
    status, printed, _ = run("evaluate", folder, "--data", folder / "x.npy", "--out", out)
    assert status == 0
    assert str(out) in printed
    assert out.read_text(encoding="utf-8").startswith("measure,samples")
    assert ASKED not in printed


@pytest.mark.parametrize(
    ("settings", "options", "told"),
    [
        (None, (), "expected the folder of a trained model, with settings.json"),
        ({}, (), "names no data"),
        ({"data": "moons"}, ("--out", "report.xls"), "report.xls"),
        ({"data": "moons"}, ("--out", "nowhere/report.md"), "no folder nowhere"),
        ({"data": "no-such-data"}, (), "no-such-data: no such file"),
        (
            {"data": "moons", "condition": {"kind": "maps"}},
            (),
            "without conditions, of labels, of vectors",
        ),
    ],
)
def test_the_command_says_what_is_wrong(folder, run, settings, options, told):
    if settings is not None:
        write(folder, **settings)
    status, _, err = run("evaluate", folder, *options)
    assert status == 1
    assert told in err
    assert err.count("\n") == 1
    assert not list(folder.glob("report*"))


def test_damaged_settings_are_told(folder, run):
    for content in ("{", "[]"):
        (folder / "settings.json").write_text(content)
        status, _, err = run("evaluate", folder)
        assert status == 1
        assert "settings.json: expected" in err
