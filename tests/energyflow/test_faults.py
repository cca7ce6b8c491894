"""Full disks, folders that vanish or may not be written, no memory, NaN in the middle."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from disks import mounted, short_files

import energyflow as ef
from energyflow._core.files import atomic_write, new_folder, write_json
from energyflow._core.memory import CHUNKS, PARTICLES, advise, is_out_of_memory
from energyflow.cli import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and mounts of POSIX")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(3000, 4)), RNG.normal(size=(50, 4))


@pytest.fixture(params=["disk", "limit"])
def full(request, tmp_path):
    """A folder, a context in which little can be written to it, and the error's number."""
    folder = tmp_path / "full"
    folder.mkdir()
    if request.param == "limit":
        yield folder, partial(short_files, 2**14), errno.EFBIG
        return
    with mounted(folder, "size=64k"):
        yield folder, nullcontext, errno.ENOSPC


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def run(capsys, tmp_path):
    """Run the command line; give the exit status and errors."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        return exit_.value.code or 0, capsys.readouterr().err

    return run


def test_a_full_disk_leaves_what_was_there(full) -> None:
    folder, filled, number = full
    (folder / "a.bin").write_bytes(b"old")
    with filled(), pytest.raises(OSError) as caught, atomic_write(folder / "a.bin") as handle:  # noqa: PT011
        handle.write(bytes(2**20))
    assert (caught.value.errno, caught.value.filename) == (number, str(folder / "a.bin"))
    assert names(folder) == ["a.bin"]
    assert (folder / "a.bin").read_bytes() == b"old"


def test_a_folder_that_does_not_fit_names_the_file_as_it_would_be(full) -> None:
    folder, filled, number = full
    with (
        filled(),
        pytest.raises(OSError) as caught,  # noqa: PT011
        new_folder(folder / "000001") as part,
        atomic_write(part / "state.safetensors") as handle,
    ):
        handle.write(bytes(2**20))
    named = str(folder / "000001" / "state.safetensors")
    assert (caught.value.errno, caught.value.filename) == (number, named)
    assert names(folder) == []


def test_a_flow_on_a_full_disk_names_it_and_keeps_the_older_result(full, run, tmp_path) -> None:
    folder, filled, number = full
    how = ("--steps", 2, "--out", folder / "run", "--quiet", "--projections", 4)
    assert run("flow", "--target", tmp_path / "y.npy", *how)[0] == 0
    before = {name: (folder / name).read_bytes() for name in names(folder) if "." in name}
    with filled():
        status, err = run("flow", "--target", tmp_path / "x.npy", *how, "--force")
    assert status == 1
    assert err == f"energyflow: {folder}/run/flow.npz: {os.strerror(number)}\n"
    assert {name: (folder / name).read_bytes() for name in names(folder) if "." in name} == before


def test_a_folder_that_may_not_be_written_is_told_before_the_work(run, tmp_path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    with mounted(folder, "ro"):  # root may write whatever the modes say
        status, err = run("flow", "--target", tmp_path / "y.npy", "--steps", 2, "--out", folder)
        assert (status, "no permission to write" in err, err.count("\n")) == (1, True, 1)
        with pytest.raises(OSError, match="Read-only") as caught:
            write_json(folder / "a.json", {})
        assert caught.value.errno == errno.EROFS
        assert caught.value.filename == str(folder / "a.json")
        assert names(folder) == []


FLOWS = {
    "particles": lambda: ef.ParticleFlow(Y, n_projections=4, momentum=0.5, rng=0),
    "mmd": lambda: ef.MMDFlow(Y, step_size=0.5, rng=0),
    "kale": lambda: ef.KALEFlow(Y, step_size=0.01, regularization=0.1),
    "conditional": lambda: ef.ConditionalFlow(Y[:, :2], Y[:, 2:], n_projections=4, rng=0),
}


def starts(flow: str) -> tuple[np.ndarray, ...]:
    return (X[:20, :2], X[:20, 2:]) if flow == "conditional" else (X[:20],)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(
    ("out", "error", "told"),
    [
        (3, TypeError, "out must be a path, got int"),
        (b"x.npz", TypeError, "out must be a path, got bytes"),
        ("", ValueError, "out must be the path of a file"),
        ("\0.npz", ValueError, "out must be the path of a file"),
        ("/proc/x.npz", OSError, "/proc/x.npz"),
        ("/proc/new/x.npz", OSError, "/proc/new"),
        ("folder", IsADirectoryError, "a folder stands in the way"),
        ("file/x.npz", OSError, "file"),
    ],
)
def test_where_nothing_may_be_written_is_told_before_the_work(
    tmp_path, monkeypatch, flow: str, out: object, error: type, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    steps: list[int] = []
    how = {"record_every": 1, "progress": False, "out": out}
    with pytest.raises(error, match=told):
        FLOWS[flow]().run(*starts(flow), 2, callback=lambda *given: steps.append(given[0]), **how)
    assert steps == []
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("last", [False, True], ids=["on the way", "at the end"])
def test_an_error_of_saving_has_the_result(tmp_path, last: bool) -> None:
    out = tmp_path / "run" / "flow.npz"

    def block(step: int, particles: object, distance: float) -> None:
        if step == 5:
            shutil.rmtree(out.parent)
            out.parent.write_bytes(b"")

    flow = ef.ParticleFlow(Y, n_projections=4, rng=0)
    how = {"record_every": 1, "progress": False, "out": out}
    with pytest.raises(OSError, match="run") as caught:
        flow.run(X[:20], 5 if last else 9, callback=block, save_every=1e9 if last else 0, **how)
    assert "`.result`" in caught.value.__notes__[0]
    reached = flow.run(X[:20], 5, progress=False)
    np.testing.assert_array_equal(caught.value.result.particles, reached.particles)
    longer = flow.run(caught.value.result, 4, progress=False)
    np.testing.assert_array_equal(longer.particles, flow.run(X[:20], 9, progress=False).particles)


def test_a_flow_stays_in_its_folder(run, tmp_path) -> None:
    """Links under the names that it makes up are replaced; a folder that is named may be one."""
    how = ("flow", "--target", tmp_path / "y.npy", "--quiet", "--projections", 4)
    (tmp_path / "there").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "there")
    out = tmp_path / "out"
    assert run(*how, "--steps", 2, "--out", out)[0] == 0
    assert out.is_symlink()
    made = {path.name for path in out.iterdir()}
    for more in ("--resume", "--force"):
        for name in made:
            (tmp_path / f"precious-{name}").write_bytes((out / name).read_bytes())
            (out / name).unlink()
            (out / name).symlink_to(tmp_path / f"precious-{name}")
        before = {name: (tmp_path / f"precious-{name}").read_bytes() for name in made}
        status, err = run(*how, "--steps", 4, "--out", out, more)
        assert (status, err) == (0, "")
        for name in made:
            assert not (out / name).is_symlink()
            assert (tmp_path / f"precious-{name}").read_bytes() == before[name]


def test_a_result_is_saved_where_a_link_points(tmp_path) -> None:
    result = ef.ParticleFlow(Y, rng=0).run(X[:5], 1, progress=False)
    (tmp_path / "link.npz").symlink_to(tmp_path / "flow.npz")
    result.save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert not (tmp_path / "flow.npz").is_symlink()
    with pytest.raises(IsADirectoryError):
        result.save(tmp_path)


def test_a_flow_whose_folder_vanishes_is_saved_all_the_same(tmp_path) -> None:
    out = tmp_path / "run" / "flow.npz"

    def vanish(step: int, particles: object, distance: float) -> None:
        if step == 3:
            assert ef.FlowResult.load(out).state["step"] == 2
            shutil.rmtree(out.parent)

    flow = ef.ParticleFlow(Y, n_projections=4, rng=0)
    how = {"record_every": 1, "progress": False, "out": out, "save_every": 0.0}
    result = flow.run(X[:20], 5, callback=vanish, **how)
    np.testing.assert_array_equal(ef.FlowResult.load(out).particles, result.particles)


@pytest.mark.parametrize("flow", FLOWS)
def test_what_is_saved_on_the_way_goes_on(tmp_path, flow: str) -> None:
    out = tmp_path / "flow.npz"
    maker, (start, *given) = FLOWS[flow], starts(flow)
    how = {"record_every": 2, "progress": False}

    def stop(step: int, particles: object, distance: float) -> None:
        if step == 6:
            raise ZeroDivisionError("a callback of the user's own")

    whole = maker().run(start, *given, 9, **how)
    with pytest.raises(ZeroDivisionError, match="of the user's own"):
        maker().run(start, *given, 9, callback=stop, out=out, save_every=0.0, **how)
    assert names(tmp_path) == ["flow.npz"]
    saved = ef.FlowResult.load(out)
    assert saved.state["step"] == 4
    result = maker().run(saved, *given, 5, out=out, **how)
    np.testing.assert_array_equal(result.particles, whole.particles)
    np.testing.assert_array_equal(result.history_distance, whole.history_distance)
    np.testing.assert_array_equal(ef.FlowResult.load(out).particles, whole.particles)


def test_a_nan_in_the_middle_leaves_the_last_saved_state(tmp_path) -> None:
    out = tmp_path / "flow.npz"

    def step_size(step: int) -> float:
        return 1e308 if step == 7 else 0.1

    flow = ef.ParticleFlow(Y, exponent=1.5, n_projections=4, step_size=step_size, rng=0)
    how = {"record_every": 2, "progress": False}
    with pytest.raises(ef.FlowDiverged) as caught:
        flow.run(1e3 * X[:20], 20, out=out, save_every=0.0, **how)
    assert caught.value.step == 8
    assert np.isfinite(caught.value.particles).all()
    saved = ef.FlowResult.load(out)
    assert saved.state["step"] == 6
    assert np.isfinite(saved.particles).all()
    again = ef.ParticleFlow(Y, exponent=1.5, n_projections=4, rng=0)
    assert again.run(saved, 3, progress=False).state["step"] == 9


def test_save_every_is_checked() -> None:
    for value, error in ((-1.0, ValueError), (np.nan, ValueError), ("5m", TypeError)):
        with pytest.raises(error, match="save_every must be"):
            ef.ParticleFlow(Y).run(X[:5], 1, save_every=value)


# -- memory

LITTLE = """
import resource
import numpy as np
import energyflow as ef
x = np.random.default_rng(0).normal(size=(20000, 50))
ef.sliced_energy_distance(x[:9], x[:9], rng=0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
"""


def short_of_memory(program: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LITTLE + program]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_no_memory_comes_with_advice() -> None:
    done = short_of_memory("""
try:
    with ef.use_backend("numpy"):
        ef.energy_gradient(x, x, chunk_size=20000)
except MemoryError as error:
    print(error, error.__notes__)
with ef.use_backend("numpy"):
    print(float(ef.energy_distance(x, x[:100], chunk_size=10)) > 0)
""")
    assert (done.returncode, done.stderr) == (0, "")
    assert CHUNKS in done.stdout
    assert "Unable to allocate" in done.stdout
    assert done.stdout.endswith("True\n")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_flow_without_memory_comes_with_advice_and_its_last_saved_state(tmp_path) -> None:
    done = short_of_memory(
        """
held = []

def fill(step, particles, distance):
    if step == 3:
        while True:
            held.append(np.ones(2**15))

try:
    flow = ef.ParticleFlow(x[:900], n_projections=4, rng=0)
    flow.run(
        x[:500], 9, record_every=1, callback=fill, out="flow.npz", save_every=0, progress=False
    )
except MemoryError as error:
    held.clear()
    print(error.__notes__, ef.FlowResult.load("flow.npz").state["step"])
""",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{[PARTICLES]} 2\n"
    assert names(tmp_path) == ["flow.npz"]


def test_what_says_that_there_is_no_memory() -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    for error in (caught.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        assert is_out_of_memory(error)
        for _ in range(2):
            advise(error, CHUNKS)
        assert error.__notes__ == [CHUNKS]
    assert is_out_of_memory(OSError(errno.ENOMEM, "a file that cannot be mapped"))
    for other in (RuntimeError("shapes do not fit"), OSError(errno.ENOENT, "no such file")):
        advise(other, CHUNKS)
        assert not hasattr(other, "__notes__")


def test_the_command_line_tells_of_no_memory_in_one_line(run, tmp_path, monkeypatch) -> None:
    def distance(*given: object, **named: object) -> None:
        error = MemoryError("Unable to allocate 9 EiB")
        advise(error, CHUNKS)
        raise error

    monkeypatch.setattr(ef, "energy_distance", distance)
    status, err = run("distance", tmp_path / "x.npy", tmp_path / "y.npy", "--exact")
    assert status == 1
    assert err == f"energyflow: out of memory: Unable to allocate 9 EiB {CHUNKS}\n"
