"""Files are whole or absent; arrays come back from every format as they went in."""

import os
import stat
import struct
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from energyflow._core import files as _files
from energyflow._core.files import (
    atomic_write,
    follow_link,
    load_array,
    read_json,
    read_toml,
    remove_parts,
)
from energyflow._core.reading import read_array

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


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_large_files_are_mapped(tmp_path, monkeypatch, dtype, order, rng):
    table = np.asarray(rng.normal(size=(30, 4)), dtype, order=order)
    np.save(tmp_path / "a.npy", table)
    assert not isinstance(load_array(tmp_path / "a.npy"), np.memmap)
    monkeypatch.setattr(_files, "_MAPPED_FROM", table.nbytes)
    mapped = load_array(tmp_path / "a.npy")
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, table, strict=True)
    monkeypatch.setattr(_files, "_MAPPED_FROM", table.nbytes + 1)
    assert not isinstance(load_array(tmp_path / "a.npy"), np.memmap)


@pytest.mark.parametrize("dtype", [bool, "int8", "uint64", "int64"])
def test_whole_numbers_become_float64(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.array([0, 1], dtype))
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), [0.0, 1.0], strict=True)


def test_csv_with_mark_quotes_blank_lines_and_one_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\ufeff"the\nfirst"\n\n1\n"2"\r\n-3e2\n', encoding="utf-8")
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
    "nan.csv": (b"a,b\n1,nan\n", "line 2, column 'b' holds 'nan'"),
    "twice.csv": (b"a,b,a\n1,2,3\n", "two of 'a'"),
    "semicolon.csv": (b"a;b\n1,2\n", "has 1 cells for 2 columns, separated by ';'"),
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


def npy(text: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin-1") + body


def header(dtype: str = "<f8", shape: str = "(3,)", order: str = "False") -> str:
    return f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n"


def zipped(path, content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "x.npy") -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)


def peak(function, *arguments) -> int:
    """Bytes that a call held at once, whether or not it ended in a ValueError."""
    tracemalloc.start()
    try:
        with suppress(ValueError):
            function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@given(
    arrays(
        st.sampled_from([">f8", "<f2", "f4", "i1", "<u8", ">i2", "?"]),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    st.sampled_from("CF"),
)
def test_plain_arrays_are_read_as_numpy_reads_them(folder, array, order):
    np.save(folder / "plain.npy", np.asarray(array, order=order))
    with (folder / "plain.npy").open("rb") as handle:
        found = read_array(handle, (folder / "plain.npy").stat().st_size, "plain")
    np.testing.assert_array_equal(found, array, strict=True)


@pytest.mark.parametrize(
    "content",
    [
        npy(header(shape="(1000000000000,)"), bytes(24)),
        npy(header(shape="(9999999999, 9999999999, 9999999999)"), bytes(24)),
        npy(header(shape="(2,)"), bytes(24)),
        npy(header(shape="(4,)"), bytes(24)),
        npy(header(shape="(-3,)"), bytes(24)),
        npy(header(shape="(3L,)"), bytes(24)),
        npy(header(shape="(" + "9" * 5000 + ",)"), bytes(24)),
        npy(header(shape="(" + "-" * 5000 + "1,)")),
        npy("-" * 9000 + "1"),
        npy("(" * 150 + ")" * 150),
        npy("'" * 3),
        npy("{[]: 1}"),
        npy(header(dtype="\\d")),
        npy(header(dtype="V4294967295"), bytes(24)),
        npy(header(dtype="<U0")),
        npy(header(dtype="f3"), bytes(9)),
        npy(header(dtype="M8[Y]"), bytes(24)),
        npy(header(dtype="f8,f8"), bytes(48)),
        npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,), }", bytes(24)),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + bytes(1000),
        b"\x93NUMPY\x01\x00\x05",
    ],
    ids=lambda content: content[8:40],
)
def test_headers_that_promise_something_else_are_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    zipped(tmp_path / "a.npz", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match=name):
            load_array(tmp_path / name)
        assert peak(load_array, tmp_path / name) < 2**20


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_compressing_are_refused(tmp_path, method):
    zipped(tmp_path / "a.npz", npy(header(), bytes(24)), method)
    with pytest.raises(ValueError, match=r"a\.npz:x: expected to be deflated or stored"):
        load_array(tmp_path / "a.npz")


def test_bombs_are_refused(tmp_path):
    zipped(tmp_path / "a.npz", npy(header(shape=f"({2**26},)"), bytes(2**29)))
    assert (tmp_path / "a.npz").stat().st_size < 2**20
    assert peak(load_array, tmp_path / "a.npz") < 2**20
    with pytest.raises(ValueError, match=r"a\.npz:x: claims 5368\d+ bytes, but \d+ bytes of the"):
        load_array(tmp_path / "a.npz")


