"""Processes as torchrun starts them: blocks one after the other, and what must agree in them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from _process_group_rank import DIFFERENT, OF_PARTICLES, OF_SLICES, X, Y

import energyflow as ef

pytest.importorskip("torch", reason="torch is an extra")

SCRIPT = Path(__file__).with_name("_process_group_rank.py")


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> list[dict[str, Any]]:
    """By each of two processes."""
    folder = tmp_path_factory.mktemp("told")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "ENERGYFLOW")}
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-W", "error", str(SCRIPT), str(folder)]
    ranks = [
        subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **threads, **group, "RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    errors = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
    assert errors == ["", ""], "the exit is quiet"
    return [json.loads((folder / f"told{rank}.json").read_text()) for rank in range(2)]


def test_blocks_follow_each_other(told) -> None:
    one = float(ef.sliced_energy_distance(X, Y, n_projections=8, rng=0))
    for rank in told:
        assert rank["blocks"] == pytest.approx([one] * 10, rel=1e-12)


@pytest.mark.parametrize(
    ("what", "name"),
    [("slices", name) for name in DIFFERENT | OF_SLICES]
    + [("particles", name) for name in DIFFERENT | OF_PARTICLES],
)
def test_processes_that_differ_are_told_so(told, what: str, name: str) -> None:
    one, other = (rank[f"{what}/{name}"] for rank in told)
    assert one == other
    assert one.startswith("ValueError: processes must agree, got")
    assert one.count(f"{name}: ") == 2  # what came, in each of them
    assert "in process 0; " in one
    assert one.endswith("in process 1")


def test_an_error_of_one_process_ends_the_block_of_the_others(told) -> None:
    assert [rank["alone"] for rank in told] == [["RuntimeError", "done"], ["KeyError", "done"]]


def test_numbers_in_any_order_of_bytes_are_gathered_and_nothing_else(told) -> None:
    assert [rank["gathered"] for rank in told] == [X.tolist(), []]
    for rank in told:
        assert rank["particles/text"] == (
            "TypeError: processes send each other numbers and booleans, got |S3"
        )
