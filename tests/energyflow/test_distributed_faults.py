"""Processes of torchrun: one that is lost ends the others, and runs go on in another number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.processes import by_themselves, free_address
from forked import forked

import energyflow as ef

pytest.importorskip("torch", reason="torch is an extra")


def environment(**more: str) -> dict[str, str]:
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "ENERGYFLOW")}
    return {**os.environ, **threads, **more}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("how", "work", "size"),
    [("SIGKILL", "flow --shard particles", 3), ("SIGSTOP", "flow", 3), ("SIGKILL", "train", 2)],
)
def test_a_lost_process_ends_the_others_in_one_line(
    tmp_path, monkeypatch, how: str, work: str, size: int
) -> None:
    pytest.importorskip("typer", reason="the command line is an extra")
    pytest.importorskip("safetensors", reason="models are an extra")
    for name, value in environment(ENERGYFLOW_TIMEOUT="30").items():
        monkeypatch.setenv(name, value)
    np.save(tmp_path / "target.npy", np.random.default_rng(0).normal(size=(200, 3)))
    lines = list(by_themselves(tmp_path / "run", work, getattr(signal, how), 1, size))
    for measure, wanted in (("exit status", 1), ("lines of ours", 1), ("tracebacks of ours", 0)):
        assert [line.numbers[measure] for line in lines] == [wanted] * (size - 1)


def torchrun(processes: int, *arguments: str) -> str:
    """What the command line prints in so many processes of torchrun."""
    how = ("--standalone", f"--nproc-per-node={processes}")
    start = [sys.executable, "-m", "torch.distributed.run", *how, "-m", "energyflow"]
    done = subprocess.run([*start, *arguments], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def energyflow(folder: Path, *arguments: str, processes: int = 1) -> str:
    """What the command line prints in so many processes, told of each other as by torchrun."""
    group = {"WORLD_SIZE": str(processes), **free_address()}
    calls = [(arguments, {**group, "RANK": str(rank)}) for rank in range(processes)]
    return "".join(forked(command_line, calls, folder))


def command_line(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """The command line in this process, which must end well."""
    from energyflow.cli import main

    os.environ.update(environment)
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert not ended.value.code


def test_flows_go_on_in_another_number_of_processes(tmp_path) -> None:
    pytest.importorskip("typer", reason="the command line is an extra")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "target.npy", rng.normal(size=(301, 3)))
    common = ["flow", "--target", str(tmp_path / "target.npy"), "-n", "101", "--quiet"]
    energyflow(tmp_path, *common, "--steps", "30", "--out", str(tmp_path / "one"))
    several = ["--out", str(tmp_path / "several")]
    first = [*common, *several, "--steps", "11", "--shard", "particles"]
    assert energyflow(tmp_path, *first, processes=3).count("written") == 1
    again = [word for word in common if word not in ("-n", "101")]
    assert torchrun(2, *again, *several, "--steps", "20", "--resume").count("written") == 1
    energyflow(tmp_path, *again, *several, "--steps", "30", "--resume")
    one, other = (ef.FlowResult.load(tmp_path / name / "flow.npz") for name in ("one", "several"))
    np.testing.assert_array_equal(one.history_step, other.history_step)
    for name in ("particles", "velocity", "history_distance"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=0, atol=1e-12)
    assert sorted(path.name for path in (tmp_path / "several").glob("*.npz")) == ["flow.npz"]


def test_models_are_trained_by_the_command_line(tmp_path) -> None:
    pytest.importorskip("typer", reason="the command line is an extra")
    pytest.importorskip("safetensors", reason="models are an extra")
    out = tmp_path / "run"
    told = energyflow(
        tmp_path, "train", "dmmd", "--data", "moons", "--steps", "4", "--out", str(out), "--quiet",
        processes=2,
    )  # fmt: skip
    assert told.count("rounds trained") == 1
    assert (out / "weights.safetensors").is_file()
    lines = (out / "log.csv").read_text().splitlines()
    assert len(lines) == len(set(lines)) > 1  # one process wrote them


def test_other_commands_refuse_several_processes(monkeypatch, capsys) -> None:
    pytest.importorskip("typer", reason="the command line is an extra")
    from energyflow.cli import main

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit, match="1"):
        main(["info"])
    assert capsys.readouterr().err == (
        "energyflow: process 1: info runs in one process: start it without torchrun\n"
    )
