"""Processes of torchrun: one that is lost ends the others, and runs go on in another number."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import energyflow as ef

pytest.importorskip("torch", reason="torch is an extra")

TIMEOUT = 20  # s, after which processes give up a silent one
PROGRAM = """
import sys
from pathlib import Path
import numpy as np, energyflow as ef

def running(step, particles, distance):
    Path(sys.argv[2]).touch()

with ef.distributed.sharded(sys.argv[1]):
    x = ef.distributed.shard(np.random.default_rng(0).normal(size=(200, 3)))
    ef.ParticleFlow(x, rng=0).run(x + 1, 10**9, record_every=1, callback=running, progress=False)
"""


def environment(**more: str) -> dict[str, str]:
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "ENERGYFLOW")}
    return {**os.environ, **threads, **more}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(("how", "what"), [("SIGKILL", "particles"), ("SIGSTOP", "slices")])
def test_a_lost_process_ends_the_others(tmp_path, how: str, what: str) -> None:
    group = {
        "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(),
        "ENERGYFLOW_TIMEOUT": str(TIMEOUT),
    }  # fmt: skip
    signs = [tmp_path / f"running{rank}" for rank in range(3)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, what, str(sign)],
            env=environment(RANK=str(rank), **group), stderr=subprocess.PIPE, text=True,
        )
        for rank, sign in enumerate(signs)
    ]  # fmt: skip
    try:
        while not all(sign.exists() for sign in signs):
            assert all(process.poll() is None for process in processes)
            time.sleep(0.05)
        processes[1].send_signal(getattr(signal, how))
        for other in (processes[0], processes[2]):
            # shutting down takes some seconds more than giving up
            errors = other.communicate(timeout=3 * TIMEOUT)[1]
            assert other.returncode == 1
            assert "Error" in errors
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def energyflow(*arguments: str, processes: int = 1) -> str:
    """What the command line prints, in so many processes."""
    pytest.importorskip("typer", reason="the command line is an extra")
    start = ["-m", "energyflow"]
    if processes > 1:
        start = [
            "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *start,
        ]  # fmt: skip
    command = [sys.executable, *start, *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_flows_go_on_in_another_number_of_processes(tmp_path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "target.npy", rng.normal(size=(301, 3)))
    common = ["flow", "--target", str(tmp_path / "target.npy"), "-n", "101", "--quiet"]
    energyflow(*common, "--steps", "30", "--out", str(tmp_path / "one"))
    several = ["--out", str(tmp_path / "several")]
    told = energyflow(*common, *several, "--steps", "11", "--shard", "particles", processes=3)
    assert told.count("written") == 1
    again = [word for word in common if word not in ("-n", "101")]
    energyflow(*again, *several, "--steps", "20", "--resume", processes=2)
    energyflow(*again, *several, "--steps", "30", "--resume")
    one, other = (ef.FlowResult.load(tmp_path / name / "flow.npz") for name in ("one", "several"))
    np.testing.assert_array_equal(one.history_step, other.history_step)
    for name in ("particles", "velocity", "history_distance"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=0, atol=1e-12)
    assert sorted(path.name for path in (tmp_path / "several").glob("*.npz")) == ["flow.npz"]


def test_models_are_trained_by_the_command_line(tmp_path) -> None:
    pytest.importorskip("safetensors", reason="models are an extra")
    out = Path(tmp_path / "run")
    told = energyflow(
        "train", "dmmd", "--data", "moons", "--steps", "4", "--out", str(out), "--quiet",
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
