"""Work that is killed or interrupted goes on as if nothing had happened: the driver, in short."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rows import read

pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("matplotlib", reason="pictures are an extra")

TOP = Path(__file__).parents[2]
OFTEN = ("flow", "train flow", "fit", "save")
SELDOM = ("flow --force", "train flow-matching", "train dmmd", "train posterior", "sample")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    "kind", [*OFTEN, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SELDOM)]
)
def test_files_are_old_or_new_and_the_end_is_that_of_an_undisturbed_run(tmp_path, kind) -> None:
    command = [sys.executable, "-m", "benchmarks.faults", kind, "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for row in read(tmp_path / "faults.csv") if row.experiment == kind]
    # of two disturbed runs the first kill of each always comes before the work is done
    assert sum(row.value for row in rows if row.measure == "kills") >= 2
