"""Training that is interrupted, diverges, or loses its folder, its disk or its memory."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _lines import Lines, rows, train
from _training_rank import MODELS
from _training_rank import train as train_model
from disks import mounted, short_files

from energyflow._core import locks
from energyflow._core.locks import locked
from energyflow.models import (
    MLP,
    FlowMatching,
    RunFolder,
    TrainingDiverged,
    load,
    save_grid,
)
from energyflow.models.training.stage_training import StageTraining

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")


def matching() -> FlowMatching:
    how = {"n_steps": 20, "n_rounds": 2, "sampling_steps": 2, "batch_size": 32, "seed": 3}
    return FlowMatching(architecture=MLP(width=8, depth=1), **how)


def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)


def interrupt_at(where: tuple[int, int], times: int = 1, number: int = signal.SIGINT):
    def at_step(stage: int, step: int) -> None:
        for _ in range(times if (stage, step) == where else 0):
            signal.raise_signal(number)

    return at_step


@pytest.fixture
def interruptible():
    """Interrupts raise, also in a process that was started in the background without them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", [(0, 0), (1, 12), (2, 19)])
def test_an_interrupt_keeps_what_is_trained(tmp_path, where, number) -> None:
    train(Lines(), out=tmp_path / "whole", log_every=5)
    before = signal.getsignal(number)
    plan = Lines(at_step=interrupt_at(where, number=number))
    with pytest.raises(KeyboardInterrupt):
        train(plan, out=tmp_path / "run", log_every=5)
    assert signal.getsignal(number) is before
    assert len(RunFolder(tmp_path / "run").weights()) == where[0] + 1  # it can be loaded
    steps: list[tuple[int, int]] = []
    again = Lines(at_step=lambda stage, step: steps.append((stage, step)))
    train(again, out=tmp_path / "run", log_every=5, resume=True)
    stage, step = where
    assert steps[:1] == ([(stage, step + 1)] if step < 19 else [])  # the step itself was ended
    for column in ("stage", "step", "loss", "distance"):
        found, wanted = (
            [row[column] for row in rows(tmp_path / name)] for name in ("run", "whole")
        )
        assert found == wanted
    whole = RunFolder(tmp_path / "whole").weights()
    assert all(torch.equal(v, whole[k]) for k, v in RunFolder(tmp_path / "run").weights().items())


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("last", [7, 20])
def test_an_interrupt_after_the_last_step_is_not_lost(tmp_path, last, monkeypatch) -> None:
    """It comes as the loop is left: by a limit, or after all steps of a stage."""
    asked: list[int] = []  # whether a checkpoint is due, and whether another step is

    class Late(StageTraining):
        @property
        def is_over(self) -> bool:
            asked.append(self.step)
            if asked[-2:] == [last, last]:
                signal.raise_signal(signal.SIGINT)
            return super().is_over

    monkeypatch.setattr("energyflow.models.training.run.StageTraining", Late)
    how = {"out": tmp_path / "run", "checkpoint_every": 30}
    with pytest.raises(KeyboardInterrupt):
        train(Lines(), stop_after="7 steps" if last == 7 else None, **how)
    record, _ = RunFolder(tmp_path / "run").inside(0)
    assert record.inside == last
    monkeypatch.undo()
    whole, again = Lines(), Lines()
    train(whole)
    train(again, resume=True, **how)
    assert again.weights(3) == whole.weights(3)


