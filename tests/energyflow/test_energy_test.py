"""Two- and k-sample tests: level, ties, strata, oracles, and the same p-value in every library."""

from __future__ import annotations

import csv
import json
from itertools import combinations

import numpy as np
import pytest
from energyflow_backends import exact_permutation_energies, sliced_permutation_energies
from energyflow_backends.sums import permutations
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import pairs

import energyflow as ef
from energyflow._core.random import as_source
from energyflow._permutation_tests.relabelling import relabellings
from energyflow._slices.projectors import DenseProjector


def labellings(rng: np.random.Generator, sizes: list[int], count: int) -> np.ndarray:
    true = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    return np.stack([true, *(rng.permutation(true) for _ in range(count - 1))], axis=1)


@pytest.fixture
def samples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 0.4


# -- the statistic -------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_exact_statistic_is_the_energy_distance(samples, exponent) -> None:
    result = ef.energy_test(*samples, exponent=exponent, n_resamples=9, rng=0)
    expected = ef.energy_distance(*samples, exponent=exponent)
    assert float(result.statistic) == pytest.approx(float(expected), rel=1e-12)
    assert float(result.scaled_statistic) == pytest.approx(12 * float(expected), rel=1e-12)
    assert result.method == "exact"


@pytest.mark.slow  # dcor compiles for a minute
def test_dcor_is_an_oracle(samples) -> None:
    dcor = pytest.importorskip("dcor", reason="dcor is an oracle of these tests")
    third = samples[0][:9] * 2
    for given_samples in (samples, (*samples, third)):
        result = ef.energy_test(*given_samples, n_resamples=9, rng=0)
        for g, x in enumerate(given_samples):
            for h, y in enumerate(given_samples):
                assert float(result.pairwise[g, h]) == pytest.approx(
                    float(dcor.energy_distance(x, y)), rel=1e-12, abs=1e-12
                )
        theirs = dcor.homogeneity.energy_test(*given_samples, num_resamples=1, random_state=0)
        assert float(result.scaled_statistic) == pytest.approx(float(theirs.statistic), rel=1e-12)
    pool, sizes = np.concatenate(samples), np.array([30, 20])
    result = ef.energy_test(*samples, n_resamples=49, rng=0)
    (labels,) = next(relabellings(sizes, None, as_source(0), 50, 16))
    theirs = [float(dcor.energy_distance(pool[v == 0], pool[v == 1])) for v in labels.T]
    np.testing.assert_allclose(result.null_distribution, theirs[1:], rtol=1e-12)
    assert result.pvalue == np.mean(np.array(theirs) >= theirs[0])


@given(pairs(minimum=2), st.integers(0, 2**32 - 1))
def test_relabellings_by_rows_and_by_pairs_are_the_energy_distances(drawn, seed) -> None:
    x, y, _, _ = drawn
    points, sizes = np.concatenate([x, y]), np.array([len(x), len(y)])
    labels = labellings(np.random.default_rng(seed), [len(x), len(y)], 5)
    direction = np.eye(points.shape[1])[:1]
    exact = exact_permutation_energies(points, [labels], sizes, 1.0)[0]
    sliced = {}
    for backend in ("numpy", "numba"):
        with ef.use_backend(backend):
            sliced[backend] = sliced_permutation_energies(
                lambda: [points], [labels[:, :2], labels[:, 2:]], sizes, DenseProjector(direction)
            )[0] / ef.slicing_constant(points.shape[1])
    for k, label in enumerate(labels.T):
        groups = points[label == 0], points[label == 1]
        assert exact[k] == pytest.approx(float(ef.energy_distance(*groups)), abs=1e-9)
        on_axis = float(ef.energy_distance(*(g[:, :1] for g in groups)))
        for found in sliced.values():
            assert found[k] == pytest.approx(on_axis, abs=1e-9)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_many_groups_on_slices(rng, backend) -> None:
    sizes = [7, 4, 9, 2]
    points = rng.integers(0, 4, size=(22, 2)).astype(float)
    labels = labellings(rng, sizes, 6)
    with ef.use_backend(backend):
        found = sliced_permutation_energies(
            lambda: [points[:9], points[9:]],
            [labels],
            np.array(sizes),
            DenseProjector(np.array([[0.0, 1.0]])),
        )
    found /= ef.slicing_constant(2)
    place = 0
    for g in range(4):
        for h in range(g + 1, 4):
            for k, label in enumerate(labels.T):
                pair = points[label == g, 1:], points[label == h, 1:]
                expected = float(ef.energy_distance(*pair))
                assert found[place, k] == pytest.approx(expected, abs=1e-12)
            place += 1


