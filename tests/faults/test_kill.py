"""Work that is killed or interrupted goes on as if nothing had happened."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from forked import forked

from faults import locks
from faults.disturbed import FAULTS, disturbed, warm

pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("matplotlib", reason="pictures are an extra")
pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")

OFTEN = ("flow", "train flow", "fit", "save")
SELDOM = ("flow --force", "train flow-matching", "train dmmd", "train posterior", "sample")


def tally(kind: str, folder: Path) -> None:
    """What came of disturbing the work: in a process with one thread, which forks others."""
    warm()
    numbers = [dict(line.numbers) for line in disturbed(kind, quick=True, folder=folder)]
    (folder / "numbers.json").write_text(json.dumps(numbers))


def tally_of_locks(folder: Path) -> None:
    """What came of groups that want to train in one folder, in a process with one thread."""
    warm()
    (folder / "numbers.json").write_text(json.dumps(dict(locks.line(2, folder).numbers)))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs forks")
def test_of_several_processes_one_trains_and_the_others_name_it(tmp_path) -> None:
    (printed,) = forked(tally_of_locks, [(tmp_path,)], tmp_path)
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert not any(numbers[fault] for fault in locks.FAULTS), printed
    assert numbers["ends equal to alone"] == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    "kind", [*OFTEN, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SELDOM)]
)
def test_files_are_old_or_new_and_the_end_is_that_of_an_undisturbed_run(tmp_path, kind) -> None:
    (printed,) = forked(tally, [(kind, tmp_path)], tmp_path)
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert not any(line[fault] for line in numbers for fault in FAULTS), printed
    # of two disturbed runs the first kill of each always comes before the work is done
    assert sum(line.get("kills", 0) for line in numbers) >= 2
