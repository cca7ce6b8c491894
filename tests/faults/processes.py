"""One of two processes is lost: seconds until the end, and going on with another number."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import energyflow as ef
from benchmarks.rows import Line

EXPERIMENT = "one of two processes is lost"
PATIENCE = 300  # s, far beyond the time that is promised


def lines(folder: Path) -> Iterator[Line]:
    """Of torchrun, and of processes that nothing looks after."""
    np.save(folder / "target.npy", np.random.default_rng(0).normal(size=(301, 3)))
    for lost in (0, 1):
        yield from under_torchrun(folder / f"torchrun{lost}", lost)
    for work in ("flow", "train"):
        for number, lost in ((signal.SIGKILL, 0), (signal.SIGKILL, 1), (signal.SIGSTOP, 1)):
            yield from by_themselves(folder / f"{work}-{number}-{lost}", work, number, lost)


def by_themselves(
    out: Path, work: str, number: signal.Signals, lost: int, size: int = 2
) -> Iterator[Line]:
    """Processes that know of each other by their connections alone."""
    group = {**free_address(), "WORLD_SIZE": str(size)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "energyflow", *command(out, work), "--steps", str(10**8)],
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, **group, "RANK": str(rank)},
        )
        for rank in range(size)
    ]  # fmt: skip
    try:
        until_running(out, processes)
        begun = time.perf_counter()
        processes[lost].send_signal(number)
        for process in processes[:lost] + processes[lost + 1 :]:
            errors = process.communicate(timeout=PATIENCE)[1]
            seconds = time.perf_counter() - begun
            method = f"{number.name}, process {lost} of {work}"
            yield ending(method, seconds, process.returncode, errors)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def free_address() -> dict[str, str]:
    """Where processes can meet, as torchrun sets it in their environments."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}


def under_torchrun(out: Path, lost: int) -> Iterator[Line]:
    """Two processes of torchrun, which go on as three, and then as one."""
    job = subprocess.Popen(
        torchrun(2, out, "--steps", str(10**8)), stderr=subprocess.PIPE, text=True
    )
    try:
        until_running(out, [job])
        begun = time.perf_counter()
        os.kill(rank(job.pid, lost), signal.SIGKILL)
        errors = job.communicate(timeout=PATIENCE)[1]
        seconds = time.perf_counter() - begun
    finally:
        job.terminate()
    method = f"SIGKILL, process {lost} of torchrun"
    end = ending(method, seconds, job.returncode, errors)
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
    more = {"step that was saved": step, "largest difference": error}
    yield replace(end, numbers=end.numbers | more, note=note)


def ending(method: str, seconds: float, status: int, errors: str) -> Line:
    """How a process ended, and what it wrote to standard error."""
    print(errors, flush=True)
    ours = [line for line in errors.splitlines() if line.startswith("energyflow: ")]
    numbers = {
        "seconds until the end": seconds,
        "exit status": status,
        "lines of ours": len(ours),
        "tracebacks of ours": errors.count("]: Traceback"),
    }
    return Line(EXPERIMENT, method, numbers)


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
