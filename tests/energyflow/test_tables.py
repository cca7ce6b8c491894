"""Samples as users have them: frames, lists, units that differ, few points, and CSV files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import energyflow as ef
from energyflow._core.tables.csv_files import read_csv_table


class Frame:
    """What pandas, polars and others have in common."""

    def __init__(self, **columns) -> None:
        self._columns = {name: np.asarray(v) for name, v in columns.items()}
        self.columns = list(columns)

    def __getitem__(self, name):
        return self._columns[name]

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))


class Column:
    """A single column of such a frame."""

    def __init__(self, name: str, values) -> None:
        self.name, self._values = name, np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self._values


@pytest.fixture
def frames(rng: np.random.Generator) -> tuple[Frame, Frame]:
    def frame(n: int, shift: float) -> Frame:
        return Frame(
            income=40_000 + 15_000 * rng.normal(size=n), age=rng.integers(18, 90, n),
            score=rng.normal(size=n) + shift, height=1.7 + 0.1 * rng.normal(size=n),
        )  # fmt: skip

    return frame(200, 0.0), frame(150, 0.8)


def arrays(frame: Frame, *names: str) -> np.ndarray:
    return np.stack([frame[n] for n in names or frame.columns], axis=1).astype(float)


# -- frames --------------------------------------------------------------------------------------


def test_frames_are_standardised(frames) -> None:
    found = ef.energy_test(*frames, rng=0)
    pooled = np.concatenate([arrays(f) for f in frames]).std(axis=0)
    expected = ef.energy_test(*(arrays(f) / pooled for f in frames), rng=0)
    assert found.pvalue == expected.pvalue
    assert float(found.statistic) == pytest.approx(float(expected.statistic), rel=1e-10)
    assert (found.columns, found.scale) == (("income", "age", "score", "height"), "sd")
    assert "scaled by sd" in repr(found)
    assert found.pvalue < 0.01


def test_columns_are_matched_by_name(frames) -> None:
    a, b = frames
    turned = Frame(**{name: b[name] for name in ("height", "score", "income", "age")})
    expected, found = ef.energy_test(a, b, rng=0), ef.energy_test(a, turned, rng=0)
    assert found.pvalue == expected.pvalue
    assert found.statistic == expected.statistic


def test_mappings_are_frames(frames) -> None:
    given = [{name: frame[name] for name in frame.columns} for frame in frames]
    expected, found = ef.energy_test(*frames, rng=0), ef.energy_test(*given, rng=0)
    assert (found.pvalue, found.statistic) == (expected.pvalue, expected.statistic)
    for bad, message in (
        ({}, "be empty"),
        ({"a": [1.0, 2.0], "b": [1.0]}, r"columns of one size, got \[1, 2\]"),
        ({"a": [[1.0]]}, r"columns \(n,\): 'a' has shape \(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=r"samples\[0\] must .*" + message):
            ef.energy_test(bad, bad)


def test_frames_as_they_are(frames) -> None:
    found = ef.energy_test(*frames, scale="none", rng=0)
    expected = float(ef.energy_distance(*map(arrays, frames)))
    assert float(found.statistic) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"age": None}, ValueError, r"samples\[1\] must have .* lacks 'age'$"),
        ({"weight": np.ones(150)}, ValueError, "has besides 'weight'"),
        ({"age": np.array(["old"] * 150)}, TypeError, "column 'age' holds <U3"),
        ({"age": np.array(["old", 3] * 75, object)}, TypeError, "column 'age' holds str"),
        ({"age": np.array([None, 3] * 75, object)}, ValueError, "'age' has 75 missing .* row 0"),
        ({"age": np.zeros(150, "datetime64[s]")}, TypeError, "column 'age' holds datetime64"),
        ({"age": np.where(np.arange(150) == 7, np.nan, 1)}, ValueError, "'age' has 1 .* row 7"),
    ],
)
def test_bad_frames(frames, change, error, message) -> None:
    a, b = frames
    columns = {name: b[name] for name in b.columns} | change
    b = Frame(**{name: v for name, v in columns.items() if v is not None})
    with pytest.raises(error, match=message):
        ef.energy_test(a, b)


def test_a_column_of_text() -> None:
    with pytest.raises(TypeError, match=r"samples\[0\] must hold numbers: column 'city' holds <U4"):
        ef.energy_test(Column("city", ["Bern", "Chur"]), [1.0, 2.0])


def test_frames_beside_arrays(frames) -> None:
    with pytest.raises(TypeError, match=r"ndarray as samples\[1\] beside the table samples\[0\]"):
        ef.energy_test(frames[0], arrays(frames[1]))


# -- arrays --------------------------------------------------------------------------------------


def test_arrays_whose_columns_differ_in_scale_warn(frames) -> None:
    given = [arrays(f) for f in frames]
    with pytest.warns(UserWarning, match="differ by a factor of"):
        warned = ef.energy_test(*given, rng=0, n_resamples=99)
    assert warned.pvalue == ef.energy_test(*given, scale="none", rng=0, n_resamples=99).pvalue
    scaled = ef.energy_test(*given, scale="sd", rng=0, n_resamples=99)
    assert scaled.pvalue == ef.energy_test(*frames, rng=0, n_resamples=99).pvalue


@pytest.mark.parametrize("scale", ["sd", "rank"])
def test_scaled_samples_know_no_units(xp, rng, scale) -> None:
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 0.5
    units = np.array([1.0, 1024.0, 0.0625])
    expected = ef.energy_test(x, y, scale=scale, n_resamples=99, rng=0)
    given = [xp.asarray(v * units - 8) for v in (x, y)]
    found = ef.energy_test(*given, scale=scale, n_resamples=99, rng=0)
    assert type(found.statistic) is type(given[0])
    assert found.pvalue == expected.pvalue
    assert float(found.statistic) == pytest.approx(float(expected.statistic), rel=1e-9)


def test_ranks(rng) -> None:
    x, y = rng.normal(size=(2, 25, 2))
    both = stats.rankdata(np.concatenate([x, y]), axis=0) / 50
    expected = ef.energy_distance(both[:25], both[25:])
    found = ef.energy_test(np.exp(x), np.exp(y), scale="rank", n_resamples=9)
    assert float(found.statistic) == pytest.approx(float(expected), rel=1e-12)


def test_a_column_that_does_not_vary(rng) -> None:
    x, y = rng.normal(size=(2, 20, 2))
    x[:, 0] = y[:, 0] = 3
    assert np.isfinite(float(ef.energy_test(x, y, scale="sd", n_resamples=9).statistic))


def test_points_on_a_line_lists_and_whole_numbers(rng) -> None:
    x, y = rng.integers(0, 9, 12), rng.integers(0, 9, 15)
    expected = ef.energy_test(x[:, None] * 1.0, y[:, None] * 1.0, rng=0)
    columns = Column("count", x), Column("count", y)
    for given in ((x, y), (x.tolist(), y.tolist()), (x * 1.0, y * 1.0), columns):
        found = ef.energy_test(*given, rng=0)
        assert (found.pvalue, found.statistic) == (expected.pvalue, expected.statistic)


# -- all relabellings ----------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2])
def test_scipy_enumerates_the_same(rng, d) -> None:
    x, y = np.rint(2 * rng.normal(size=(4, d))), np.rint(2 * rng.normal(size=(3, d)))

    def statistic(x, y):
        return float(ef.energy_distance(x[:, None], y[:, None]))

    found = ef.energy_test(x, y, n_resamples="all")
    assert found.enumerated
    assert found.null_distribution.shape == (35,)
    assert found.null_distribution[0] == found.statistic
    if d == 1:
        theirs = stats.permutation_test(
            (x[:, 0], y[:, 0]), statistic, vectorized=False, alternative="greater",
            n_resamples=np.inf,
        )  # fmt: skip
        assert found.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)


def test_all_relabellings_of_three_samples_in_strata(rng) -> None:
    samples = [rng.normal(size=(2, 1)) for _ in range(3)]
    assert ef.energy_test(*samples, n_resamples="all").null_distribution.shape == (90,)
    strata = [np.array([0, 1])] * 3
    found = ef.energy_test(*samples, strata=strata, n_resamples="all")
    assert found.null_distribution.shape == (36,)
    assert len(np.unique(found.null_distribution)) > 5


def test_too_many_to_take_all(rng) -> None:
    x, y = rng.normal(size=(2, 30, 1))
    with pytest.raises(ValueError, match="where there are more than 1000000 relabellings"):
        ef.energy_test(x, y, n_resamples="all")


# -- files ---------------------------------------------------------------------------------------

TEXT = """date,city,age,income
2024-01-01,"Bern, CH",31,40000