@pytest.mark.usefixtures("interruptible")
def test_two_interrupts_end_it_at_once(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(Lines(at_step=interrupt_at((0, 3), times=2)), out=tmp_path / "run")
    assert RunFolder(tmp_path / "run").inside(0) is None


def test_an_interrupt_of_the_users_own_is_left_to_the_user(tmp_path) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        assert len(train(Lines(at_step=interrupt_at((1, 3))), out=tmp_path / "run")) == 3
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_a_checkpoint_comes_every_few_minutes(tmp_path, monkeypatch) -> None:
    def stop(stage: int, step: int) -> None:
        if (stage, step) == (1, 7):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(Lines(at_step=stop), out=tmp_path / "late")
    assert RunFolder(tmp_path / "late").inside(1) is None
    monkeypatch.setattr("energyflow.models.training.run._CHECKPOINT_SECONDS", 0)
    with pytest.raises(ZeroDivisionError):
        train(Lines(at_step=stop), out=tmp_path / "soon")
    record, _ = RunFolder(tmp_path / "soon").inside(1)
    assert record.inside == 7


@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("last", [False, True])
def test_weights_that_are_not_finite_are_never_kept(tmp_path, every, last) -> None:
    plan = Lines(n_stages=3)
    begin = plan.begin

    def spoilt(stage: int, report):
        found = begin(stage, report)
        where = 19 if last else 9

        def rate(step: int) -> float:  # the step after its loss, which is finite
            return math.inf if (stage, step) == (1, where) else 0.1

        found.learning_rate = rate
        return found

    plan.begin = spoilt  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged, match="not finite at step") as caught:
        train(plan, out=tmp_path / "run", checkpoint_every=every, log_every=20)
    assert (caught.value.stage, caught.value.step) == (1, 20 if every is None or last else 12)
    folder = RunFolder(tmp_path / "run")
    assert [record.stage for record in folder.records()] == [0]
    if every:
        record, tensors = folder.inside(1)
        assert record.inside == (16 if last else 8)
        assert all(torch.isfinite(v).all() for v in tensors.values())
    assert len(train(Lines(), out=tmp_path / "run", resume=True)) == 3


def test_samples_that_are_not_finite_end_the_training(tmp_path) -> None:
    plan = Lines(n_stages=2, distances=[1.0, math.nan])
    with pytest.raises(TrainingDiverged, match="stage 1"):
        train(plan, out=tmp_path / "run")
    assert len(RunFolder(tmp_path / "run").records()) == 1


def test_no_memory_comes_with_advice() -> None:
    def full(stage: int, step: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError) as caught:
        train(Lines(at_step=full))
    assert "A smaller batch_size" in caught.value.__notes__[0]


@pytest.mark.usefixtures("interruptible")
def test_a_log_has_the_numbers_of_a_stage_once(tmp_path, monkeypatch) -> None:
    """Also where a kill came between them and the checkpoint of the stage."""

    def stop(*given: object) -> None:
        raise ZeroDivisionError

    distances, how = [3.0, 2.0, 1.0], {"out": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):  # the checkpoint is that of the last step
        train(Lines(distances=distances, at_step=interrupt_at((0, 19))), **how)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_stage", stop)
        with pytest.raises(ZeroDivisionError):
            train(Lines(distances=distances), resume=True, **how)
    train(Lines(distances=distances), resume=True, **how)
    assert [row["stage"] for row in rows(tmp_path / "run") if row["distance"]] == ["0", "1", "2"]


def test_leftovers_of_a_kill_go(tmp_path) -> None:
    train(Lines(n_stages=2), out=tmp_path / "run")
    run = tmp_path / "run"
    for name in (".log.0123abcd.part.csv", "samples/.000001.0123abcd.part.png"):
        (run / name).write_bytes(b"half")
    for name in ("checkpoints/.000002.0123abcd.part", "checkpoints/000001-000000007"):
        (run / name).mkdir()
        (run / name / "record.json").write_text("{")
    train(Lines(n_stages=3), out=run, resume=True)
    assert not list(run.rglob("*.part*"))
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["000000", "000001", "000002"]