@pytest.mark.parametrize("sizes", [[1, 1], [1, 2], [62, 1], [130, 7], [64, 60, 5]])
def test_all_pairs_in_pieces_are_the_energy_distances(rng, sizes) -> None:
    points = rng.normal(size=(sum(sizes), 3))
    labels = labellings(rng, sizes, 3)
    found = exact_permutation_energies(points, [labels[:, :1], labels[:, 1:]], np.array(sizes), 1.5)
    for place, (g, h) in enumerate(combinations(range(len(sizes)), 2)):
        for k, label in enumerate(labels.T):
            pair = points[label == g], points[label == h]
            expected = float(ef.energy_distance(*pair, exponent=1.5))
            assert found[place, k] == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 63, 64, 65])
@pytest.mark.parametrize("width", [1, 3, 257])
def test_the_kernel_is_its_twin(rng, count, width) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    from energyflow_kernels.numba.permutations import permutation_energies

    sizes = [1, count - 1]
    labels = labellings(rng, sizes, width)
    rows = np.rint(2 * rng.normal(size=(3, count)))
    blocks = [labels, labels[:, ::-1].copy()]
    found = permutation_energies(rows, blocks, np.array(sizes))
    expected = permutations.permutation_energies(rows, blocks, np.array(sizes))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_both_methods_agree_in_one_dimension(rng) -> None:
    x, y = rng.normal(size=(40, 1)), rng.normal(size=(30, 1)) * 2
    results = [ef.energy_test(x, y, method=m, rng=5, n_resamples=99) for m in ("exact", "sliced")]
    assert results[0].pvalue == results[1].pvalue
    np.testing.assert_allclose(
        results[0].null_distribution, results[1].null_distribution, rtol=1e-12
    )


# -- the p-value ---------------------------------------------------------------------------------


def test_scipys_permutation_test_is_an_oracle(rng) -> None:
    x, y = rng.integers(0, 3, size=(2, 5, 1)).astype(float)

    def statistic(x, y):
        return float(ef.energy_distance(x[:, None], y[:, None]))

    theirs = stats.permutation_test(
        (x[:, 0], y[:, 0]), statistic, vectorized=False, alternative="greater", n_resamples=np.inf
    )  # all 252 relabellings
    found = ef.energy_test(x, y, n_resamples=20_000, rng=1)
    assert found.pvalue == pytest.approx(theirs.pvalue, abs=0.015)


def test_ties_count() -> None:
    same = np.ones((6, 2))
    assert ef.energy_test(same, same, n_resamples=50, rng=0).pvalue == 1.0
    x, y = np.zeros((2, 1)), np.ones((2, 1))  # two of six relabellings are as far apart
    found = ef.energy_test(x, y, n_resamples=5000, rng=0)
    assert found.pvalue == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_copies_of_one_sample_are_never_further_apart(rng, method) -> None:
    x = rng.normal(size=(6, 2))
    assert ef.energy_test(x, x[::-1], method=method, rng=0).pvalue == 1.0


@pytest.mark.parametrize("method", ["exact", "sliced"])
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_units_do_not_matter(samples, method, scale) -> None:
    expected = ef.energy_test(*samples, method=method, n_resamples=99, rng=0)
    found = ef.energy_test(*(s * scale for s in samples), method=method, n_resamples=99, rng=0)
    assert found.pvalue == expected.pvalue
    assert float(found.statistic) / scale == pytest.approx(float(expected.statistic), rel=1e-9)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("discrete", [False, True])
def test_the_level(rng, d, discrete) -> None:
    rejected = 0
    for k in range(300):
        x, y = rng.normal(size=(2, 12, d))
        if discrete:
            x, y = np.rint(x), np.rint(y)
        rejected += ef.energy_test(x, y, n_resamples=39, rng=k).pvalue <= 0.05
    assert rejected <= stats.binom(300, 0.05).ppf(0.9995)
    if not discrete:
        assert rejected >= stats.binom(300, 0.05).ppf(0.0005)


@pytest.mark.parametrize("method", ["exact", "sliced"])
def test_power(samples, method) -> None:
    x, y = samples
    assert ef.energy_test(x, y + 1, method=method, rng=0).pvalue == 0.001
    assert ef.energy_test(x, 3 * y, x, method=method, rng=0).pvalue < 0.02


