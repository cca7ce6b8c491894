"""The command line: what it prints, what it writes, and how it says no."""

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

import energyflow as ef
from energyflow._flows import result_file
from energyflow.cli import main

pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")

_cli_flow = pytest.importorskip("energyflow._cli.flow")


@pytest.fixture(autouse=True)
def plain_wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    for name in ("FORCE_COLOR", "ENERGYFLOW_BACKEND"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A working folder with samples of the same size in one, two and three dimensions."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for d in (1, 2, 3):
        np.save(f"x{d}.npy", rng.normal(size=(40, d)))
        np.save(f"y{d}.npy", rng.normal(size=(50, d)) + 1)
    np.save("line.npy", np.load("x1.npy")[:, 0])
    np.savez("both.npz", x=np.load("x2.npy"), y=np.load("y2.npy"))
    np.savetxt("x2.csv", np.load("x2.npy"), fmt="%.17g", delimiter=",", header="u,v", comments="")
    np.save("uniform.npy", np.full(40, 1 / 40))
    np.save("cube.npy", np.ones((2, 3, 4)))
    np.save("nan.npy", np.array([[0.0, 1.0], [np.nan, 1.0]]))
    np.save("none.npy", np.empty((0, 2)))
    np.save("heavy.npy", np.full(40, 1.0))
    np.save("complex.npy", np.ones((2, 2), complex))
    Path("file").write_text("in the way")
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run the command line; give the exit status, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        return exit_.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def distance(run):
    """`energyflow distance --json` as a dictionary."""

    def distance(*arguments):
        status, out, err = run("distance", *arguments, "--json")
        assert (status, err) == (0, "")
        return json.loads(out)

    return distance


def direct(x, y, r=1.0, unbiased=False):
    """The energy distance by its formula."""
    n, m = (len(x) - 1, len(y) - 1) if unbiased else (len(x), len(y))
    return (
        2 * np.mean(cdist(x, y) ** r)
        - np.sum(cdist(x, x) ** r) / (len(x) * n)
        - np.sum(cdist(y, y) ** r) / (len(y) * m)
    )


# -- distance


@pytest.mark.parametrize("estimator", ["V", "U"])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7])
def test_exact_distance_is_the_formula(data, distance, exponent, estimator):
    options = "--exact", "--exponent", exponent, "--estimator", estimator
    told = distance("x3.npy", "y3.npy", *options)
    wanted = direct(np.load("x3.npy"), np.load("y3.npy"), exponent, estimator == "U")
    assert told["energy_distance"] == pytest.approx(wanted, rel=1e-10)
    assert told["half"] == told["energy_distance"] / 2
    assert told["sqrt"] == math.sqrt(told["energy_distance"])


def test_root_of_one_dimension_is_scipys(data, distance):
    x, y = np.load("x1.npy")[:, 0], np.load("y1.npy")[:, 0]
    for arguments in (("x1.npy",), ("line.npy", "--projections", 1), ("line.npy", "--exact")):
        told = distance(arguments[0], "y1.npy", *arguments[1:])
        assert told["sqrt"] == pytest.approx(stats.energy_distance(x, y), rel=1e-10)