2024-01-02,Basel,,52000
2024-01-03,Bern,45,NA
2024-01-04,Chur,39,61000
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "people.csv"
    file.write_text(TEXT)
    return file


def test_a_file_with_text_and_gaps(path) -> None:
    table = read_csv_table(path, drop=["date"], labels="city", missing="drop")
    assert table.columns == ("age", "income")
    assert table.values.tolist() == [[31, 40000], [39, 61000]]
    assert table.lines.tolist() == [2, 6]
    assert table.labels.tolist() == ["Bern, CH", "Chur"]
    assert table.dropped == 2
    only = read_csv_table(path, columns=["income"], missing="drop")
    assert only.values[:, 0].tolist() == [40000, 52000, 61000]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "people.csv: expected rows of numbers: line 2, column 'date' holds '2024-01-01'"),
        ({"columns": ["age"]}, "line 4, column 'age' is blank"),
        ({"columns": ["income"]}, "line 5, column 'income' holds 'NA'"),
        ({"columns": ["height"]}, "has no column 'height'; it has date, city, age, income"),
        ({"drop": ["date", "city", "age", "income"]}, "got none that is left"),
    ],
)
def test_errors_name_file_line_and_column(path, how, message) -> None:
    with pytest.raises(ValueError, match=message):
        read_csv_table(path, **how)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got none"),
        ("a,b\n", "got none"),
        ("a,a\n1,2\n", "two of 'a'"),
        ("1,2\n3\n", "line 2 has 1 cells for 2 columns, separated by ','"),
        ("a;b\n3\n", "line 2 has 1 cells for 2 columns, separated by ';'"),
        ("a\tb\n1\t2\n\n3", "line 4 has 1 cells for 2 columns, separated by tabs"),
        ("a;b;c\n1;2;\n", "line 2, column 'c' is blank"),
        ("a;b;\n1;2;\n1;2;3\n", "line 3 has 3 cells for 2 columns, separated by ';'"),
        ("sep=,\na;b\n1;2\n", "line 3, column 'a;b' holds '1;2'"),
        ("1,2\n3,x\n", "line 2, column '2' holds 'x'"),
    ],
)
def test_files_that_are_no_tables(tmp_path, text, message) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_csv_table(file)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_the_index_of_a_data_frame(tmp_path, separator) -> None:
    file = tmp_path / "frame.csv"
    header = separator.join(["", '"age; in\tyears, full"', "income"])
    rows = [separator.join([f"row {k}", str(k), str(2.5 * k)]) for k in (1, 2)]
    file.write_text("\n" + "\n".join([header, *rows]) + "\n")
    table = read_csv_table(file)
    assert table.columns == ("age; in\tyears, full", "income")
    assert table.values.tolist() == [[1, 2.5], [2, 5.0]]
    assert table.lines.tolist() == [3, 4]
    with pytest.raises(ValueError, match="column '' holds 'row 1'"):
        read_csv_table(file, columns=["", "income"])
    assert read_csv_table(file, labels="").labels.tolist() == ["row 1", "row 2"]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("temp;C,b\n1,2\n", ("temp;C", "b")),
        ("a,b;c\n1;2\n", ("a,b", "c")),
        ("a\tb,c\n1,2\n", ("a\tb", "c")),
        ("\t\na,b\n1,2\n", ("a", "b")),
        (" \n\na,b\n1,2\n", ("a", "b")),
        ('"a\nx";b\n1;2\n', ("a\nx", "b")),
        ('"a, in\nx",b\n1,2\n', ("a, in\nx", "b")),
        ("sep=;\na;b\n1;2\n", ("a", "b")),
        ("sep=;\r\na,b;c\r\n1;2\r\n", ("a,b", "c")),
        ("sep=\t\na\tb\n1\t2\n", ("a", "b")),
        ("sep=|\na|b\n1|2\n", ("a", "b")),
        ("a;b;\n1;2;\n", ("a", "b")),
        ("a;b\n1;2;\n", ("a", "b")),
        ("1;2;\n1;2;\n", ("1", "2")),
    ],
)
def test_the_separator_is_the_one_that_fits(tmp_path, text, columns) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode())
    table = read_csv_table(file)
    assert table.columns == columns
    assert set(map(tuple, table.values.tolist())) == {(1.0, 2.0)}
    assert table.lines[-1] == text.count("\n")


