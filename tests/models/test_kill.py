"""Runs that are killed (SIGKILL) at the worst moments go on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from energyflow.models import MLP, FlowGenerator, RunFolder

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

TINY = {
    "n_particles": 100, "n_projections": 8, "n_blocks": 3, "network_steps": 20, "batch_size": 32,
    "architecture": MLP(width=8, depth=1),
}  # fmt: skip

# What a process does: train, and kill itself where `wrapped` is called for the n-th time.
PROGRAM = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from models.test_kill import train
from energyflow.models import {module}
from energyflow.models.{module} import {function} as wrapped

calls = 0

def killing(*given, **named):
    global calls
    calls += 1
    if calls == {call}:
        {before}
        os.kill(os.getpid(), signal.SIGKILL)
    return wrapped(*given, **named)

{module}.{function} = killing
train({out!r})
raise SystemExit("not killed")
"""

HALF_A_FILE = "given[0].with_name('.' + given[0].name + '.1234abcd.part').write_bytes(b'half')"


def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)


def train(out: str | Path | None, **how) -> FlowGenerator:
    torch.set_num_threads(1)
    model = FlowGenerator(seed=3, **TINY)
    return model.fit(data(), out=out, progress=False, **how)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, torch.Tensor]:
    out = tmp_path_factory.mktemp("whole") / "run"
    train(out)
    return RunFolder(out).weights()


@pytest.mark.parametrize(
    ("module", "function", "call", "before", "finished"),
    [
        # 20 batches and one set of particles a block, so call 31 lies in the second
        ("_flow_course", "generator", 31, "pass", 1),
        # a checkpoint is two files of tensors: in the second file of the second checkpoint
        ("_run_folder", "write_tensors", 4, HALF_A_FILE, 1),
        # the record, which is the last file of a checkpoint (the first call writes settings.json)
        ("_run_folder", "write_json", 4, "pass", 2),
        # the final weights
        ("_run_folder", "write_tensors", 7, HALF_A_FILE, 3),
    ],
)
def test_a_killed_run_goes_on(
    tmp_path, uninterrupted, module: str, function: str, call: int, before: str, finished: int
) -> None:
    out = tmp_path / "run"
    program = PROGRAM.format(
        tests=str(Path(__file__).parents[1]), module=module, function=function, call=call,
        before=before, out=str(out),
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(RunFolder(out).records()) == finished
    train(out, resume=True)
    found = RunFolder(out).weights()
    assert found.keys() == uninterrupted.keys()
    assert all(torch.equal(found[name], uninterrupted[name]) for name in found)
    assert FlowGenerator.load(out).n_trained == 3
    assert not list(out.rglob("*.part*"))