def test_a_folder_that_vanishes_is_reported(tmp_path) -> None:
    def vanish(stage: int, step: int) -> None:
        if (stage, step) == (1, 3):
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(FileNotFoundError) as caught:
        train(Lines(at_step=vanish), out=tmp_path / "run")
    assert caught.value.filename == str(tmp_path / "run" / "log.csv")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_may_not_be_written_is_reported_before_the_work(tmp_path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    steps: list[tuple[int, int]] = []
    plan = Lines(at_step=lambda *where: steps.append(where))
    for out, file in ((folder, folder), (folder / "run", folder / "run")):
        with mounted(folder, "ro"):
            with pytest.raises(OSError, match="Read-only") as caught:
                train(plan, out=out)
            assert caught.value.errno == errno.EROFS
            assert caught.value.filename == str(file)
            assert list(folder.iterdir()) == steps == []


@pytest.mark.parametrize("out", [3, b"run", "\0", ""])
def test_what_is_no_path_is_reported_before_the_work(out) -> None:
    with pytest.raises((TypeError, ValueError), match="out must be"):
        matching().fit(data(), out=out, progress=False)


def test_a_run_stays_in_its_folder(tmp_path) -> None:
    """Links under the names that it makes up are replaced; a folder that is named may be one."""
    (tmp_path / "there").mkdir()
    run, precious = tmp_path / "run", tmp_path / "precious"
    run.symlink_to(tmp_path / "there")
    train(Lines(n_stages=1), out=run)
    made = [path for path in run.iterdir() if path.is_file()]
    made += [run / "samples" / "000001.png", run / "samples" / "000000.png"]
    assert {path.name for path in made} >= {"settings.json", "log.csv", "weights.safetensors"}
    precious.mkdir()
    for path in made:
        (precious / path.name).write_bytes(path.read_bytes() if path.exists() else b"")
        path.unlink(missing_ok=True)
        path.symlink_to(precious / path.name)
    before = {path.name: path.read_bytes() for path in precious.iterdir()}
    train(Lines(n_stages=2), out=run, resume=True)
    assert run.is_symlink()
    assert {path.name: path.read_bytes() for path in precious.iterdir()} == before
    assert not any((run / path.name).is_symlink() for path in made if path.parent == run)
    assert [row["stage"] for row in rows(run)][-1] == "1"


def test_a_picture_replaces_a_link(tmp_path) -> None:
    folder = RunFolder(tmp_path)
    folder.picture(0).symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_bytes(b"x")
    save_grid(folder.picture(0), np.zeros((1, 1, 2, 2)))
    assert (tmp_path / "precious").read_bytes() == b"x"
    assert not folder.picture(0).is_symlink()
    assert folder.picture(0).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["samples", "checkpoints", "tensorboard", "checkpoints/000000"])
def test_a_part_that_lies_elsewhere_is_refused(tmp_path, name) -> None:
    run, there = tmp_path / "run", tmp_path / "there"
    train(Lines(n_stages=1), out=run)
    (run / name).rename(there) if (run / name).exists() else there.mkdir()
    (run / name).symlink_to(there)
    before = sorted(there.rglob("*"))
    with pytest.raises(ValueError, match=f"{name} is a link, expected a folder of the run"):
        train(Lines(n_stages=2), out=run, resume=True)
    assert sorted(there.rglob("*")) == before


def test_an_error_of_the_users_own_is_theirs_and_the_run_is_resumed(tmp_path) -> None:
    def fail(stage: int, step: int) -> None:
        if (stage, step) == (1, 7):
            raise ZeroDivisionError("a network of the user's own")

    train(Lines(), out=tmp_path / "whole")
    with pytest.raises(ZeroDivisionError, match="of the user's own"):
        train(Lines(at_step=fail), out=tmp_path / "run", checkpoint_every=5)
    assert not list(tmp_path.rglob("*.part*"))
    train(Lines(), out=tmp_path / "run", resume=True)
    whole = RunFolder(tmp_path / "whole").weights()
    assert all(torch.equal(v, whole[k]) for k, v in RunFolder(tmp_path / "run").weights().items())


def test_a_full_disk_is_reported_and_the_run_is_resumed(tmp_path) -> None:
    torch.set_num_threads(1)
    whole = matching().fit(data(), progress=False)
    # pictures and weights are larger
    with short_files(2000), pytest.raises(OSError) as caught:  # noqa: PT011
        matching().fit(data(), out=tmp_path / "run", progress=False)
    assert caught.value.errno == errno.EFBIG
    assert str(tmp_path / "run") in caught.value.filename
    assert ".part" not in caught.value.filename
    assert not list(tmp_path.rglob("*.part*"))
    matching().fit(data(), out=tmp_path / "run", progress=False, resume=True)
    assert torch.equal(
        torch.from_numpy(load(tmp_path / "run").sample(5, rng=0)),
        torch.from_numpy(whole.sample(5, rng=0)),
    )