def test_decimals_with_a_comma_are_no_numbers(tmp_path) -> None:
    file = tmp_path / "comma.csv"
    file.write_text("age;income\n31;1,5\n")
    with pytest.raises(ValueError, match="column 'income' holds '1,5': decimals must have a point"):
        read_csv_table(file)


def test_a_file_without_names(tmp_path) -> None:
    file = tmp_path / "plain.csv"
    file.write_text("1,2\n3,4\n")
    table = read_csv_table(file, columns=["2"])
    assert (table.columns, table.values.tolist()) == (("2",), [[2.0], [4.0]])


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    pytest.importorskip("typer", reason="the command line is an extra")
    from energyflow.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str):
        with pytest.raises(SystemExit) as exit_:
            main(["test", *arguments])
        return exit_.value.code or 0, *capsys.readouterr()

    return command


def write(path: str, frame: Frame, order: list[str], gap: int | None = None) -> None:
    with open(path, "w") as file:
        file.write(",".join(["city", *order]) + "\n")
        for k in range(len(frame)):
            cells = ["" if k == gap and name == "age" else str(frame[name][k]) for name in order]
            file.write(",".join([f'"Town, {k % 3}"', *cells]) + "\n")


@pytest.fixture
def files(command, frames):
    write("old.csv", frames[0], ["income", "age", "score", "height"])
    write("new.csv", frames[1], ["age", "score", "height", "income"], gap=4)
    return "old.csv", "new.csv"


