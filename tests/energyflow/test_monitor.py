"""A reference against which batches are tested one after another."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from energyflow_backends import SortedRows
from scipy import stats

import energyflow as ef


@pytest.fixture
def reference(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(200, 3)) * [1.0, 100.0, 0.1]


def line_energy(x, y):
    return float(ef.energy_distance(x[:, None], y[:, None]))


def test_subsets_have_the_energy_distances_of_their_points(rng) -> None:
    rows, batch = rng.normal(size=(4, 30)), rng.normal(size=(4, 7))
    rows, batch = np.rint(2 * rows), np.rint(2 * batch)  # many ties
    subsets = np.stack([rng.choice(37, 7, replace=False) for _ in range(5)])
    found = SortedRows(rows).subset_energies(batch, subsets)
    for subset, energy in zip(subsets, found, strict=True):
        pooled = np.concatenate([rows, batch], axis=1)
        rest = np.setdiff1d(np.arange(37), subset)
        expected = sum(line_energy(row[subset], row[rest]) for row in pooled)
        assert energy == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("d", "slicing"), [(1, "auto"), (3, "auto"), (5, "hadamard")])
def test_the_statistic_is_the_sliced_energy_distance(rng, d, slicing) -> None:
    x, y = rng.normal(size=(80, d)), rng.normal(size=(30, d)) + 0.5
    how = {"n_projections": 64, "slicing": slicing, "rng": 3}
    for unit in (1.0, 1e-150, 1e150):
        monitor = ef.EnergyMonitor(unit * x, scale="none", **how)
        expected = float(ef.sliced_energy_distance(unit * x, unit * y, **how))
        assert monitor.score(unit * y) == pytest.approx(expected, rel=1e-9)


def test_p_values_are_those_of_the_energy_test(reference, rng) -> None:
    """Up to the noise of two sets of relabellings."""
    batch = rng.normal(size=(40, 3)) * [1.0, 100.0, 0.1] + [0.2, 0, 0]
    monitor = ef.EnergyMonitor(reference, n_resamples=999, rng=0)
    deviations = reference.std(axis=0)
    expected = ef.energy_test(
        reference / deviations, batch / deviations, method="sliced", rng=1
    ).pvalue
    found = monitor.test(batch).pvalue
    assert abs(found - expected) < 5 * np.sqrt(2 * expected * (1 - expected) / 999)


def test_a_drift_raises_an_alarm(reference, rng) -> None:
    monitor = ef.EnergyMonitor(reference, n_batches=5, rng=0)
    assert (monitor.level, monitor.n_resamples) == (0.01, 500)
    same = monitor.test(reference[rng.choice(200, 50)])
    moved = monitor.test(reference[rng.choice(200, 50)] + [1.0, 0, 0])
    assert (same.number, same.alarm, moved.number, moved.alarm) == (1, False, 2, True)
    assert moved.pvalue == pytest.approx(1 / 501)
    assert "2 of 5 batches tested" in repr(monitor)


def test_false_alarms_in_all_batches_together(rng) -> None:
    alarms = 0
    for k in range(60):
        pool = rng.normal(size=(40 + 4 * 10, 2))
        monitor = ef.EnergyMonitor(
            pool[:40], n_batches=4, alpha=0.2, n_resamples=39, n_projections=8, rng=k
        )
        batches = pool[40:].reshape(4, 10, 2)
        alarms += any(monitor.test(batch).alarm for batch in batches)
    assert alarms <= stats.binom(60, 0.2).ppf(0.9995)


def test_no_more_batches_than_planned(reference) -> None:
    monitor = ef.EnergyMonitor(reference, n_batches=1, n_resamples=9, n_projections=4, rng=0)
    monitor.test(reference[:5])
    with pytest.raises(ValueError, match="batch must be one of the 1 that were planned"):
        monitor.test(reference[:5])
    assert monitor.score(reference[:5]) > 0  # takes no part of the level


def test_a_saved_monitor_goes_on(reference, tmp_path, rng) -> None:
    table = {"a": reference[:, 0], "b": reference[:, 1]}
    batches = [{"b": v[:, 1], "a": v[:, 0]} for v in rng.normal(size=(3, 20, 2))]
    monitor = ef.EnergyMonitor(table, n_resamples=99, n_projections=8)
    monitor.test(batches[0])
    path = monitor.save(tmp_path / "monitor.npz")
    again = ef.EnergyMonitor.load(path)
    assert (again.tested, again.columns) == (1, ("a", "b"))
    assert [again.test(b) for b in batches[1:]] == [monitor.test(b) for b in batches[1:]]


def test_a_link_is_followed(reference, tmp_path) -> None:
    (tmp_path / "link.npz").symlink_to(tmp_path / "monitor.npz")
    ef.EnergyMonitor(reference, n_projections=4, rng=0).save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert ef.EnergyMonitor.load(tmp_path / "monitor.npz").tested == 0


def test_a_seed_is_the_same_as_any_whole_number(reference) -> None:
    how = {"n_resamples": 19, "n_projections": 4}
    tests = [
        ef.EnergyMonitor(reference, rng=seed, **how).test(reference[:9])
        for seed in (5, np.int64(5), np.uint8(5))
    ]
    assert tests == [tests[0]] * 3


def test_memory_is_bounded_for_any_number_of_relabellings(reference, monkeypatch) -> None:
    batch = np.tile(reference, (5, 1))
    how = {"n_resamples": 200, "n_projections": 2, "rng": 0}
    expected = ef.EnergyMonitor(reference, **how).test(batch)
    monkeypatch.setattr("energyflow._permutation_tests.monitor._HELD", 2**18)
    monitor = ef.EnergyMonitor(reference, **how)
    tracemalloc.start()
    result = monitor.test(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (result.pvalue, result.alarm) == (expected.pvalue, expected.alarm)
    assert result.statistic == pytest.approx(expected.statistic)
    assert peak < 2**19  # and 6 MiB for all at once


def test_every_library(xp, reference) -> None:
    how = {"n_resamples": 19, "n_projections": 4, "rng": 0}
    expected = ef.EnergyMonitor(reference, **how).test(reference[:9])
    found = ef.EnergyMonitor(xp.asarray(reference), **how).test(xp.asarray(reference[:9]))
    assert found.pvalue == expected.pvalue


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"reference": "text"}, TypeError, "reference must be an array"),
        ({"reference": np.full((3, 2), np.nan)}, ValueError, "reference must be finite"),
        ({"reference": np.zeros((0, 2))}, ValueError, "reference must not be empty"),
        ({"alpha": 5}, ValueError, "alpha must lie between 0 and 1, got 5"),
        ({"n_batches": 0}, ValueError, "n_batches must be at least 1"),
        ({"slicing": "patches"}, ValueError, "slicing must be one of"),
        ({"scale": "rank"}, ValueError, "scale must be one of sd, none"),
    ],
)
def test_bad_references(reference, how, error, message) -> None:
    with pytest.raises(error, match=message):
        ef.EnergyMonitor(**{"reference": reference, "n_projections": 4, **how})


def test_bad_batches(reference) -> None:
    monitor = ef.EnergyMonitor(reference, n_projections=4, rng=0)
    for batch, error, message in [
        (reference[:, :2], ValueError, r"batch must have shape \(m, 3\), got \(200, 2\)"),
        ({"a": [1.0]}, TypeError, "batch must be an array as the reference is, got dict"),
        (np.full((2, 3), np.inf), ValueError, "batch must be finite"),
    ]:
        with pytest.raises(error, match=message):
            monitor.test(batch)
    assert monitor.tested == 0
    with pytest.raises(ValueError, match="batch must have the columns of reference: it lacks 'a'"):
        ef.EnergyMonitor({"a": [1.0, 2.0]}, n_projections=4).test({"b": [1.0]})


@pytest.mark.parametrize("name", ["reference", "state"])
def test_files_that_are_no_monitors(reference, tmp_path, name) -> None:
    path = ef.EnergyMonitor(reference, n_projections=4, rng=0).save(tmp_path / "monitor.npz")
    with np.load(path) as archive:
        arrays = dict(archive)
    for bad in (None, np.array("{}"), np.array("[1"), np.array([np.inf])):
        changed = {key: value for key, value in arrays.items() if key != name}
        np.savez(tmp_path / "bad.npz", **changed, **({} if bad is None else {name: bad}))
        with pytest.raises(ValueError, match=r"bad\.npz"):
            ef.EnergyMonitor.load(tmp_path / "bad.npz")