def test_strata_are_kept(rng) -> None:
    stratum = np.repeat([0, 1], 20)
    x = rng.normal(size=(40, 1)) + 5 * stratum[:, None]  # as different as its strata, no more
    more, fewer = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [10, 30])
    x, y = (rng.normal(size=(40, 1)) + 5 * s[:, None] for s in (more, fewer))
    assert ef.energy_test(x, y, rng=0).pvalue < 0.01
    assert ef.energy_test(x, y, strata=(more, fewer), rng=0).pvalue > 0.05
    paired = ef.energy_test(x, x + 0.3, strata=[np.arange(40)] * 2, rng=0)
    assert paired.pvalue < ef.energy_test(x, x + 0.3, rng=0).pvalue


def test_the_same_p_value_in_every_library(xp, samples) -> None:
    for method in ("exact", "sliced"):
        expected = ef.energy_test(*samples, rng=3, method=method, n_resamples=99)
        given_samples = [xp.asarray(sample) for sample in samples]
        found = ef.energy_test(*given_samples, rng=3, method=method, n_resamples=99)
        assert found.pvalue == expected.pvalue
        for name in ("statistic", "null_distribution", "pairwise", "scaled_statistic"):
            array = getattr(found, name)
            assert type(array) is type(given_samples[0])
            np.testing.assert_array_equal(xp.to_numpy(array), getattr(expected, name))
        for mine, theirs in zip(found.scores(), expected.scores(), strict=True):
            np.testing.assert_allclose(xp.to_numpy(mine), theirs, rtol=1e-9)


def test_what_is_held_is_bounded(monkeypatch) -> None:
    sizes = np.array([30, 20])
    for held, shapes in [
        (50 * 300, [[256], [256], [88]]),
        (50 * 512, [[256, 256], [88]]),
        (50 * 250, [[250], [250], [100]]),
    ]:
        monkeypatch.setattr("energyflow._permutation_tests.relabelling._HELD", held)
        parts = list(relabellings(sizes, None, as_source(0), 600, 1))
        assert [[block.shape[1] for block in part] for part in parts] == shapes
        assert all((block.sum(axis=0) == 20).all() for part in parts for block in part)


def test_strata_of_relabellings() -> None:
    sizes, strata = np.array([40, 60]), np.arange(100) % 7
    (labels,) = next(relabellings(sizes, strata, as_source(0), 200, 1))
    for stratum in range(7):
        ones = labels[strata == stratum].sum(axis=0)
        assert (ones == ones[0]).all()
    assert len(np.unique(labels.T, axis=0)) == 200


def test_the_same_numbers_for_every_number_of_threads(samples, monkeypatch) -> None:
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("ENERGYFLOW_NUM_THREADS", threads)
        result = ef.energy_test(*samples, method="sliced", n_resamples=99, rng=0)
        found.append(result.null_distribution)
    np.testing.assert_array_equal(*found)


def test_dtypes_may_differ(samples) -> None:
    x, y = samples
    result = ef.energy_test(x.astype(np.float32), y, n_resamples=9, rng=0)
    assert result.statistic.dtype == result.scores()[0].dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_dtype_comes_back(samples, dtype) -> None:
    result = ef.energy_test(*(s.astype(dtype) for s in samples), n_resamples=9, rng=0)
    assert result.statistic.dtype == result.null_distribution.dtype == dtype


def test_parts_change_nothing(samples, monkeypatch) -> None:
    whole = ef.energy_test(*samples, rng=0, n_resamples=600)
    monkeypatch.setattr("energyflow._permutation_tests.relabelling._HELD", 50 * 256 * 16)
    parts = ef.energy_test(*samples, rng=0, n_resamples=600)
    np.testing.assert_allclose(parts.null_distribution, whole.null_distribution, rtol=1e-12)
    assert parts.pvalue == whole.pvalue


# -- which points drive it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"method": "exact"},
        {"method": "sliced"},
        {"method": "sliced", "slicing": "iid", "n_projections": 5},
    ],
)
def test_scores_add_up_to_the_statistic(samples, how) -> None:
    result = ef.energy_test(*samples, **how, n_resamples=9, rng=0)
    scores = result.scores()
    assert [s.shape for s in scores] == [(30,), (20,)]
    total = sum(float(s.mean()) for s in scores)
    assert total == pytest.approx(float(result.statistic), rel=1e-9)


def test_scores_point_at_what_is_new(rng) -> None:
    old = rng.normal(size=(200, 2))
    new = np.concatenate([rng.normal(size=(190, 2)), rng.normal(size=(10, 2)) + 5])
    score = ef.energy_test(old, new, n_resamples=9, rng=0).scores()[1]
    assert set(np.argsort(score)[-10:]) == set(range(190, 200))


