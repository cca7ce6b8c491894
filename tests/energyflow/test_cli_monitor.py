"""`energyflow monitor`: a reference in a file, and batches that are tested one after another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import energyflow as ef
from energyflow._core.locks import locked

pytest.importorskip("typer", reason="the command line is an extra")
FIT = ("--reference", "good.csv", "--drop", "day", "--planned", "4", "--resamples", "199")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    from energyflow.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str):
        with pytest.raises(SystemExit) as exit_:
            main(["monitor", "drift.npz", *arguments])
        return exit_.value.code or 0, *capsys.readouterr()

    return command


@pytest.fixture
def tables(command, rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """A reference, a batch like it, and one that has moved: with a column of text, in files."""

    def table(n: int, shift: float) -> dict[str, np.ndarray]:
        return {"income": 4e4 + 1e4 * rng.normal(size=n), "age": rng.normal(size=n) + shift}

    found = {"good": table(150, 0.0), "monday": table(40, 0.0), "tuesday": table(40, 1.5)}
    for name, columns in found.items():
        order = list(columns) if name == "good" else list(columns)[::-1]
        rows = [",".join([*order, "day"]), *(
            ",".join([*(repr(float(columns[c][k])) for c in order), "Mon"])
            for k in range(len(columns["age"]))
        )]  # fmt: skip
        Path(f"{name}.csv").write_text("\n".join(rows) + "\n")
    return found


def test_batches_have_the_results_of_the_library(command, tables) -> None:
    code, out, err = command(*FIT)
    assert (code, err) == (0, "")
    assert "income, age: divided by their standard deviations" in out
    assert "0.0125" in out
    assert "4 left" in out
    monitor = ef.EnergyMonitor(tables["good"], n_batches=4, n_resamples=199, rng=0)
    expected = [monitor.test(tables[name]) for name in ("monday", "tuesday")]
    for result, name, status in zip(expected, ("monday.csv", "tuesday.csv"), (0, 3), strict=True):
        code, out, _ = command(name, "--json")
        report = json.loads(out)
        assert (code, report["tested"], report["level"]) == (status, result.number, 0.0125)
        (row,) = report["batches"]
        assert (row["batch"], row["points"]) == (name, 40)
        assert {name: row[name] for name in vars(result)} == vars(result)
    assert [result.alarm for result in expected] == [False, True]


def test_batches_are_printed(command, tables) -> None:
    code, out, _ = command(*FIT, "tuesday.csv")
    assert code == 3
    monitor = ef.EnergyMonitor(tables["good"], n_batches=4, n_resamples=199, rng=0)
    assert f"{monitor.test(tables['tuesday']).pvalue:.4g}" in out
    assert "yes" in out
    assert "3 left" in out


def test_the_status_by_a_threshold_and_several_batches_in_one_call(command, tables) -> None:
    command(*FIT)
    assert command("monday.csv", "tuesday.csv", "--fail-below", "0.001", "--json")[0] == 0
    code, out, _ = command("tuesday.csv", "--fail-below", "0.01")
    assert (code, "1 left" in out) == (3, True)
    code, _, err = command("monday.csv", "monday.csv")
    assert code == 1
    assert "drift.npz: 1 of the 4 planned batches are left, got 2: fit a reference with" in err
    assert ef.EnergyMonitor.load("drift.npz").tested == 3


def test_no_batch_counts_without_its_result(command, tables) -> None:
    Path("gap.csv").write_text("age,income\n1,2\n,3\n")
    Path("far.csv").write_text("age,income\n1,1e300\n")
    for bad in ("gap.csv", "far.csv"):
        code, out, err = command(*FIT, "monday.csv", bad)
        assert (code, out, f"{bad}: " in err) == (1, "", True)
        assert not Path("drift.npz").exists()
    command(*FIT)
    for bad in ("gap.csv", "far.csv"):
        code, out, err = command("monday.csv", bad)
        assert (code, out, f"{bad}: " in err) == (1, "", True)
        assert ef.EnergyMonitor.load("drift.npz").tested == 0
    assert command("monday.csv")[0] == 0
    assert ef.EnergyMonitor.load("drift.npz").tested == 1


def test_one_process_at_a_time(command, tables) -> None:
    """Two that read the same count would both test the same batch of those planned."""
    command(*FIT)
    with locked(Path("drift.npz").absolute()):
        code, out, err = command("monday.csv")
        assert (code, out) == (1, "")
        assert "drift.npz" in err
        assert f"the file is in use by process {os.getpid()} on " in " ".join(err.split())
    assert ef.EnergyMonitor.load("drift.npz").tested == 0
    assert command("monday.csv")[0] == 0
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize(
    "option",
    [
        ("--planned", "100"), ("--alpha", "0.5"), ("--resamples", "9"), ("--projections", "8"),
        ("--slicing", "iid"), ("--scale", "none"), ("--columns", "age"), ("--drop", "day"),
        ("--seed", "0"),
    ],
)  # fmt: skip
def test_options_of_a_reference_need_one(command, tables, option) -> None:
    command(*FIT)
    code, _, err = command("monday.csv", *option)
    assert code == 2
    assert f"{option[0]}: only with --reference" in err
    assert ef.EnergyMonitor.load("drift.npz").tested == 0


def test_what_is_wrong_is_named_and_counts_as_no_batch(command, tables) -> None:
    assert "drift.npz" in command("monday.csv")[2]
    command(*FIT)
    Path("gap.csv").write_text("age,income\n1,2\n,3\n")
    Path("other.csv").write_text("age,height\n1,2\n")
    np.save("array.npy", np.zeros((5, 2)))
    for arguments, message in [
        (FIT, "drift.npz exists: --reference makes a new file"),
        ((), "give a BATCH to test, or --reference to fit"),
        (("gap.csv",), "gap.csv: expected rows of numbers: line 3, column 'age' is blank"),
        (("other.csv",), "other.csv has no column 'income'; it has age, height"),
        (("array.npy",), "array.npy: the reference has named columns: give a .csv file"),
    ]:
        code, _, err = command(*arguments)
        assert code in (1, 2)
        assert message in err
    assert ef.EnergyMonitor.load("drift.npz").tested == 0
    code, out, _ = command("gap.csv", "--missing", "drop")
    assert "1 rows left out" in out


def test_arrays(command, rng: np.random.Generator) -> None:
    np.save("good.npy", rng.normal(size=(100, 3)))
    np.save("batch.npy", rng.normal(size=(20, 3)) + 2)
    how = ("--reference", "good.npy", "--planned", "2", "--scale", "none", "batch.npy")
    code, out, _ = command(*how)
    assert (code, "columns" in out) == (3, False)
    Path("named.csv").write_text("a,b,c\n1,2,3\n")
    code, _, err = command("named.csv")
    assert code == 1
    assert "named.csv: batch must be an array as the reference is" in err
