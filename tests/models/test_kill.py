"""Runs that are killed (SIGKILL) at the worst moments go on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from energyflow.models import DMMD, MLP, FlowGenerator, FlowMatching, Model, RunFolder, load

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

SHARED = {"batch_size": 32, "architecture": MLP(width=8, depth=1), "seed": 3}
MODELS = {
    "flow": lambda: FlowGenerator(
        n_particles=100, n_projections=8, n_blocks=3, network_steps=20, **SHARED
    ),
    "flow-matching": lambda: FlowMatching(n_steps=60, n_rounds=3, sampling_steps=4, **SHARED),
    "dmmd": lambda: DMMD(n_steps=60, n_rounds=3, n_features=4, **SHARED),
}

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
train({kind!r}, {out!r})
raise SystemExit("not killed")
"""

HALF_A_FILE = "given[0].with_name('.' + given[0].name + '.1234abcd.part').write_bytes(b'half')"


def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)


def train(kind: str, out: str | Path | None, **how) -> Model:
    torch.set_num_threads(1)
    return MODELS[kind]().fit(data(), out=out, progress=False, **how)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("whole")
    for kind in MODELS:
        train(kind, folder / kind)
    return {kind: RunFolder(folder / kind).weights() for kind in MODELS}


@pytest.mark.parametrize(
    ("kind", "module", "function", "call", "before", "finished"),
    [
        # 20 batches and one set of particles a block, so call 31 lies in the second
        ("flow", "_flow_course", "generator", 31, "pass", 1),
        # a checkpoint is two files of tensors: in the second file of the second checkpoint
        ("flow", "_run_folder", "write_tensors", 4, HALF_A_FILE, 1),
        # the record, which is the last file of a checkpoint (the first call writes settings.json)
        ("flow", "_run_folder", "write_json", 4, "pass", 2),
        # the final weights
        ("flow", "_run_folder", "write_tensors", 7, HALF_A_FILE, 3),
        # a coupling serves 4 batches of 32, so the seventh lies in the second round of 20
        ("flow-matching", "_batches", "generator", 7, "pass", 1),
        # the training that the third round goes on with
        ("flow-matching", "_run_folder", "write_tensors", 6, HALF_A_FILE, 1),
        ("dmmd", "_dmmd_loss", "generator", 31, "pass", 1),
    ],
)
def test_a_killed_run_goes_on(
    tmp_path, uninterrupted, kind: str, module: str, function: str, call: int, before: str,
    finished: int,
) -> None:  # fmt: skip
    out = tmp_path / "run"
    program = PROGRAM.format(
        tests=str(Path(__file__).parents[1]), module=module, function=function, call=call,
        before=before, kind=kind, out=str(out),
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(RunFolder(out).records()) == finished
    train(kind, out, resume=True)
    found, whole = RunFolder(out).weights(), uninterrupted[kind]
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in found)
    assert load(out).n_trained == 3
    assert not list(out.rglob("*.part*"))