def test_a_table_with_text_and_gaps_in_one_command(command, files, frames) -> None:
    code, out, err = command(*files, "--drop", "city", "--missing", "drop", "--quiet")
    assert (code, err) == (0, "")
    kept = np.arange(150) != 4
    b = Frame(**{name: frames[1][name][kept] for name in frames[1].columns})
    expected = ef.energy_test(frames[0], b, rng=0)
    assert f"{expected.pvalue:.6g}" in out
    assert "income, age, score, height: divided by their pooled standard deviations" in out
    assert "1 rows left out" in out
    report = json.loads(command(*files, "--columns", "age,score", "--missing", "drop", "--json")[1])
    assert (report["columns"], report["scale"], report["dropped"]) == (["age", "score"], "sd", 1)
    assert report["sizes"] == [200, 149]


def test_the_command_names_what_it_cannot_read(command, files) -> None:
    for arguments, message in [
        (files, "old.csv: expected rows of numbers: line 2, column 'city' holds 'Town, 0'"),
        ((*files, "--drop", "city"), "new.csv: expected rows of numbers: line 6, column 'age' is"),
        ((*files, "--columns", "weight"), "old.csv has no column 'weight'"),
    ]:
        code, _, err = command(*arguments)
        assert code == 1
        assert message in err


def test_the_command_in_strata_and_pairs(command, files) -> None:
    how = ("--columns", "score", "--seed", "3", "--json", "--quiet")
    free = json.loads(command(*files, *how)[1])
    within = json.loads(command(*files, *how, "--strata", "city")[1])
    assert free["statistic"] == within["statistic"]
    assert free["pairwise"] == within["pairwise"]
    code, _, err = command(*files, *how, "--pairs")
    assert (code, "--pairs needs samples of one size" in err) == (1, True)
    assert json.loads(command(files[0], files[0], *how, "--pairs")[1])["pvalue"] == 1


def test_the_status_and_the_files(command, files) -> None:
    how = ("--columns", "age,score", "--missing", "drop", "--quiet")
    assert command(*files, *how, "--fail-below", "0.01")[0] == 3
    assert command(files[0], files[0], *how, "--fail-below", "0.01")[0] == 0
    assert command(*files, *how, "--scores", "scores.csv")[0] == 0
    rows = Path("scores.csv").read_text().splitlines()
    assert rows[0] == "sample,point,score,line"
    assert rows[1 + 200 + 4].startswith("1,4,")
    assert rows[1 + 200 + 4].endswith(",7")  # the line after that of the gap
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    assert command(*files, *how, "--null", "null.svg")[0] == 0
    assert "<svg" in Path("null.svg").read_text()


def test_the_command_tells_size_and_columns(command, files) -> None:
    how = ("--drop", "city", "--missing", "drop", "--quiet", "--resamples", "99")
    _, out, _ = command(*files, *how, "--effect", "--by-column")
    assert re.search(r"effect +0\.\d+ \(95%: 0\.\d+ to 0\.\d+\)", out)
    assert re.search(r"score .* 0\.01 ", out)
    report = json.loads(command(*files, *how, "--json", "--effect", "--by-column")[1])
    assert 0 < report["effect_size"]["low"] < report["effect_size"]["value"] < 1
    score = report["by_column"][2]
    assert (score["column"], score["pvalue"]) == ("score", 0.01)
    assert score["share"] > 0.5
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    assert command(*files, *how, "--figure", "columns.pdf")[0] == 0
    assert Path("columns.pdf").read_bytes().startswith(b"%PDF")


def test_the_command_enumerates(command, tmp_path) -> None:
    np.save("a.npy", np.arange(3.0))
    np.save("b.npy", np.arange(3.0) + 0.5)
    report = json.loads(command("a.npy", "b.npy", "--all", "--json", "--quiet")[1])
    expected = ef.energy_test(np.arange(3.0), np.arange(3.0) + 0.5, n_resamples="all").pvalue
    assert (report["n_resamples"], report["pvalue"]) == (20, expected)
    assert "20 relabellings, all there are" in command("a.npy", "b.npy", "--all", "--quiet")[1]


def test_arrays_in_files_warn_as_arrays_do(command, frames) -> None:
    for name, frame in zip("ab", frames, strict=True):
        np.save(f"{name}.npy", arrays(frame))
    code, out, err = command("a.npy", "b.npy", "--quiet")
    assert code == 0
    assert "differ by a factor of" in err
    assert "columns" not in out
    assert command("a.npy", "b.npy", "--quiet", "--scale", "sd")[2] == ""
    assert "--columns is for .csv files" in command("a.npy", "b.npy", "--columns", "1")[2]