def test_slices_come_near_and_the_seed_decides(data, distance):
    wanted = direct(np.load("x3.npy"), np.load("y3.npy"))
    first, again, other = (
        distance("x3.npy", "y3.npy", "--projections", 500, "--seed", seed)["energy_distance"]
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert first == pytest.approx(wanted, rel=0.1)


def test_every_format_gives_the_same(data, distance):
    specs = "x2.npy", "both.npz:x", "x2.csv"
    assert len({distance(spec, "both.npz:y")["energy_distance"] for spec in specs}) == 1


def test_whole_weights_are_repeated_points(data, distance):
    x = np.load("x2.npy")[:3]
    np.save("few.npy", x)
    np.save("weights.npy", np.array([1, 2, 3]) / 6)
    np.save("many.npy", np.repeat(x, [1, 2, 3], axis=0))
    np.savetxt("weights.csv", np.load("weights.npy"))
    wanted = distance("many.npy", "y2.npy", "--exact")["energy_distance"]
    for file in ("weights.npy", "weights.csv"):
        left = distance("few.npy", "y2.npy", "--exact", "--weights-x", file)
        right = distance("y2.npy", "few.npy", "--exact", "--weights-y", file)
        assert left["energy_distance"] == pytest.approx(wanted, rel=1e-10)
        assert right["energy_distance"] == pytest.approx(wanted, rel=1e-10)


def test_whole_numbers_and_mixed_precision_are_read(data, distance):
    np.save("whole.npy", np.arange(6).reshape(3, 2))
    np.save("single.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    assert distance("whole.npy", "single.npy", "--exact")["energy_distance"] == 0


def test_distance_in_words(data, run):
    status, out, err = run("distance", "x2.npy", "y2.npy", "--exact")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    energy = direct(np.load("x2.npy"), np.load("y2.npy"))
    assert lines[0][:2] == ["E", f"{energy:.10g}"]
    assert lines[1][:4] == ["E", "/", "2", f"{energy / 2:.10g}"]
    assert lines[2] == ["sqrt(E)", f"{math.sqrt(energy):.10g}"]


def test_a_negative_estimate_has_no_root(data, run, distance):
    arguments = "x2.npy", "x2.npy", "--exact", "--estimator", "U"
    told = distance(*arguments)
    assert told["energy_distance"] < 0
    assert told["sqrt"] is None
    assert "sqrt(E)  undefined" in run("distance", *arguments)[1]


# -- flow


def flow(*more):
    return ("flow", "--target", "y2.npy", "--out", "run", "--projections", 16, "--quiet", *more)


def test_flow_writes_what_the_library_computes(data, run):
    status, out, err = run(*flow("--source", "x2.npy", "--steps", 25, "--momentum", 0.5))
    assert (status, err) == (0, "")
    assert "step 25" in out
    wanted = ef.ParticleFlow(np.load("y2.npy"), n_projections=16, momentum=0.5, rng=0).run(
        np.load("x2.npy"), 25, progress=False
    )
    written = ef.FlowResult.load("run/flow.npz")
    np.testing.assert_array_equal(written.particles, wanted.particles)
    np.testing.assert_array_equal(np.load("run/particles.npy"), wanted.particles)
    table = np.genfromtxt("run/history.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(table["step"], [0, 10, 20, 25])
    np.testing.assert_array_equal(table["distance"], wanted.history_distance)
    np.testing.assert_array_equal(table["seconds"], written.history_seconds)
    assert written.history_distance[-1] < 0.1 * written.history_distance[0]


def test_flow_leaves_its_settings_to_the_flow(data, run):
    assert run("flow", "--target", "y2.npy", "--out", "run", "--quiet", "--steps", 5)[0] == 0
    state = ef.FlowResult.load("run/flow.npz").state
    assert state["n_projections"] == ef.ParticleFlow(np.load("y2.npy")).n_projections
    assert state["plan"]["pace"]["unit"] > 0


def test_flow_draws_pictures(data, run):
    pytest.importorskip("matplotlib")
    for d, pictures in ((2, {"history.png", "particles.png"}), (3, {"history.png"})):
        assert run("flow", "--target", f"y{d}.npy", "--steps", 2, "--out", f"run{d}")[0] == 0
        files = {*pictures, "flow.npz", "particles.npy", "history.csv"}
        assert {path.name for path in Path(f"run{d}").iterdir()} == files
        for name in pictures:
            assert Path(f"run{d}", name).read_bytes().startswith(b"\x89PNG")


def test_no_matplotlib_no_pictures(data, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run(*flow("--steps", 2))
    assert status == 0
    assert "pip install -e '.[plot]'" in err
    assert not list(Path("run").glob("*.png"))


@pytest.mark.parametrize("init", [None, "normal", "uniform"])
def test_particles_are_made_where_none_are_given(data, run, init):
    options = () if init is None else ("--init", init, "-n", 7)
    assert run(*flow("--steps", 1, "--step-size", 1e-300, *options))[0] == 0
    particles = np.load("run/particles.npy")
    assert particles.shape == ((50, 2) if init is None else (7, 2))
    assert len(np.unique(particles)) == particles.size
    assert (particles.min() >= 0) == (init == "uniform")


def test_going_on_equals_never_stopping(data, run):
    assert run(*flow("--steps", 24, "--momentum", 0.3))[0] == 0
    whole = ef.FlowResult.load("run/flow.npz")
    assert run(*flow("--steps", 11, "--momentum", 0.3, "--force"))[0] == 0
    assert run(*flow("--steps", 24, "--momentum", 0.3, "--resume"))[0] == 0
    resumed = ef.FlowResult.load("run/flow.npz")
    np.testing.assert_array_equal(resumed.particles, whole.particles)
    assert resumed.history_distance[-1] == whole.history_distance[-1]
    assert resumed.history_step[-1] == 24


def test_a_result_is_not_overwritten_unasked(data, run):
    assert run(*flow("--steps", 3))[0] == 0
    before = Path("run/flow.npz").read_bytes()
    status, _, err = run(*flow("--steps", 5))
    assert status == 1
    assert "--resume" in err
    assert "--force" in err
    assert Path("run/flow.npz").read_bytes() == before
    assert run(*flow("--steps", 5, "--force"))[0] == 0
    assert ef.FlowResult.load("run/flow.npz").state["step"] == 5


def test_going_on_needs_steps_to_take_and_the_same_settings(data, run):
    assert run(*flow("--steps", 3))[0] == 0
    for more in ("--seed", 0), ("-n", 3):
        status, _, err = run(*flow("--steps", 5, "--resume", *more))
        assert status == 2
        assert more[0] in err
    status, _, err = run(*flow("--steps", 2, "--resume"))
    assert (status, "at step 3" in err) == (1, True)
    status, _, err = run(*flow("--steps", 9, "--resume", "--exponent", 1.5))
    assert (status, "exponent" in err) == (1, True)
    whole = Path("run/flow.npz").read_bytes()
    for broken in (b"not a flow", whole[:-100], b""):
        Path("run/flow.npz").write_bytes(broken)
        status, _, err = run(*flow("--steps", 9, "--resume"))
        assert (status, "flow.npz" in err, err.count("\n")) == (1, True, 1)


def test_a_flow_that_has_arrived_gets_the_files_that_a_kill_kept_from_it(data, run):
    assert run(*flow("--steps", 3))[0] == 0
    names = ("particles.npy", "history.csv")
    wanted = [
        np.load("run/particles.npy"),
        np.loadtxt("run/history.csv", delimiter=",", skiprows=1),
    ]
    for name in names:
        Path("run", name).unlink()
    Path("run/.flow.0123abcd.part.npz").write_bytes(b"half")
    Path("run/.mine.part.npz").write_bytes(b"whole")
    assert run(*flow("--steps", 3, "--resume"))[0] == 0
    np.testing.assert_array_equal(np.load("run/particles.npy"), wanted[0])
    found = np.loadtxt("run/history.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(found[:, :2], wanted[1][:, :2])
    assert sorted(p.name for p in Path("run").glob(".*")) == [".mine.part.npz"]


def test_a_flow_is_saved_on_the_way(data, run, monkeypatch):
    saved = []
    write = result_file.write_result

    def spy(result, path):
        saved.append(result.state["step"])
        write(result, path)

    monkeypatch.setattr(result_file, "write_result", spy)
    assert run(*flow("--steps", 25, "--save-every", 0))[0] == 0
    assert saved == [0, 10, 20, 25]
    saved.clear()
    assert run(*flow("--steps", 25, "--force"))[0] == 0
    assert saved == [25]
    for seconds in (-1, "nan"):
        assert run(*flow("--steps", 3, "--force", "--save-every", seconds))[0] in (1, 2)


def interrupted_flow(times, number=signal.SIGINT):
    """A flow whose 26th step size comes with interrupts."""

    def step_size(step):
        for _ in range(times if step == 25 else 0):
            signal.raise_signal(number)
        return 0.1

    return ef.ParticleFlow(np.load("y2.npy"), n_projections=4, step_size=step_size, rng=0)


@pytest.fixture
def interruptible():
    """Interrupts raise, also in a process that was started in the background without them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupts_that_are_ignored_stay_so(data, interruptible):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup, or & in a script
    result, interrupted = _cli_flow.run_to(
        interrupted_flow(2), np.load("x2.npy"), 40, record_every=10, progress=False
    )
    assert (interrupted, result.state["step"]) == (False, 40)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_flow_at_the_next_record(data, interruptible, number):
    before = signal.getsignal(number)
    result, interrupted = _cli_flow.run_to(
        interrupted_flow(1, number), np.load("x2.npy"), 1000, record_every=10, progress=False
    )
    assert interrupted
    assert result.history_step[-1] == result.state["step"] == 30
    assert signal.getsignal(number) is before


def test_two_interrupts_end_it_at_once(data, interruptible):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _cli_flow.run_to(
            interrupted_flow(2), np.load("x2.npy"), 1000, record_every=10, progress=False
        )
    assert signal.getsignal(signal.SIGINT) is before


def read_until(descriptor, text, seconds):
    """What comes from a terminal up to and with `text`."""
    shown = b""
    end = time.monotonic() + seconds
    while text not in shown:
        ready, _, _ = select.select([descriptor], [], [], max(end - time.monotonic(), 0))
        assert ready, f"no {text!r} in {shown!r}"
        shown += os.read(descriptor, 4096)
    return shown


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")
def test_a_flow_on_a_terminal_shows_a_bar_and_keeps_its_result_at_ctrl_c(data, run, interruptible):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "energyflow", *map(str, flow("--steps", 10**8))]
    command.remove("--quiet")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        try:
            shown = read_until(ours, b"distance", seconds=60)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    os.close(ours)
    assert b"steps/s" in shown
    assert process.returncode == 130
    reached = ef.FlowResult.load("run/flow.npz").state["step"]
    assert f"step {reached}" in out.decode()
    assert run(*flow("--steps", reached + 5, "--resume"))[0] == 0
    assert ef.FlowResult.load("run/flow.npz").state["step"] == reached + 5


# -- info, help, and the way in


def test_info_names_versions_backends_and_machine(run):
    status, out, err = run("info")
    assert (status, err) == (0, "")
    for text in (np.__version__, "array-api", "usable CPU", "python"):
        assert text in out


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ((), ("demo", "distance", "flow", "info")),
        (("demo",), ("--steps", "2000", "--seed", "0 to 1")),
        (("distance",), ("--projections", "128", "0 < r < 2", ".npz", "unit")),
        (("flow",), ("--init", "units of the data", "--resume", "1.0", "128")),
        (("info",), ("machine",)),
    ],
)
def test_help_says_units_and_defaults(run, command, told):
    status, out, err = run(*command, "--help")
    assert (status, err) == (0, "")
    for text in told:
        assert text in out


def test_every_option_has_a_help():
    typer = pytest.importorskip("typer")
    app = pytest.importorskip("energyflow._cli").app
    group = typer.main.get_command(app)
    train = group.commands.pop("train")
    for command in (*group.commands.values(), *train.commands.values()):
        for parameter in command.params:
            assert len(parameter.help or "") > 5, f"{command.name}: {parameter.name}"


def test_no_command_is_a_call_for_help(run):
    assert run() == run("--help")


def test_without_typer_it_says_how_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "typer", None)
    status, out, err = run("info")
    assert (status, out) == (1, "")
    assert err == "energyflow: the command line needs typer: pip install -e '.[cli]'\n"


def test_runs_as_a_module(data):
    command = [sys.executable, "-m", "energyflow", "distance", "x1.npy", "missing.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "energyflow: missing.npy: no such file\n"


PAIR = "distance", "x2.npy", "y2.npy"
FLOW = "flow", "--target", "y2.npy", "--steps", "1", "--out", "new"
BAD = {
    "no such command": ("distant", "x2.npy", "y2.npy"),
    "no such option": (*PAIR, "--exatc"),
    "missing argument": PAIR[:2],
    "one too many": (*PAIR, "x2.npy"),
    "missing file": ("distance", "x2.npy", "y9.npy"),
    "unknown format": ("distance", "file", "y2.npy"),
    "key needed": ("distance", "both.npz", "y2.npy"),
    "wrong key": ("distance", "both.npz:z", "y2.npy"),
    "three dimensions": ("distance", "cube.npy", "y2.npy"),
    "complex": ("distance", "complex.npy", "y2.npy"),
    "NaN": ("distance", "nan.npy", "y2.npy"),
    "empty": ("distance", "none.npy", "y2.npy"),
    "dimensions differ": ("distance", "x2.npy", "y3.npy"),
    "exponent 0": (*PAIR, "--exponent", "0"),
    "exponent 2": (*PAIR, "--exponent", "2"),
    "exponent word": (*PAIR, "--exponent", "two"),
    "exponent nan": (*PAIR, "--exponent", "nan"),
    "estimator": (*PAIR, "--estimator", "W"),
    "no slices": (*PAIR, "--projections", "0"),
    "exact slices": (*PAIR, "--exact", "--projections", "9"),
    "slicing": ("distance", "x3.npy", "y3.npy", "--slicing", "equispaced"),
    "seed": (*PAIR, "--seed", "-1"),
    "weights too many": (*PAIR, "--weights-y", "uniform.npy"),
    "weights sum": (*PAIR, "--weights-x", "heavy.npy"),
    "weights shape": (*PAIR, "--weights-x", "x2.npy"),
    "no target": ("flow", "--steps", "1", "--out", "new"),
    "no steps": ("flow", "--target", "y2.npy", "--out", "new"),
    "no out": FLOW[:5],
    "zero steps": (*FLOW, "--steps", "0"),
    "half a step": (*FLOW, "--steps", "1.5"),
    "out is a file": (*FLOW, "--out", "file"),
    "out in a file": (*FLOW, "--out", "file/new"),
    "source and init": (*FLOW, "--source", "x2.npy", "--init", "normal"),
    "force and resume": (*FLOW, "--force", "--resume"),
    "nothing to resume": (*FLOW, "--resume"),
    "source's dimension": (*FLOW, "--source", "x3.npy"),
    "momentum": (*FLOW, "--momentum", "1"),
    "step size": (*FLOW, "--step-size", "0"),
    "init": (*FLOW, "--init", "zeros"),
    "NaN in the target": (*FLOW, "--target", "nan.npy"),
    "demo without steps": ("demo", "--steps", "0", "--out", "new"),
    "demo into a file": ("demo", "--steps", "1", "--out", "file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(data, run, case):
    before = sorted(path.name for path in data.iterdir())
    status, out, err = run(*BAD[case])
    assert status in (1, 2)
    assert out == ""
    assert err.startswith("energyflow: ")
    assert len(err) > len("energyflow: ") + 10
    assert err.count("\n") == 1
    assert sorted(path.name for path in data.iterdir()) == before


def test_a_flow_that_diverges_keeps_its_last_finite_particles(data, run):
    status, _, err = run(*FLOW, "--steps", "9", "--step-size", "1e308")
    assert status == 1
    assert err.count("\n") == 1
    (kept,) = data.rglob("last_finite.npy")
    assert kept.name in err
    assert np.isfinite(np.load(kept)).all()


def test_results_in_the_way_are_not_replaced(data, run):
    (data / "run").mkdir()
    np.save(data / "run" / "particles.npy", np.zeros(3))
    status, _, err = run("flow", "--target", "x2.npy", "--steps", "1", "--out", "run")
    assert status == 1
    assert "particles.npy exists" in err
    status, _, err = run(
        "flow",
        "--target",
        "x2.npy",
        "--steps",
        "1",
        "--out",
        "run",
        "--resume",
        "--source",
        "x2.npy",
    )
    assert status == 2
    assert "--source" in err


def test_the_line_names_what_is_wrong(data, run):
    for case, told in {
        "missing file": "y9.npy",
        "key needed": "both.npz:KEY",
        "three dimensions": "cube.npy",
        "dimensions differ": "2 and 3",
        "exponent 2": "exponent",
        "weights shape": "x2.npy",
        "no target": "--target",
        "out is a file": "file",
        "nothing to resume": "flow.npz",
    }.items():
        assert told in run(*BAD[case])[2]


def test_development_mode_keeps_the_traceback(data):
    command = [sys.executable, "-X", "dev", "-m", "energyflow", "distance", "x2.npy", "y3.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


THEIRS = '"""EnergyFlow - for particle physics."""\nraise SystemExit("theirs was run")\n'


@pytest.mark.parametrize("mixed", [False, True])
def test_a_package_of_the_same_name_is_told(tmp_path, mixed: bool) -> None:
    """It stands before ours on the path, or its files have overwritten some of ours."""
    folder = tmp_path / "energyflow"
    folder.mkdir()
    (folder / "__init__.py").write_text(THEIRS)
    if mixed:
        (folder / "cli.py").write_text(Path(ef.__file__).with_name("cli.py").read_text())
    paths = [str(tmp_path), *sys.path]
    done = subprocess.run(
        [sys.executable, "-m", "energyflow_backends", "info"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        f"energyflow: {folder / '__init__.py'} belongs to another package, EnergyFlow of PyPI: "
        "pip uninstall EnergyFlow energyflow-mmd, then install energyflow-mmd again\n"
    )
    assert not done.stdout


def test_info_tells_of_another_distribution(run, tmp_path, monkeypatch) -> None:
    metadata = tmp_path / "energyflow-1.4.0.dist-info"
    metadata.mkdir()
    told = "EnergyFlow 1.4.0 of PyPI is installed too"
    assert told not in run("info")[1]
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: EnergyFlow\nVersion: 1.4.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert told in run("info")[1]
