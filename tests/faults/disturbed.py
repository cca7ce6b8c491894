"""A kind of work that is disturbed, time after time, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.rows import Line

from .signals import Digests, Forked, await_change, contents, strike, struck_after, watch
from .works import WORKS, Work, inputs

FAULTS = ("bad files", "other exit statuses", "other ends")
Disturbance = Callable[[], int]  # the exit status that it led to


@dataclass
class Case:
    """A kind of work, where it is done, and what it leaves when nobody disturbs it."""

    work: Work
    folder: Path
    log: Path

    def __post_init__(self) -> None:
        self.run = self.folder / "run"
        self._begun = self.folder.with_name(f"{self.folder.name} begun")
        self._begun.mkdir()
        assert Forked(self._prepare, self._begun, self.log).wait() == 0, self.log.read_text()
        self.fresh()
        process = self._forked(self.work.do)
        await_change(process, self.run)
        begun = time.perf_counter()
        assert process.wait() == 0, self.log.read_text()
        self.seconds = time.perf_counter() - begun
        self.end = contents(self.run)
        self.fresh()
        assert self._forked(self._watched).wait() == 0, self.log.read_text()
        assert self.end == contents(self.run), "two runs that nobody disturbs differ"
        self.n_writes, self.ever = json.loads((self.folder / "watched.json").read_text())

    def fresh(self) -> None:
        """Begin anew, with nothing but what the work needs."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._begun, self.folder)

    def _prepare(self) -> int:
        inputs()
        self.work.before()
        return 0

    def do(self) -> int:
        """Do the work; the exit status."""
        return self._forked(self.work.do).wait()

    def do_until(self, seconds: float, number: signal.Signals = signal.SIGKILL) -> int:
        """Do the work, with a signal so long after it has begun to write."""
        return struck_after(self._forked(self.work.do), self.run, seconds, number)

    def do_until_write(self, at: int, number: signal.Signals) -> int:
        """Do the work, with a signal before one of its writes."""

        def body() -> int:
            strike(at, number, Path("struck"))
            return self.work.do()

        return self._forked(body).wait()

    def line(self) -> int:
        """Do the work by a command line of its own."""
        return self._line().wait()

    def line_until(self, seconds: float) -> int:
        """Do the work by a command line of its own, and kill that as `do_until`."""
        return struck_after(self._line(), self.run, seconds, signal.SIGKILL)

    def _line(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "energyflow", *self.work.command(self.folder)]
        with self.log.open("ab") as out:
            return subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out)

    def _forked(self, body: Callable[[], int]) -> Forked:
        return Forked(body, self.folder, self.log)

    def _watched(self) -> int:
        """Do the work, and keep how many writes it takes and what each file holds at any time."""
        ever: dict[str, list[str]] = {}
        known: Digests = {}
        count = 0

        def note(number: int, moment: str, descriptor: int | None) -> None:
            nonlocal count
            count = number
            for name, digest in contents(Path("run"), known).items():
                ever.setdefault(name, []).append(digest)

        watch(note)
        status = self.work.do()
        note(count, "end", None)
        Path("watched.json").write_text(json.dumps([count, ever]))
        return status


def tried(
    kind: str, how: str, case: Case, plan: Iterable[list[Disturbance]],
    noun: str = "kills", expected: tuple[int, ...] = (-signal.SIGKILL,),
    finish: Callable[[Case], int] = Case.do,
) -> Line:  # fmt: skip
    """Disturb the work, time after time from anew, and let it come to its end; what came of it.

    Each file must be old or new after a kill; an interrupt may also save what it has reached.
    """
    tally: Counter[str] = Counter()
    for disturbances in plan:
        case.fresh()
        for disturb in disturbances:
            struck = case.folder / "struck"
            struck.unlink(missing_ok=True)
            if (status := disturb()) == 0:  # it was done before
                break
            tally[noun] += 1
            tally[f"before {struck.read_text()}" if struck.exists() else "at any time"] += 1
            tally["other exit statuses"] += status not in expected
            try:
                files = contents(case.run)
            except ValueError as error:
                print(f"bad file: {error}", flush=True)
                tally["bad files"] += 1
                continue
            tally["files read"] += len(files)
            strange = [n for n, digest in files.items() if digest not in case.ever.get(n, ())]
            if strange and status == -signal.SIGKILL:
                print(f"neither old nor new: {strange}", flush=True)
                tally["bad files"] += len(strange)
        status, end = finish(case), contents(case.run)
        left = [str(path) for path in case.folder.rglob("*.part*") if case.work.sweeps]
        equal = status == 0 and end == case.end and not left
        tally["ends equal to undisturbed" if equal else "other ends"] += 1
        if not equal:
            names = sorted({*end.items()} ^ {*case.end.items()})
            print(f"not equal: status {status}, left {left}, {names}", flush=True)
    moments = [name for name in tally if name.startswith(("at ", "before "))]
    measures = (noun, *sorted(moments), "files read", *FAULTS, "ends equal to undisturbed")
    return Line(kind, how, {measure: tally[measure] for measure in measures})


def disturbed(kind: str, quick: bool, folder: Path) -> Iterator[Line]:
    """All that is done to a kind of work."""
    work, rng = WORKS[kind], np.random.default_rng(0)
    case = Case(work, folder / kind, folder / f"{kind}.log")
    print(f"{kind}: {case.n_writes} writes, {case.seconds:.2f} s", flush=True)
    writes = [int(k) for k in 1 + rng.permutation(case.n_writes)[: 2 if quick else 12]]

    def at(write: int, number: signal.Signals = signal.SIGKILL) -> Disturbance:
        return partial(case.do_until_write, write, number)

    plan = [[at(write), at(int(rng.integers(1, case.n_writes + 1)))] for write in writes]
    yield tried(kind, "SIGKILL before a write, then another", case, plan)
    plan = [
        [partial(case.do_until, rng.uniform(0, case.seconds)) for _ in range(3)]
        for _ in range(1 if quick else 4)
    ]
    yield tried(kind, "SIGKILL at random times", case, plan)
    if not work.arguments:
        return
    plan = [[at(write, signal.SIGINT)] for write in writes[:8]]
    yield tried(kind, "SIGINT before a write", case, plan, "interrupts", (130,))
    if quick:
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        plan = [[partial(case.do_until, rng.uniform(0, case.seconds), number)] for _ in range(5)]
        ends = (130, -number)  # the second one outside the steps of a training
        yield tried(kind, f"{number.name} at random times", case, plan, "interrupts", ends)
    plan = [[partial(case.line_until, rng.uniform(0, case.seconds))] for _ in range(4)]
    how = "SIGKILL of a command line at random times"
    yield tried(kind, how, case, plan, finish=Case.line)


def warm() -> None:
    """Import and compile what children inherit, as long as there is one thread."""
    import safetensors.numpy  # noqa: F401
    import torch

    import energyflow as ef

    torch.set_num_threads(1)
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True)
    points = np.random.default_rng(0).normal(size=(60, 2))
    ef.ParticleFlow(points, rng=0).run(points, 2, progress=False)
    ef.sliced_energy_distance(points, points[:9], rng=0, estimator="U")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        inputs()
        WORKS["flow --force"].before()  # a whole command, with its pictures
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"expected one thread before forks, got {threads}"
