"""One of two processes is lost: seconds until the end, and going on with another number."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import energyflow as ef

from .rows import Row

EXPERIMENT = "one of two processes is lost"
PATIENCE = 300  # s, far beyond the time that is promised


def rows(folder: Path) -> Iterator[Row]:
    """Of torchrun, and of processes that nothing looks after."""
    np.save(folder / "target.npy", np.random.default_rng(0).normal(size=(301, 3)))
    for lost in (0, 1):
        yield from under_torchrun(folder / f"torchrun{lost}", lost)
    for work in ("flow", "train"):
        for number, lost in ((signal.SIGKILL, 0), (signal.SIGKILL, 1), (signal.SIGSTOP, 1)):
            yield from by_themselves(folder / f"{work}-{number}-{lost}", work, number, lost)


def by_themselves(
    out: Path, work: str, number: signal.Signals, lost: int, size: int = 2
) -> Iterator[Row]:
    """Processes that know of each other by their connections alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "energyflow", *command(out, work), "--steps", str(10**8)],
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, **group, "WORLD_SIZE": str(size), "RANK": str(rank)},
        )
        for rank in range(size)
    ]  # fmt: skip
    try:
        until_running(out, processes)
        begun = time.perf_counter()
        processes[lost].send_signal(number)
        for process in processes[:lost] + processes[lost + 1 :]:
            told = process.communicate(timeout=PATIENCE)[1]
            seconds = time.perf_counter() - begun
            method = f"{number.name}, process {lost} of {work}"
            yield from found(method, seconds, process.returncode, told)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def under_torchrun(out: Path, lost: int) -> Iterator[Row]:
    """Two processes of torchrun, which go on as three, and then as one."""
    job = subprocess.Popen(
        torchrun(2, out, "--steps", str(10**8)), stderr=subprocess.PIPE, text=True
    )
    try:
        until_running(out, [job])
        begun = time.perf_counter()
        os.kill(rank(job.pid, lost), signal.SIGKILL)
        told = job.communicate(timeout=PATIENCE)[1]
        seconds = time.perf_counter() - begun
    finally:
        job.terminate()
    method = f"SIGKILL, process {lost} of torchrun"
    yield from found(method, seconds, job.returncode, told)
    step = ef.FlowResult.load(out / "flow.npz").state["step"]
    whole = out.with_name(f"{out.name}-whole")
    for processes, run, steps, *more in (
        (3, out, step + 10, "--resume"), (1, out, step + 20, "--resume"), (1, whole, step + 20),
    ):  # fmt: skip
        again = torchrun(processes, run, "--steps", str(steps), *more)
        subprocess.run(again, check=True, capture_output=True)
    one, other = (ef.FlowResult.load(run / "flow.npz") for run in (whole, out))
    assert (one.history_step == other.history_step).all()
    error = float(np.abs(one.particles - other.particles).max())
    note = "went on as 3 processes, then as 1; difference of the particles to a whole run of 1"
    yield Row(EXPERIMENT, method, 0, "step that was saved", step)
    yield Row(EXPERIMENT, method, 0, "largest difference", error, note)


def found(method: str, seconds: float, status: int, told: str) -> Iterator[Row]:
    print(told, flush=True)
    ours = [row for row in told.splitlines() if row.startswith("energyflow: ")]
    yield Row(EXPERIMENT, method, 0, "seconds until the end", seconds)
    yield Row(EXPERIMENT, method, 0, "exit status", status)
    yield Row(EXPERIMENT, method, 0, "lines of ours", len(ours))
    yield Row(EXPERIMENT, method, 0, "tracebacks of ours", told.count("]: Traceback"))


def command(out: Path, work: str = "flow") -> list[str]:
    """A flow that is saved at each step, or a training, and more of its arguments."""
    kind, *more = work.split()
    target = str(out.parent / "target.npy")
    if kind == "train":
        start = ["train", "flow-matching", "--data", target, "--batch", "16"]
    else:
        start = ["flow", "--target", target, "--record-every", "1", "--save-every", "0"]
    return [*start, "--out", str(out), "--quiet", *more]


def torchrun(processes: int, out: Path, *more: str) -> list[str]:
    """The command line of a flow in so many processes."""
    how = ("--standalone", f"--nproc-per-node={processes}")
    start = [sys.executable, "-m", "torch.distributed.run", *how, "-m", "energyflow"]
    return [*start, *command(out), *more]


def until_running(out: Path, processes: list[subprocess.Popen[str]]) -> None:
    """Wait until something is saved, or trained, and for some steps more."""
    log = out / "log.csv"
    while not ((out / "flow.npz").exists() or (log.exists() and log.read_text().count("\n") > 1)):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    time.sleep(1)


def rank(parent: int, number: int) -> int:
    """The process of that rank which torchrun has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    wanted = f"RANK={number}".encode()
    for child in children:
        if wanted in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise RuntimeError(f"torchrun has no process of rank {number}")