def test_a_model_is_saved_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    model = matching().fit(data(), progress=False)

    def stop(*given: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_weights", stop)
        with pytest.raises(ZeroDivisionError):
            model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".model.0123abcd.part").mkdir()  # what a kill leaves
    model.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    np.testing.assert_array_equal(load(tmp_path / "model").sample(5, rng=0), model.sample(5, rng=0))
    assert (
        json.loads((tmp_path / "model" / "settings.json").read_text())["model"] == "flow-matching"
    )


@pytest.mark.parametrize("kind", MODELS)
def test_models_that_are_cut_again_and_again_equal_those_that_are_not(tmp_path, kind: str) -> None:
    train_model(kind, tmp_path / "whole")
    rng, steps = np.random.default_rng(len(kind)), 0
    while steps < 60:
        cut = int(rng.integers(1, 20))
        out = tmp_path / "run"
        model = train_model(kind, out, f"{cut} steps", resume=True)
        steps += cut
        assert np.isfinite(model.sample(3, 1, rng=0)).all()
        np.testing.assert_array_equal(load(out).sample(3, 1, rng=0), model.sample(3, 1, rng=0))
    for name in ("stage", "step", "loss", "distance"):
        found, wanted = ([row[name] for row in rows(tmp_path / f)] for f in ("run", "whole"))
        assert found == wanted
    whole = RunFolder(tmp_path / "whole").weights()
    assert all(torch.equal(v, whole[k]) for k, v in RunFolder(tmp_path / "run").weights().items())


@pytest.mark.parametrize("warm", [False, True])
def test_a_call_takes_one_step_at_least(tmp_path, warm: bool) -> None:
    """However soon it is to stop: a run that is cut all the time comes to its end."""
    how = {"out": tmp_path / "run", "resume": True}
    train(Lines(warm_start=warm), out=tmp_path / "whole")
    train(Lines(warm_start=warm), stop_after="57 steps", **how)
    for step in (58, 59, 60):
        records = train(Lines(warm_start=warm), stop_after=1e-9, **how)
        assert (records[-1].step, records[-1].inside) == (step, step - 40 if step < 60 else None)
    assert RunFolder(tmp_path / "run").weights() == RunFolder(tmp_path / "whole").weights()


def test_a_spent_budget_leaves_the_network_of_an_unfinished_stage(tmp_path) -> None:
    how = {"out": tmp_path / "run", "budget": 1000.0, "resume": True}
    train(Lines(warm_start=True), stop_after="33 steps", **how)
    before = RunFolder(tmp_path / "run").weights()
    (file,) = (tmp_path / "run" / "checkpoints").glob("*-*/record.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": 2000.0}))
    records = train(Lines(warm_start=True), **how)
    assert (records[-1].step, records[-1].inside) == (33, 13)
    assert RunFolder(tmp_path / "run").weights() == before


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("kind", MODELS)
def test_an_interrupted_fit_keeps_what_it_reached_or_what_was_there(kind: str, monkeypatch) -> None:
    def interrupting(step: int) -> None:
        """Ctrl-C after so many steps of the next training."""
        advance = StageTraining.advance

        def advanced(self: StageTraining) -> None:
            advance(self)
            if self.step == step:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(StageTraining, "advance", advanced)

    x = data()
    labels = np.arange(len(x)) % 2
    model = MODELS[kind]()
    interrupting(7)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, labels, progress=False)
    monkeypatch.undo()
    assert model.n_trained == 1
    model.fit(x, labels, progress=False, stop_after="30 steps")
    before = model.sample(5, 1, rng=0)
    interrupting(7)
    with pytest.raises(KeyboardInterrupt):
        model.fit(100 + x, labels, progress=False)
    np.testing.assert_array_equal(model.sample(5, 1, rng=0), before)