def test_what_lies_outside_the_archive_is_no_crash(tmp_path):
    zipped(tmp_path / "a.npz", npy(header(), bytes(24)))
    whole = (tmp_path / "a.npz").read_bytes()
    start = whole.index(b"PK\x01\x02")
    extra = struct.pack("<HHQ", 1, 8, 2**64 - 1)  # where the member begins, in 64 bits
    far = bytearray(whole)
    far[start + 42 : start + 46] = b"\xff" * 4
    far[start + 30 : start + 32] = struct.pack("<H", len(extra))
    far[start + 46 + 5 : start + 46 + 5] = extra
    end = far.index(b"PK\x05\x06")
    far[end + 12 : end + 16] = struct.pack("<I", end - start)
    (tmp_path / "a.npz").write_bytes(far)
    with pytest.raises(ValueError, match=r"a\.npz"):
        load_array(tmp_path / "a.npz")


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    for name in ("a.npy", "a.npz", "a.csv", "a.json"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(OSError, match="not a regular file") as caught:
            (read_json if name == "a.json" else load_array)(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"a": ' * 100_000, b"9" * 5000, b"\xff\xfe", b"[1]", b"NaN"],
    ids=lambda content: content[:8],
)
def test_json_that_is_none_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json: expected"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "content",
    [
        b"a = ",
        b"a = " + b"[" * 100_000,
        b"a = " + b"{a=" * 100_000,
        b"a = " + b"9" * 5000,
        b".".join([b"a"] * 100_000) + b" = 1",
        b" . ".join([b'"a \\" b"'] * 100_000) + b" = 1",
        b"[" + b".".join([b"' '"] * 100_000) + b"]",
        b"\xff",
        b"#" * (2**22 + 1),
    ],
    ids=lambda content: content[:8],
)
def test_toml_that_is_none_is_named(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.toml: expected TOML"):
        read_toml(tmp_path / "a.toml")


def test_toml_of_many_numbers_is_read(tmp_path):
    row = ", ".join(["1.5"] * 100)
    (tmp_path / "a.toml").write_text(f"[a.b]\nmatrix = [[{row}],\n [{row}]]\nname.x = 'a.b.c'\n")
    assert read_toml(tmp_path / "a.toml")["a"]["b"]["matrix"] == [[1.5] * 100] * 2


def test_text_takes_little_more_than_its_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("1\n" * 200_000)
    assert peak(load_array, tmp_path / "a.csv") < 20 * 200_000  # with the numbers of lines


class Intruder:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_pickles_are_refused(tmp_path):
    objects = np.array([Intruder()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", objects)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match="unpickle"):
            load_array(tmp_path / name)


def test_replacing_gives_the_name_to_a_complete_file_only(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_write(path) as handle:
        handle.write(b"old")
        assert not path.exists()
    with atomic_write(path) as handle:
        handle.write(b"new")
        handle.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def write_half(path, error):
    with atomic_write(path) as handle:
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
    with (
        pytest.raises(FileNotFoundError, match="nowhere"),
        atomic_write(tmp_path / "nowhere" / "a"),
    ):
        pytest.fail("there is no such folder")
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path):
        pytest.fail("a folder is no file")


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
def test_links_that_users_name_are_followed_and_modes_are_the_usual_ones(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a.bin")
    with atomic_write(follow_link(tmp_path / "link")) as handle:
        handle.write(b"x")
    (tmp_path / "plain").write_bytes(b"x")
    assert (tmp_path / "link").is_symlink()
    written = (tmp_path / "real" / "a.bin").stat()
    assert stat.S_IMODE(written.st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_other_links_are_replaced(tmp_path, kind):
    there = tmp_path / "there"
    if kind == "file":
        there.write_bytes(b"precious")
    elif kind == "folder":
        there.mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "run")
    link = tmp_path / "out" / "a.bin"
    link.symlink_to(there)
    with pytest.raises(ZeroDivisionError):
        write_half(link, ZeroDivisionError())
    assert link.is_symlink()
    with atomic_write(link) as handle:
        handle.write(b"x")
    assert not link.is_symlink()
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "run" / "a.bin").read_bytes() == b"x"
    assert not there.is_file() or there.read_bytes() == b"precious"
    assert there.exists() == (kind != "nothing")


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_leftovers_are_removed_and_not_what_they_link_to(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / ".a.0123abcd.part").symlink_to(tmp_path / "there")
    remove_parts(tmp_path)
    assert os.listdir(tmp_path) == ["there"]


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that is never read")
def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for name in ("a.npy", "a.csv", "a.json"):
        (tmp_path / name).symlink_to("/proc/self/mem")
        with pytest.raises(OSError) as caught:  # noqa: PT011
            (read_json if name == "a.json" else load_array)(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)


def test_only_regular_files_are_replaced(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "loop"):
        with pytest.raises(OSError), atomic_write(follow_link(tmp_path / name)):  # noqa: PT011
            pass
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "loop").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2