def test_pictures(samples, tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    flat = [sample[:, :2] for sample in samples]
    result = ef.energy_test(*flat, n_resamples=99, rng=0)
    for draw in (result.save_null, result.save_scores):
        path = draw(tmp_path / "picture.png")
        assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="2 dimensions to be drawn, got 3"):
        ef.energy_test(*samples, n_resamples=9).save_scores(tmp_path / "x.png")


# -- how it says no ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"samples": ()}, ValueError, "samples must be 2 to 255, got 0"),
        ({"samples": (np.ones((3, 2)),)}, ValueError, "samples must be 2 to 255, got 1"),
        ({"samples": (np.ones((3, 2)), "text")}, TypeError, r"samples\[1\] must be an array"),
        ({"samples": (np.ones((3, 2)), [[1.0]])}, ValueError, r"shape \(n, 2\), got \(1, 1\)"),
        ({"samples": (np.ones((3, 2)), np.ones((3, 1)))}, ValueError, r"shape \(n, 2\), got"),
        ({"samples": (np.ones((3, 2)), np.ones((1, 3, 2)))}, ValueError, r"samples\[1\] must"),
        ({"samples": (np.ones((3, 2)), np.ones((0, 2)))}, ValueError, "must not be empty"),
        ({"samples": (np.ones((3, 2)), np.full((2, 2), np.nan))}, ValueError, "got 4 NaN"),
        ({"samples": (np.ones((3, 2)), np.ones((3, 2), complex))}, TypeError, "floating dtype"),
        ({"scale": "iqr"}, ValueError, "scale must be one of"),
        ({"n_resamples": "some"}, ValueError, "n_resamples, if it is no number, must be one of"),
        ({"samples": (np.ones((3, 2)), -1e308 * np.ones((3, 2)))}, ValueError, "small enough"),
        ({"n_resamples": 0}, ValueError, "n_resamples must be at least 1"),
        ({"exponent": 2.0}, ValueError, "exponent must lie"),
        ({"method": "fast"}, ValueError, "method must be one of"),
        ({"method": "sliced", "exponent": 1.5}, ValueError, "needs the exponent 1, got 1.5"),
        ({"strata": [np.zeros(3)]}, ValueError, "one array for each of 2 samples, got 1"),
        ({"strata": [np.zeros(3), np.zeros(2)]}, ValueError, r"strata\[1\] must have shape \(4,\)"),
        ({"strata": [np.zeros(3), np.ones(4)]}, ValueError, "must hold points of two samples"),
        ({"rng": -1}, ValueError, "rng must be a non-negative seed"),
    ],
)
def test_bad_input(change, error, message) -> None:
    given_samples = change.pop("samples", (np.ones((3, 2)), np.zeros((4, 2))))
    with pytest.raises(error, match=message):
        ef.energy_test(*given_samples, **change)


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, samples):
    pytest.importorskip("typer", reason="the command line is an extra")
    from energyflow.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "dumb")
    for name, sample in zip("ab", samples, strict=True):
        np.save(f"{name}.npy", sample[:, :2])

    def command(*arguments: str):
        with pytest.raises(SystemExit) as exit_:
            main(["test", *arguments])
        return exit_.value.code or 0, *capsys.readouterr()

    return command


def test_the_command(command, samples) -> None:
    expected = ef.energy_test(*(s[:, :2] for s in samples), rng=2, n_resamples=99)
    how = ("a.npy", "b.npy", "--resamples", "99", "--seed", "2")
    status, out, err = command(*how, "--null", "null.png", "--scores", "scores.csv")
    assert (status, err) == (0, "")
    assert f"{float(expected.statistic):.10g}" in out
    assert f"{expected.pvalue:.6g}" in out
    assert "written: null.png, scores.csv" in out
    with open("scores.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    assert float(rows[0]["score"]) == pytest.approx(float(expected.scores()[0][0]), rel=1e-6)
    report = json.loads(command(*how, "--json")[1])
    assert (report["pvalue"], report["sizes"]) == (expected.pvalue, [30, 20])


def test_the_command_says_no(command) -> None:
    for arguments, message in [
        (("a.npy",), "samples must be 2 to 255"),
        (("a.npy", "nowhere.npy"), "nowhere.npy"),
        (("a.npy", "b.npy", "--null", "x.txt"), "expected a .png or .pdf or"),
        (("a.npy", "b.npy", "--scores", "x.txt"), "expected a .csv or .png or"),
    ]:
        status, _, err = command(*arguments)
        assert status == 1
        assert message in err