def test_one_training_at_a_time_in_a_folder(tmp_path) -> None:
    out, caught = tmp_path / "run", []

    def another(stage: int, step: int) -> None:
        if (stage, step) == (1, 3):
            with pytest.raises(BlockingIOError) as error:
                train(Lines(), out=out, resume=True)
            caught.append(error.value)

    train(Lines(at_step=another), out=out)
    (error,) = caught
    assert f"in use by process {os.getpid()} on " in str(error)
    assert error.filename == str(out)
    assert not list(out.glob(".*"))
    (out / ".lock").write_text("process 1 on nowhere")  # which a kill has left
    assert len(train(Lines(n_stages=4), out=out, resume=True)) == 4


def test_the_lock_of_a_folder_that_takes_the_place_of_another_stays(tmp_path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with ExitStack() as other:
        with locked(out):
            out.rename(tmp_path / "moved")
            out.mkdir()
            other.enter_context(locked(out))
        assert (out / ".lock").exists()
        with pytest.raises(BlockingIOError, match="in use by process"), locked(out):
            pass
    assert not (out / ".lock").exists()
    with locked(tmp_path / "moved"):
        pass
    assert not (tmp_path / "moved" / ".lock").exists()


@pytest.mark.parametrize("system", [True, False])
def test_where_there_are_no_locks_the_log_says_so_once(tmp_path, monkeypatch, caplog, system):
    def refuse(*given: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    locks._say_that_nothing_is_held.cache_clear()
    monkeypatch.setattr(locks, "fcntl", SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_NB=4))
    if system:
        monkeypatch.setattr(locks, "fcntl", None)  # as on Windows
    for name in ("one", "other"):
        assert len(train(Lines(), out=tmp_path / name)) == 3
    (record,) = caplog.records
    assert "no other process trains in the same folder" in record.message


def test_a_run_that_is_older_than_some_settings_is_resumed(tmp_path) -> None:
    before = {"validation": 0.0, "early_stopping": False, "weight_decay": 0.0}
    since = (*before, "held_out", "network", "network_code", "made_with")
    small = MLP(width=8, depth=1)
    how = {"n_steps": 9, "n_rounds": 3, "sampling_steps": 1, "architecture": small}
    where = {"out": tmp_path / "run", "resume": True, "progress": False}
    FlowMatching(**how, **before).fit(data(), stop_after="4 steps", **where)
    file = tmp_path / "run" / "settings.json"
    entries = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in entries.items() if k not in since}))
    for name, other in (("validation", 0.1), ("early_stopping", True), ("weight_decay", 1e-3)):
        with pytest.raises(ValueError, match=f"holds a run with {name} = {before[name]}, which"):
            FlowMatching(**how, **{**before, name: other}).fit(data(), **where)
    model = FlowMatching(**how, **before).fit(data(), **where)
    assert model.n_trained == 3
    assert json.loads(file.read_text()) == entries


class Doubling(torch.nn.Module):
    """A network of the user's own."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, 2))

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return 2 * self.layers(torch.cat([x, time], 1))


class Trebling(Doubling):
    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return 3 * self.layers(torch.cat([x, time], 1))


def test_a_run_is_not_resumed_with_something_else_unnoticed(tmp_path, monkeypatch) -> None:
    def fit(network: torch.nn.Module, held_out: np.ndarray, **how) -> None:
        model = FlowMatching(network, n_steps=9, n_rounds=3, sampling_steps=1, device="cpu")
        out = tmp_path / "run"
        model.fit(data(), held_out=held_out, out=out, resume=True, progress=False, **how)

    fit(Doubling(), data()[:9], stop_after="3 steps")
    for network, held_out, message in (
        (Doubling(), data()[:8], "holds a run with other held_out data"),
        (Doubling(), None, "holds a run with other held_out data"),
        (Doubling(5), data()[:9], "holds a run of a network with other layers"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(network, held_out)
    with pytest.warns(UserWarning, match="of a network whose code was another: its numbers may"):
        fit(Trebling(), data()[:9], stop_after="1 step")
    monkeypatch.setattr("energyflow.models._saved.__version__", "9.9")
    with pytest.warns(UserWarning, match=r"made with .* and resumed with .*'9\.9'"):
        fit(Trebling(), data()[:9])
    fit(Trebling(), data()[:9])
