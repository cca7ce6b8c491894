"""Files are whole or absent; arrays come back from every format as they went in."""

import os
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from energyflow._files import load_array, replacing

finite = st.floats(allow_nan=False, allow_infinity=False)
tables = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=finite)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@given(tables)
def test_what_is_written_is_read_back(folder, table):
    np.save(folder / "a.npy", table)
    np.savez(folder / "one.npz", table)
    np.savez(folder / "two.npz", left=table, right=-table)
    rows = "\n".join(",".join(map(repr, row)) for row in table.tolist())
    (folder / "a.csv").write_text(rows)
    (folder / "headed.csv").write_text("\n".join([",".join("abcde"[: table.shape[1]]), rows]))
    for spec in ("a.npy", "one.npz", "one.npz:arr_0", "two.npz:left", "a.csv", "headed.csv"):
        np.testing.assert_array_equal(load_array(folder / spec), table, strict=True)
    np.testing.assert_array_equal(load_array(folder / "two.npz:right"), -table)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f8"])
def test_floats_keep_their_precision(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.ones(3, dtype))
    assert load_array(tmp_path / "a.npy").dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", [bool, "int8", "uint64", "int64"])
def test_whole_numbers_become_float64(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.array([0, 1], dtype))
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), [0.0, 1.0], strict=True)


def test_csv_with_mark_quotes_blank_lines_and_one_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\ufeff"first"\n\n1\n"2"\r\n-3e2\n', encoding="utf-8")
    np.testing.assert_array_equal(load_array(path), [[1.0], [2.0], [-300.0]])


BAD = {
    "missing.npy": (None, "no such file"),
    "missing.npz:key": (None, "no such file"),
    "a.txt": (b"1,2", "'.txt'"),
    "bare": (b"1,2", "''"),
    "empty.npy": (b"", "NumPy's format"),
    "text.npy": (b"1,2\n3,4\n", "NumPy's format"),
    "empty.npz": (b"", ".npz archive"),
    "text.npz": (b"1,2\n", ".npz archive"),
    "empty.csv": (b"", "got none"),
    "header.csv": (b"a,b\n", "got none"),
    "word.csv": (b"1,2\n3,four\n", "four"),
    "gap.csv": (b"1,2\n3,\n", "rows of numbers"),
    "ragged.csv": (b"1,2\n3,4,5\n", "columns"),
    "bytes.csv": (b"\xff\xfe\x00", "got bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named(tmp_path, name):
    content, told = BAD[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=name.partition(":")[0]) as caught:
        load_array(tmp_path / name)
    assert told in str(caught.value)


def test_bad_arrays_are_named(tmp_path):
    np.save(tmp_path / "complex.npy", np.ones(2, complex))
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.savez(tmp_path / "two.npz", p=np.ones(1), q=np.ones(1))
    whole = (tmp_path / "complex.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-8])
    for spec, told in {
        "complex.npy": "complex128",
        "words.npy": "<U1",
        "two.npz": r"p, q.*two\.npz:KEY",
        "two.npz:r": "no array 'r'; it holds p, q",
        "short.npy": "NumPy's format",
    }.items():
        with pytest.raises(ValueError, match=told):
            load_array(tmp_path / spec)


class Intruder:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_pickles_are_refused(tmp_path):
    objects = np.array([Intruder()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", objects)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match="pickle"):
            load_array(tmp_path / name)


def test_replacing_gives_the_name_to_a_complete_file_only(tmp_path):
    path = tmp_path / "a.bin"
    with replacing(path) as handle:
        handle.write(b"old")
        assert not path.exists()
    with replacing(path) as handle:
        handle.write(b"new")
        handle.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def write_half(path, error):
    with replacing(path) as handle:
        handle.write(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a.bin").write_bytes(b"old")
    for name in ("a.bin", "b.bin"):
        with pytest.raises(error):
            write_half(tmp_path / name, error)
    assert os.listdir(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_replacing_needs_a_folder_and_a_free_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "nowhere" / "a"):
        pytest.fail("there is no such folder")
    with pytest.raises(IsADirectoryError), replacing(tmp_path):
        pytest.fail("a folder is no file")


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
def test_links_are_followed_and_modes_are_the_usual_ones(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a.bin")
    with replacing(tmp_path / "link") as handle:
        handle.write(b"x")
    (tmp_path / "plain").write_bytes(b"x")
    assert (tmp_path / "link").is_symlink()
    written = (tmp_path / "real" / "a.bin").stat()
    assert stat.S_IMODE(written.st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_only_regular_files_are_replaced(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "loop"):
        with pytest.raises(OSError), replacing(tmp_path / name):  # noqa: PT011
            pass
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "loop").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2
